"""How ipwatchctl shows each answer to a person: the columns, and the pages that are no table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli.table import Column, ago, count, print_table, say, size, when
from ipwatchd.records.duration import duration_text
from ipwatchd.records.entry import network_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ipwatchd.control.messages import Check, FirewallState, Status

__all__ = [
    "COLUMNS",
    "print_address",
    "print_checks",
    "print_firewall",
    "print_status",
    "sum_columns",
    "when",
]


def _end(row_end: Any) -> str:
    return when(row_end) if row_end else "never"


def _counted(packets: Any) -> str:
    """Show what an entry met; what comes in masses is not counted."""
    return "-" if packets is None else count(packets)


def _share(value: Any) -> str:
    return f"{value:.0%}" if value else ""


def _clock(value: Any) -> str:
    return when(value) if value else ""


def _day(value: Any) -> str:
    return when(value)[:10] if value else ""


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def _endpoint_columns() -> tuple[Column, ...]:
    return (
        Column("proto", "PROTO"), Column("orig", "ORIGINATOR"),
        Column("orig_port", "PORT", right=True), Column("resp", "RESPONDER"),
        Column("resp_port", "PORT", right=True),
    )  # fmt: skip


COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "top": (
        Column("address", "ADDRESS"), Column("zone", "ZONE"), Column("country", "CC"),
        Column("agent", "AGENT"), Column("flows", "FLOWS", count, right=True),
        Column("packets", "PACKETS", count, right=True), Column("bytes", "BYTES", size, right=True),
        Column("last_seen", "LAST SEEN", when),
        Column("denied", "", lambda mark: "denied" if mark else ""),
    ),
    "flows": (
        Column("start", "START", when), *_endpoint_columns(), Column("service", "SERVICE"),
        Column("state", "STATE"), Column("orig_bytes", "SENT", size, right=True),
        Column("resp_bytes", "RECEIVED", size, right=True),
    ),
    "events": (
        Column("ts", "TIME", when), Column("kind", "KIND"), *_endpoint_columns(),
        Column("name", "NAME"),
    ),
    "incoming": (
        Column("address", "ADDRESS"), Column("country", "CC"), Column("target", "TARGET"),
        Column("proto", "PROTO"), Column("port", "PORT", right=True),
        Column("service", "SERVICE"), Column("count", "COUNT", count, right=True),
        Column("denied", "DENIED", count, right=True), Column("first_seen", "FIRST SEEN", when),
        Column("last_seen", "LAST SEEN", when),
    ),
    "agent": (
        Column("agent", "AGENT"), Column("authorised", "MAY"), Column("address", "ADDRESS"),
        Column("mac", "MAC"), Column("device", "DEVICE"), Column("zone", "ZONE"),
        Column("country", "CC"), Column("source", "SOURCE"),
        Column("first_seen", "FIRST SEEN", when), Column("last_seen", "LAST SEEN", when),
    ),
    "session": (
        Column("address", "ADDRESS"), Column("agent", "AGENT"), Column("start", "START", when),
        Column("end", "END", when), Column("duration", "LASTED", duration_text, right=True),
        Column("login", "LOGIN", _clock), Column("logout", "LOGOUT", _clock),
        Column("flows", "FLOWS", count, right=True), Column("bytes", "BYTES", size, right=True),
        Column("services", "SERVICES", _words),
    ),
    "list": (
        Column("ts", "TIME", when), Column("list", "LIST"),
        Column("network", "NETWORK", network_text),
        Column("action", "ACTION"), Column("author", "BY"),
        Column("hits", "HITS", count, right=True), Column("reason", "REASON"),
    ),
    "geo": (
        Column("address", "ADDRESS"), Column("country", "CC"), Column("city", "CITY"),
        Column("asn", "ASN", right=True), Column("operator", "OPERATOR"),
        Column("time_zone", "TIME ZONE"), Column("built", "DATABASE OF", _day),
        Column("first_seen", "FIRST SEEN", when), Column("last_seen", "LAST SEEN", when),
    ),
    "api": (
        Column("address", "ADDRESS"), Column("name", "HOST"), Column("method", "METHOD"),
        Column("status", "STATUS", right=True), Column("key", "KEY"),
        Column("count", "COUNT", count, right=True), Column("rate", "PER MIN", right=True),
        Column("first_seen", "FIRST SEEN", when), Column("last_seen", "LAST SEEN", when),
    ),
    "activity": (
        Column("ts", "TIME", when), Column("address", "ADDRESS"), Column("kind", "KIND"),
        Column("text", "WHAT"),
    ),
    "entries": (
        Column("network", "NETWORK", network_text), Column("reason", "REASON"),
        Column("author", "BY"),
        Column("source", "SOURCE"), Column("created", "SINCE", when),
        Column("expires", "UNTIL", _end), Column("packets", "PACKETS", _counted, right=True),
    ),
    "incidents": (
        Column("id", "ID"), Column("priority", "P"), Column("state", "STATE"),
        Column("rule", "RULE"), Column("subject", "SUBJECT"),
        Column("count", "COUNT", count, right=True), Column("first_seen", "FIRST SEEN", when),
        Column("title", "TITLE"),
    ),
    "feeds": (
        Column("name", "FEED"), Column("entries", "ENTRIES"), Column("skipped", "SKIPPED"),
        Column("success", "LAST GOOD", when), Column("next", "NEXT", when),
        Column("error", "TROUBLE"),
    ),
    "zones": (
        Column("name", "ZONE"), Column("networks", "NETWORKS", _words), Column("source", "FROM"),
    ),
    "agents": (
        Column("agent", "AGENT"), Column("address", "ADDRESS"), Column("source", "SEEN BY"),
        Column("confidence", "SURE", _share, right=True), Column("since", "SINCE", _clock),
        Column("until", "UNTIL", _clock), Column("mac", "MAC"), Column("zone", "ZONE"),
        Column("team", "TEAM"), Column("client", "CLIENT"), Column("shift", "SHIFT"),
    ),
    "archive-keys": (
        Column("day", "DAY"), Column("made", "SINCE", when), Column("dropped", "DROPPED", _clock),
        Column("by", "BY"), Column("key", "KEY (SHA-256)"),
    ),
    "audit": (
        Column("time", "TIME", when), Column("actor", "WHO"), Column("action", "ACTION"),
        Column("subject", "SUBJECT"), Column("detail", "WHY"),
    ),
}  # fmt: skip


_SUMMED: Final = {
    "ts": Column("ts", "FROM", when), "flows": Column("flows", "FLOWS", count, right=True),
    "events": Column("events", "EVENTS", count, right=True),
    "packets": Column("packets", "PACKETS", count, right=True),
    "bytes": Column("bytes", "BYTES", size, right=True),
    "first_seen": Column("first_seen", "FIRST SEEN", when),
    "last_seen": Column("last_seen", "LAST SEEN", when),
    "asn": Column("asn", "ASN", right=True), "port": Column("port", "PORT", right=True),
}  # fmt: skip


def sum_columns(rows: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Return the columns of sums: what they are by, then the numbers."""
    names = list(rows[0]) if rows else ["flows"]
    return tuple(
        _SUMMED.get(name)
        or Column(
            name,
            name.upper().replace("DISTINCT_", "DIFFERENT "),
            count if name.startswith("distinct_") else _words,
            right=name.startswith("distinct_"),
        )
        for name in names
    )


def print_status(status: Status) -> None:
    """Print the agent at a glance."""
    state = f"running for {duration_text(status.now - status.started)} (pid {status.pid})"
    say(f"site {status.site}  ipwatchd {status.version}  {state if status.live else 'not running'}")
    rates = status.rates
    if status.live:
        say(
            f"traffic    {rates.packets:,.0f} packets/s  {size(rates.bits / 8)}/s  "
            f"{rates.flows:,.0f} flows/s  {count(status.flows_live)} flows open"
        )
        say(f"memory     {size(status.memory_bytes)}")
    say(f"firewall   {_firewall(status.firewall)}")
    incidents = "  ".join(f"{key} {value}" for key, value in sorted(status.incidents_open.items()))
    say(f"incidents  {incidents or 'none open'}")
    for line in _escalation(status):
        say(line)
    if status.uplink.url:
        link = status.uplink
        say(f"centre     {link.url}  {count(link.committed)} events there, {link.waiting} waiting")
    print_checks(list(status.health))
    for name, value in sorted(status.shed.items()):
        say(f"  shed  {name}: {count(value)}")


def _escalation(status: Status) -> Iterator[str]:
    """Yield lines about pages that wait and the next clock, where there are any."""
    state = status.escalation
    if state.get("on"):
        failed = f", not handed over: {state['failed']}" if state.get("failed") else ""
        yield f"pages      waiting for an answer: {state['unanswered']}{failed}"
    if clock := state.get("next_clock"):
        left = float(clock["due"]) - status.now
        word = f"in {duration_text(left)}" if left >= 0 else f"{duration_text(-left)} over"
        yield f"clock      {clock['obligation']} of {clock['incident']}: {word}"


def _firewall(state: FirewallState) -> str:
    if state.mode == "off":
        return f"off  {state.note}".rstrip()
    verb = "dropped" if state.mode == "enforce" else "would have dropped"
    return (
        f"{state.mode}  {count(state.deny)} denied, {count(state.allow)} allowed  "
        f"{verb} {count(state.packets)} packets"
    )


def print_checks(checks: list[Check]) -> None:
    """Print each check with a mark."""
    for check in checks:
        say(f"  {'ok  ' if check.ok else 'BAD '}  {check.name}: {check.note}")


def print_firewall(state: FirewallState) -> None:
    """Print the kernel's side."""
    say(_firewall(state))
    if state.confirm_by:
        say(f"waits to be confirmed until {when(state.confirm_by)}")
    if state.repairs:
        by = state.changed_by or "someone"
        say(f"put back {count(state.repairs)} times, last after {by} changed the rules")
    if state.note:
        say(state.note)


_SHOWN: Final = 20
_SECTIONS: Final = {
    "places": "geo", "agents": "agent", "sessions": "session", "incoming": "incoming",
    "lists": "list", "api": "api", "events": "events", "incidents": "incidents",
}  # fmt: skip
"""Section of an address → the list whose columns it has."""


def print_address(found: dict[str, Any], now: float) -> None:
    """Print all that is known of one address, section by section."""
    for key, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            print()
            more = f" (the first {_SHOWN} of {len(value)})" if len(value) > _SHOWN else ""
            say(f"{key}{more}")
            known = COLUMNS.get(_SECTIONS.get(key, ""))
            columns = known or [Column(name, name.upper(), _shown(name)) for name in value[0]]
            rows = value[:_SHOWN]
            print_table([one for one in columns if one.key != "address" or key == "incoming"], rows)
        elif isinstance(value, dict):
            print()
            say(key)
            for name, inner in (_reasons(value) if key == "verdict" else value).items():
                if inner not in (None, "", 0, [], {}):
                    say(f"  {name:<12} {_shown(name)(inner)}")
        elif value not in (None, "", 0, [], {}):
            seen = f" ({ago(now - value)} ago)" if key == "last_seen" else ""
            say(f"{key:<14} {_shown(key)(value)}{seen}")


def _reasons(verdict: dict[str, Any]) -> dict[str, str]:
    """Return a verdict as people read it: what it is, then each rule that was asked, in order."""
    rules = {rule["rule"]: f"{rule['verdict']}: {rule['text']}" for rule in verdict["rules"]}
    return {"says": verdict["text"], **rules}


def _shown(name: str) -> Any:
    """Return how a value of this name is written."""
    if name in {
        "ts",
        "start",
        "end",
        "first_seen",
        "last_seen",
        "hour",
        "built",
        "time",
        "expires",
        "created",
    }:
        return when
    if name.endswith("bytes"):
        return size
    return _words
