"""What was expected of the day against what was seen: pure, one verdict a line of the summary."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ipwatchd.lab.site import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ipwatchd.lab.truth import Deed
    from ipwatchd.lab.witness import Kernel

__all__ = ["CULPRITS", "Scene", "Seen", "Verdict", "judge_day", "judge_scene", "pending"]

Row = dict[str, Any]

CULPRITS: Final = {
    "scanner": "port-scan", "guesser": "password-guessing", "mailguesser": "password-guessing",
    "denied": "denied-contact",
}  # fmt: skip
"""The host that does it → the rule that must name it."""

_TALK: Final = ("browse", "visit", "api", "request")


class Seen(NamedTuple):
    """What ipwatchd and the witnesses say after the day."""

    flows: Sequence[Row]
    events: Sequence[Row]
    incidents: Sequence[Row]
    deny: Sequence[Row]
    central: Sequence[Row]
    kernel: Kernel
    probes: dict[str, str]
    """who tried after the denial → open, refused or timeout"""
    shed: dict[str, int]
    source: str = ""
    """Where flows come from, as status says."""


class Scene(NamedTuple):
    """What was seen of the scene in which the centre was away and the daemon was killed."""

    probe_while_dead: str
    stored: frozenset[str]
    kernel: Kernel
    central: Sequence[Row]
    incident: str


class Verdict(NamedTuple):
    """One expected thing, what was seen of it, and whether it is so."""

    expected: str
    seen: str
    ok: bool


def _count(what: str, wanted: int, found: int) -> Verdict:
    return Verdict(f"{wanted} {what}", f"{found} seen", wanted > 0 and found == wanted)


def _connection(row: Row) -> tuple[str, str, int, str, int]:
    return (
        str(row.get("proto", "")), str(row.get("orig", "")), int(row.get("orig_port", 0)),
        str(row.get("resp", "")), int(row.get("resp_port", 0)),
    )  # fmt: skip


def _named(rows: Iterable[Row], kind: str) -> set[tuple[str, int, str]]:
    return {
        (str(row["orig"]), int(row["orig_port"]), str(row.get("name", "")))
        for row in rows
        if row.get("kind") == kind and "orig" in row and "orig_port" in row
    }


def _deeds(deeds: Iterable[Deed], *actions: str) -> list[Deed]:
    return [deed for deed in deeds if deed.action in actions]


def _open(deeds: Iterable[Deed], *actions: str) -> list[Deed]:
    return [deed for deed in _deeds(deeds, *actions) if deed.outcome == "open"]


def _records(deeds: Sequence[Deed], seen: Seen) -> list[Verdict]:
    flows = Counter(_connection(row) for row in seen.flows)
    talk = _open(deeds, *_TALK)
    calls = {deed.connection for deed in _deeds(deeds, "voice", "register", "call")}
    verdicts = [
        _count(
            "connections of agents and customers on record, each once",
            len(talk), sum(flows[deed.connection] == 1 for deed in talk),
        ),
        _count("calls' signalling and voice on record", len(calls), len(calls & flows.keys())),
    ]  # fmt: skip
    for what, kind, actions in (
        ("TLS server names", "tls", ("browse", "visit")),
        ("names that desks asked of the resolver", "dns", ("lookup",)),
        ("API calls in clear HTTP, with their host", "http", ("api", "request")),
    ):
        found = _named(seen.events, kind)
        mine = [
            deed
            for deed in _deeds(deeds, *actions)
            if deed.outcome == "open" or (kind == "dns" and deed.outcome == "refused")
            # the customers' own queries stay outside
            if kind != "dns" or named(deed.actor).segment != "internet"
        ]
        ends = sum((deed.orig, deed.orig_port, deed.name) in found for deed in mine)
        verdicts.append(_count(what, len(mine), ends))
    calls_made = {(deed.orig, deed.orig_port) for deed in _deeds(deeds, "call")}
    invites = {
        (str(row.get("orig")), int(row.get("orig_port", 0)))
        for row in seen.events
        if row.get("kind") == "sip" and row.get("method") == "INVITE"
    }
    verdicts.append(_count("phones' INVITEs", len(calls_made), len(calls_made & invites)))
    return verdicts


def _logs(deeds: Sequence[Deed], seen: Seen) -> list[Verdict]:
    logins = Counter(
        (str(row.get("orig")), str(row.get("result")))
        for row in seen.events
        if row.get("kind") == "auth"
    )
    tried = Counter(
        (deed.orig, deed.outcome)
        for deed in _deeds(deeds, "password")
        if deed.outcome in {"success", "failure"}
    )
    api = sum(
        row.get("kind") == "api" and row.get("orig") == named("customer2").ipv4
        for row in seen.events
    )
    sender = f"syslog:{named('mail').ipv4}"
    sent = sum(row.get("kind") == "auth" and row.get("source") == sender for row in seen.events)
    mails = [one for one in _deeds(deeds, "password") if one.resp == named("mail").ipv4]
    return [
        _count("logins out of the servers' logs, failed and not", tried.total(),
               sum(min(logins[one], number) for one, number in tried.items())),
        _count("of them by syslog over UDP, TCP and TLS, from the mail server",
               sum(one.outcome in {"success", "failure"} for one in mails), sent),
        _count("API requests out of the API's log", len(_open(deeds, "request")), api),
    ]  # fmt: skip


def _of(rows: Iterable[Row], rule: str, subject: str) -> list[Row]:
    return [row for row in rows if row.get("rule") == rule and row.get("subject") == subject]


def _incidents(seen: Seen) -> list[Verdict]:
    verdicts = []
    guilty = {named(who).ipv4 for who in CULPRITS}
    for who, rule in CULPRITS.items():
        address = named(who).ipv4
        found = _of(seen.incidents, rule, address)
        text = ", ".join(f"{row['id']} {row['priority']} {row['state']}" for row in found)
        verdicts.append(
            Verdict(f"one incident {rule} of {address} ({who})", text or "none", len(found) == 1)
        )
    others = [row for row in seen.incidents if row["subject"] not in guilty]
    text = ", ".join(f"{row['rule']} {row['subject']}" for row in others)
    verdicts.append(Verdict("nobody else is accused", text or "nobody", not others))
    return verdicts


def _enforcement(seen: Seen) -> list[Verdict]:
    verdicts = []
    entries = {str(row["network"]).removesuffix("/32"): row for row in seen.deny}
    for who in CULPRITS:
        address = named(who).ipv4
        entry = entries.get(address)
        source = str(entry.get("source", "admin")) if entry else "not on the list"
        wanted = "admin" if who == "denied" else "response"
        verdicts.append(
            Verdict(
                f"{address} ({who}) on the deny list by {wanted}, and in the kernel",
                f"{source}; nft: {'yes' if address in seen.kernel.denied else 'no'}",
                source.startswith(wanted) and address in seen.kernel.denied,
            )
        )
    verdicts.append(
        Verdict("the kernel dropped packets (nft's counter)", f"{seen.kernel.dropped} packets",
                seen.kernel.dropped > 0)
    )  # fmt: skip
    blocked = {
        (str(row.get("orig")), str(row.get("resp")))
        for row in seen.events
        if row.get("kind") == "blocked"
    }
    for orig, resp in (("denied", "portal"), ("desk3", "denied")):
        pair = (named(orig).ipv4, named(resp).ipv4)
        verdicts.append(
            Verdict(f"blocked packets from {pair[0]} to {pair[1]} on record",
                    "yes" if pair in blocked else "none", pair in blocked)
        )  # fmt: skip
    return verdicts


_PROBES: Final = (
    ("scanner", "timeout"), ("guesser", "timeout"), ("denied", "timeout"), ("desk3", "timeout"),
    ("mailguesser", "timeout"), ("customer1", "open"), ("admin", "open"),
)  # fmt: skip
_PROBE_TEXT: Final = {"timeout": "can't get through", "open": "gets through"}


def _witnesses(seen: Seen) -> list[Verdict]:
    verdicts = []
    for who, wanted in _PROBES:
        outcome = seen.probes.get(who, "not tried")
        whom = f"{named(who).ipv4} ({who})"
        to = " to the denied contact" if who == "desk3" else ""
        verdicts.append(
            Verdict(f"{whom} {_PROBE_TEXT[wanted]}{to}", f"connection: {outcome}",
                    outcome == wanted)
        )  # fmt: skip
    return verdicts


def _central(seen: Seen) -> list[Verdict]:
    verdicts = []
    for who, rule in CULPRITS.items():
        found = _of(seen.central, rule, named(who).ipv4)
        ours = {str(row["id"]) for row in _of(seen.incidents, rule, named(who).ipv4)}
        ids = [str(row["id"]) for row in found]
        verdicts.append(
            Verdict(f"{rule} of {named(who).ipv4} at the centre, once",
                    ", ".join(ids) or "none", len(ids) == 1 and set(ids) == ours)
        )  # fmt: skip
    return verdicts


def judge_day(deeds: Sequence[Deed], seen: Seen) -> dict[str, list[Verdict]]:
    """Return the verdicts on the day, by the part of the house they are about."""
    lost = {name: number for name, number in seen.shed.items() if number}
    text = ", ".join(f"{name} {number}" for name, number in lost.items())
    return {
        "records": [
            *_records(deeds, seen),
            *_logs(deeds, seen),
            Verdict(
                "flows are connection tracking's: the gateway forwards",
                seen.source or "none",
                seen.source == "conntrack",
            ),
            Verdict("nothing was shed", text or "nothing", not lost),
        ],
        "incidents": _incidents(seen),
        "enforcement": [*_enforcement(seen), *_witnesses(seen)],
        "centre": _central(seen),
    }


def pending(verdicts: dict[str, list[Verdict]]) -> list[str]:
    """Return what is still to come."""
    return [one.expected for part in verdicts.values() for one in part if not one.ok]


def judge_scene(scene: Scene) -> list[Verdict]:
    """Return the verdicts on the scene with the centre away and the daemon killed."""
    address = named("scanner2").ipv4
    found = [str(row["id"]) for row in _of(scene.central, "port-scan", address)]
    kernel = ", ".join(sorted(scene.kernel.denied)) or "nothing"
    return [
        Verdict(f"an incident of {address} while the centre was away",
                scene.incident or "none", bool(scene.incident)),
        Verdict("the kernel went on dropping while the daemon was dead",
                f"connection: {scene.probe_while_dead}", scene.probe_while_dead == "timeout"),
        Verdict("after both are back: the incident is at the centre, once",
                ", ".join(found) or "none", found == [scene.incident]),
        Verdict("the kernel's rules equal the stored list",
                kernel, bool(scene.stored) and scene.kernel.denied == scene.stored),
    ]  # fmt: skip
