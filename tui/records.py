"""Which columns each kind of record has: the seven kinds, flows, events, incidents, entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tui import fields, quantity
from tui.fields import address, amount, denied, ends, moment, number, plain, when
from tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from tui.columns import Column, Row

__all__ = ["ENTRIES", "INCIDENTS", "KINDS", "TOP", "address_of", "columns_for", "identify"]

TOP: Final = (
    denied(),
    address(),
    plain("zone", "ZONE", least=6, most=18, rank=2),
    plain("country", "CC", least=2, most=3, rank=2),
    plain("agent", "AGENT", least=6, most=20, rank=3),
    number("flows", "FLOWS", rank=1, least=6),
    number("packets", "PACKETS", rank=6, least=7),
    amount("bytes", "BYTES", rank=0),
    fields.bar("bytes", rank=3),
    when("last_seen", "SEEN", rank=1),
)

INCIDENTS: Final = (
    fields.priority(),
    fields.state(),
    when("last_seen", "AGE", rank=0),
    plain("title rule", "TITLE", least=16, most=60, rank=0, grow=True),
    address("subject", "SUBJECT"),
    number("count", "COUNT", rank=4),
    plain("severity", "SEVERITY", least=8, most=8, rank=6, meaning="quiet"),
    plain("class", "CLASS", least=8, most=24, rank=7, meaning="quiet"),
    plain("owner", "OWNER", least=6, most=16, rank=5, meaning="quiet"),
)

ENTRIES: Final = (
    address("network", "NETWORK", most=43),
    ends(rank=1),
    plain("reason", "REASON", least=12, most=60, rank=1, grow=True),
    plain("author", "BY", least=6, most=16, rank=2, meaning="quiet"),
    plain("source", "SOURCE", least=6, most=24, rank=3, meaning="quiet"),
    when("created", "AGE", rank=3),
    plain("ticket", "TICKET", least=6, most=12, rank=5, meaning="quiet"),
)

_PLACE: Final = plain("country", "CC", least=2, most=3, rank=2)

KINDS: Final[dict[str, tuple[Column, ...]]] = {
    "incoming": (
        denied(), address("address orig"), _PLACE,
        plain("service", "SERVICE", least=6, most=14, rank=1),
        number("port", "PORT", rank=2, form=lambda value: f"{value}"),
        plain("proto", "PROTO", least=5, most=6, rank=5, meaning="quiet"),
        address("target", "TARGET", rank=3),
        number("count", "COUNT", rank=1), number("answered", "ANSWERED", rank=6),
        amount("bytes", "BYTES", rank=4),
        when("first_seen", "FIRST", rank=3), when("last_seen", "LAST", rank=0),
    ),
    "agent": (
        plain("agent", "AGENT", least=10, most=28, rank=0, meaning="strong"),
        address(), plain("mac", "MAC", least=17, most=17, rank=2, meaning="quiet"),
        plain("device", "DEVICE", least=8, most=20, rank=5),
        plain("source", "SOURCE", least=6, most=14, rank=4, meaning="quiet"),
        when("first_seen start", "FIRST", rank=3), when("last_seen end", "LAST", rank=0),
    ),
    "session": (
        address(), plain("agent", "AGENT", least=8, most=20, rank=2),
        moment("start", "START", rank=0, seconds=False),
        moment("end", "END", rank=2, seconds=False),
        number("duration", "TIME", rank=1, form=quantity.duration, least=7),
        number("flows", "FLOWS", rank=1), amount("bytes", "BYTES", rank=1),
        plain("services", "SERVICES", least=8, most=40, rank=3, grow=True),
    ),
    "list": (
        moment("time ts created", "TIME", rank=0), plain("list", "LIST", least=5, most=6, rank=1),
        address("network", "NETWORK", most=43),
        plain("action", "ACTION", least=6, most=10, rank=1),
        plain("author", "BY", least=6, most=16, rank=2, meaning="quiet"),
        plain("reason", "REASON", least=10, most=60, rank=2, grow=True),
        number("hits", "HITS", rank=3),
    ),
    "geo": (
        address(), _PLACE, plain("city", "CITY", least=8, most=20, rank=2),
        plain("asn", "ASN", least=6, most=10, rank=1, meaning="quiet"),
        plain("operator", "OPERATOR", least=10, most=40, rank=1, grow=True),
        plain("time_zone", "TIME ZONE", least=10, most=24, rank=5, meaning="quiet"),
        when("first_seen", "FIRST", rank=3), when("last_seen", "LAST", rank=1),
    ),
    "api": (
        address("address orig"), plain("name host", "HOST", least=10, most=40, rank=1, grow=True),
        plain("method", "METHOD", least=6, most=8, rank=1),
        plain("status", "STATUS", least=6, most=6, rank=1),
        number("count", "COUNT", rank=1), number("rate", "/MIN", rank=3),
        plain("key", "KEY", least=8, most=20, rank=4),
        when("first_seen", "FIRST", rank=4), when("last_seen", "LAST", rank=0),
    ),
    "activity": (
        moment("ts time start", "TIME", rank=0),
        plain("kind", "KIND", least=8, most=12, rank=0, meaning="info"),
        address("address", rank=2),
        plain("text title name reason detail", "WHAT", least=16, most=90, rank=0, grow=True),
    ),
    "flows": (
        moment("start", "START", rank=2), address("orig", "ORIGINATOR"),
        number("orig_port", "PORT", rank=3, form=lambda value: f"{value}"),
        address("resp", "RESPONDER"),
        number("resp_port", "PORT", rank=1, form=lambda value: f"{value}"),
        plain("proto", "PROTO", least=5, most=6, rank=2),
        plain("service", "SERVICE", least=7, most=12, rank=2),
        plain("state", "STATE", least=5, most=7, rank=3, meaning="quiet"),
        amount("orig_bytes resp_bytes", "BYTES", rank=1),
        number("orig_packets", "PACKETS", rank=5),
    ),
    "events": (
        moment("ts", "TIME", rank=2),
        plain("kind", "KIND", least=7, most=8, rank=0, meaning="info"),
        address("orig", "ORIGINATOR"),
        plain("name user message method action version", "NAME", least=12, most=70, rank=0,
              grow=True),
        address("resp", "RESPONDER", rank=3),
        number("resp_port", "PORT", rank=4, form=lambda value: f"{value}"),
    ),
}  # fmt: skip
"""Kind of record → its columns; a kind's keys are docs/records.md's. Others are added."""

_KNOWN: Final[dict[str, frozenset[str]]] = {
    "incoming": frozenset({"host"}), "api": frozenset({"host"}),
    "session": frozenset({"open", "packets"}), "list": frozenset({"ts"}),
    "activity": frozenset({
        "direction", "zone", "service", "flows", "bytes_in", "bytes_out", "orig", "orig_port",
        "resp", "resp_port", "list", "network", "action", "author", "reason",
    }),
    "events": frozenset({"orig_port", "source", "user", "method", "message", "action", "version"}),
    "flows": frozenset({
        "end", "orig_bytes", "resp_bytes", "orig_packets", "resp_packets", "community_id", "iface",
    }),
}  # fmt: skip
_HIDDEN: Final = frozenset({"id", "site", "denied", "seq"})
_EXTRA: Final = 12
"""Columns made of keys that are not in the table: a row of thousands must not stall layout."""


def columns_for(kind: str, rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return a kind's columns, and one for each further plain value that the first rows have."""
    known = KINDS.get(kind, ())
    names = {column.key for column in known} | _HIDDEN | _KNOWN.get(kind, frozenset())
    extra: dict[str, Column] = {}
    for row in rows[:20]:
        for key, value in row.items():
            fresh = key not in names and key not in extra and len(extra) < _EXTRA
            if fresh and value not in (None, "", 0) and not isinstance(value, (dict, list)):
                extra[key] = _derived(key)
    return (*known, *extra.values())


def _derived(key: str) -> Column:
    title = clean(key).replace("_", " ").upper()[:16]
    if key.endswith("_seen"):
        return when(key, title, rank=8)
    if key == "built":  # of a database: the year counts
        return moment(key, "DATA OF", rank=8)
    if key in {"ts", "time", "start", "end", "login", "logout"}:
        return moment(key, title, rank=8, seconds=False)
    if key == "bytes" or key.startswith("bytes_"):
        return amount(key, title, rank=8)
    if key in {"flows", "packets", "count", "hits"}:
        return number(key, title, rank=8)
    return plain(key, title, least=max(4, min(len(title), 12)), most=24, rank=9, meaning="quiet")


def identify(row: Row) -> Hashable:
    """Return what tells a row from others, so that the cursor stays on it when rows change."""
    if row.get("id") is not None:
        return clean(row["id"])
    keys = (
        "address", "network", "agent", "mac", "ts", "time", "start", "kind", "orig", "orig_port",
        "resp", "resp_port", "proto", "service", "port", "name", "host", "method", "status", "list",
    )  # fmt: skip
    return tuple(clean(row.get(key, "")) for key in keys)


def address_of(row: Row) -> str:
    """Return the address or network that a row is about, "" where it is about none."""
    for key in ("address", "network", "subject", "orig"):
        value = row.get(key)
        if fields.is_address(value):
            return str(value)
    return ""
