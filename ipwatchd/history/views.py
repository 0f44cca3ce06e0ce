"""The kinds of record: for each the SELECT, which filter keys mean what, and how a row is shown.

Rows are plain objects; addresses text, times epoch seconds, what is unknown empty or 0.

| kind | keys of a row |
|---|---|
| incoming | address target proto port service country first_seen last_seen count answered bytes denied |
| agent | agent address source authorised mac device zone country first_seen last_seen count |
| session | address agent start end duration open flows packets bytes services login logout zone country |
| list | ts list network action author reason hits |
| geo | address country city asn operator time_zone built first_seen last_seen |
| api | address name method status key count rate (a minute) first_seen last_seen |
| activity | ts kind address text, and the kind's own: traffic (an hour, long ago a day) has span direction zone service flows packets_in packets_out bytes_in bytes_out; list has list network action author; others the event's keys |

`port` 0 of an incoming row stands for a scan of many ports; `denied` counts packets that a deny
entry matched.
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ipwatchd.history.rollup import DAY, HOUR, unpack
from ipwatchd.history.sql import (
    address_fact,
    bucketed,
    networks,
    number,
    numbered,
    overlap,
    since,
    text,
    until,
    word,
    words,
)
from ipwatchd.records.flow import protocol_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ipwatchd.history.sql import Matcher

    Row = Mapping[str, Any]

__all__ = ["ACTIVITY", "EVENTS", "RECORDS", "View", "address_of"]


class View(NamedTuple):
    """`select` lacks WHERE, `order` is its ORDER BY; `resolve` are keys to be made addresses."""

    select: str
    order: str
    matchers: Mapping[str, Matcher]
    show: Callable[[Row], dict[str, Any]]
    resolve: frozenset[str] = frozenset({"agent", "list", "name"})


def address_of(key: bytes) -> str:
    """Return an address's text; nowhere is ""."""
    return str(unpack(key)) if any(key) else ""


def _plain(row: Row) -> dict[str, Any]:
    return {
        name: address_of(row[name]) if isinstance(row[name], bytes) else row[name]
        for name in row.keys()  # noqa: SIM118 - a sqlite3.Row iterates over its values
    }


def _about(address: str, first: str, last: str, by: str = "address") -> dict[str, Matcher]:
    """Return what can be asked of any row about one address (or its id) between two times."""
    ours = networks(address) if by == "address" else numbered(address)
    return {
        **dict.fromkeys(("addr", "src", "agent", "list", "name"), ours),
        **{fact: address_fact(fact, address, by=by) for fact in ("zone", "country", "asn")},
        "since": since(last), "until": until(first),
    }  # fmt: skip


def _incoming(row: Row) -> dict[str, Any]:
    shown = _plain(row)
    return {**shown, "proto": protocol_name(int(row["proto"]))}


def _session(row: Row) -> dict[str, Any]:
    shown = _plain(row)
    return {
        **shown,
        "open": bool(row["open"]),
        "agent": row["agent"] or "",
        "duration": round(row["end"] - row["start"], 3),
    }


def _api(row: Row) -> dict[str, Any]:
    span = max(row["last_seen"] - row["first_seen"], 60.0)
    return {**_plain(row), "rate": round(row["count"] * 60 / span, 3)}


_FACTS: Final = "coalesce(fact.zone, '') AS zone, coalesce(fact.country, '') AS country"

_AT_THE_DOOR: Final = (
    "(SELECT {0}(e.ts) FROM event e WHERE e.resp = who.address AND e.kind IN ('vpn', 'radius') "
    'AND e.ts BETWEEN s.start - 60 AND s."end" + 900 AND '
    "(json_extract(CAST(e.body AS TEXT), '$.message') = '{1}' OR "
    "json_extract(CAST(e.body AS TEXT), '$.accounting') = '{2}'))"
)
"""When a VPN or RADIUS server gave a session's address out, or took it back."""

RECORDS: Final[dict[str, View]] = {
    "incoming": View(
        "SELECT who.address, target.address AS target, i.proto, i.port, i.service, who.country, "
        "i.first_seen, i.last_seen, i.count, i.answered, i.bytes, i.denied FROM incoming i "
        "CROSS JOIN address who ON who.id = i.source "
        "CROSS JOIN address target ON target.id = i.target",
        "i.last_seen DESC, i.source",
        {
            **_about("i.source", "i.first_seen", "i.last_seen", "id"),
            "addr": numbered("i.source", "i.target"), "dst": numbered("i.target"),
            "port": number("i.port"), "proto": number("i.proto"), "service": word("i.service"),
        },
        _incoming,
    ),
    "agent": View(
        "SELECT g.agent, g.address, g.source, '' AS authorised, coalesce(d.mac, '') AS mac, "  # noqa: S608 - our own
        f"coalesce(d.hostname, '') AS device, {_FACTS}, g.first_seen, g.last_seen, g.count "
        "FROM agent g LEFT JOIN address fact ON fact.address = g.address "
        "LEFT JOIN device d ON d.address = g.address AND d.last_seen = "
        "(SELECT max(last_seen) FROM device WHERE address = g.address)",
        "g.last_seen DESC, g.agent",
        {
            **_about("g.address", "g.first_seen", "g.last_seen"),
            "agent": text("g.agent"), "user": text("g.agent"),
        },
        _plain,
        frozenset({"list", "name"}),
    ),
    "session": View(
        "SELECT who.address, (SELECT g.agent FROM agent g "  # noqa: S608 - our own
        "WHERE g.address = who.address AND "
        'g.first_seen <= s."end" AND g.last_seen >= s.start ORDER BY g.last_seen DESC LIMIT 1) '
        'AS agent, s.start, s."end", s.open, s.flows, s.packets, s.bytes, spoken.services, '
        "coalesce((SELECT min(e.ts) FROM event e WHERE e.orig = who.address AND e.kind = 'auth' "
        'AND e.ts BETWEEN s.start - 1 AND s."end" + 1 AND '
        "json_extract(CAST(e.body AS TEXT), '$.result') = 'success'), "
        f"{_AT_THE_DOOR.format('min', 'assigned', 'Start')}, 0) AS login, "
        f"max(coalesce({_AT_THE_DOOR.format('max', 'released', 'Stop')}, 0), "
        "coalesce((SELECT max(e.ts) FROM event e WHERE e.orig = who.address AND e.kind = 'logout' "
        'AND e.ts BETWEEN s.start - 1 AND s."end" + 900), 0)) AS logout, '
        "who.zone, who.country FROM session s CROSS JOIN address who ON who.id = s.address "
        "JOIN spoken USING (mask)",
        "s.id DESC",
        {**_about("s.address", "s.start", 's."end"', "id"), "service": words("spoken.services")},
        _session,
    ),
    "list": View(
        "SELECT c.ts, c.list, c.network, c.action, c.author, c.reason, "
        "(SELECT coalesce(sum(count), 0) FROM blocked WHERE orig BETWEEN c.first AND c.last "
        "AND hour >= c.ts - 3600) + "
        "(SELECT coalesce(sum(count), 0) FROM blocked WHERE resp BETWEEN c.first AND c.last "
        "AND hour >= c.ts - 3600) AS hits FROM list_change c",
        "c.ts DESC, c.id DESC",
        {
            "addr": overlap("c.first", "c.last"), "src": overlap("c.first", "c.last"),
            "list": text("c.list"), "user": text("c.author"), "agent": text("c.author"),
            "since": since("c.ts"), "until": until("c.ts"),
        },
        _plain,
        frozenset(),
    ),
    "geo": View(
        "SELECT o.address, o.country, o.city, o.asn, o.operator, o.time_zone, o.built, "
        "o.first_seen, o.last_seen FROM geo o",
        "o.last_seen DESC, o.address",
        {
            **_about("o.address", "o.first_seen", "o.last_seen"),
            "country": word("o.country"), "asn": number("o.asn"),
        },
        _plain,
    ),
    "api": View(
        "SELECT p.address, p.name, p.method, p.status, p.key, p.count, p.first_seen, p.last_seen "
        "FROM (SELECT * FROM api WHERE count > 0) p",
        "p.last_seen DESC, p.address",
        {
            **_about("p.address", "p.first_seen", "p.last_seen"),
            "name": text("p.name"), "method": text("p.method"), "status": number("p.status"),
            "user": text("p.key"),
        },
        _api,
        frozenset({"agent", "list"}),
    ),
}  # fmt: skip


def _event(row: Row) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.json.decode(row["body"])
    return shown


_EVENT_KEYS: Final[dict[str, Matcher]] = {
    "addr": networks("e.orig", "e.resp"), "src": networks("e.orig"), "dst": networks("e.resp"),
    "port": number("e.resp_port"), "proto": number("e.proto"), "kind": word("e.kind"),
    "name": text("e.name"), "user": text("e.user"), "agent": networks("e.orig", "e.resp"),
    "list": networks("e.orig", "e.resp"), "zone": address_fact("zone", "e.orig", "e.resp"),
    "country": address_fact("country", "e.orig", "e.resp"),
    "asn": address_fact("asn", "e.orig", "e.resp"), "since": since("e.ts"), "until": until("e.ts"),
}  # fmt: skip

EVENTS: Final = View(
    "SELECT e.body FROM event e", "e.ts DESC, e.id DESC", _EVENT_KEYS, _event,
    frozenset({"agent", "list"}),
)  # fmt: skip


def _traffic(row: Row) -> dict[str, Any]:
    where = f"{row['direction']} {row['zone']}".strip()
    return {
        **_plain(row),
        "kind": "traffic",
        "text": f"{where}, {row['service'] or 'other'}: {row['flows']} flows, "
        f"{row['bytes_out']} bytes out, {row['bytes_in']} in",
    }


def _happened(row: Row) -> dict[str, Any]:
    event = _event(row)
    said = [str(event[key]) for key in ("user", "method", "result", "action", "name", "service",
                                        "message", "mac", "status") if key in event]  # fmt: skip
    peer = f" → {event['resp']}" if event.get("resp") else ""
    return {**event, "address": event.get("orig", ""), "text": " ".join(said) + peer}


def _listed(row: Row) -> dict[str, Any]:
    said = f"{row['action']} {row['network']} ({row['list']}) by {row['author']}: {row['reason']}"
    return {**_plain(row), "kind": "list", "address": row["network"], "text": said}


def _summed(table: str, time: str, seconds: int) -> View:
    """Return the view of a table of roll-ups."""
    return View(
        f"SELECT r.{time} AS ts, {seconds} AS span, who.address, t.direction, t.zone, t.service, "  # noqa: S608 - our own
        f"r.flows, r.packets_in, r.packets_out, r.bytes_in, r.bytes_out FROM {table} r "
        "CROSS JOIN address who ON who.id = r.address CROSS JOIN traffic t ON t.id = r.traffic",
        f"r.{time} DESC, r.address",
        {
            **_about("r.address", f"r.{time}", f"r.{time} + {seconds}", "id"),
            **dict.fromkeys(
                ("addr", "src", "agent", "list", "name"),
                bucketed(f"r.{time}", "r.address", seconds),
            ),
            "direction": word("t.direction"), "zone": text("t.zone"), "service": word("t.service"),
        },
        _traffic,
    )  # fmt: skip


# A day's roll-ups speak for it once its hours are gone.
_OLD_DAYS: Final = (
    "(SELECT * FROM rollup_day WHERE day < "
    "coalesce((SELECT value FROM meta WHERE key = 'hours_from'), 0))"
)
ACTIVITY: Final[tuple[View, ...]] = (
    _summed("rollup", "hour", HOUR),
    _summed(_OLD_DAYS, "day", DAY),
    View(
        "SELECT e.body, e.ts FROM event e", "e.ts DESC, e.id DESC", _EVENT_KEYS, _happened,
        frozenset({"agent", "list"}),
    ),
    View(
        "SELECT c.ts, c.list, c.network, c.action, c.author, c.reason FROM list_change c",
        "c.ts DESC, c.id DESC",
        RECORDS["list"].matchers,
        _listed,
        frozenset(),
    ),
)  # fmt: skip
