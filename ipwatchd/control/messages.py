"""The shapes that cross the control socket, as JSON. Fields are added, never renamed.

Times are epoch seconds, rates are per second. Rows of records, flows and events are plain objects
(docs/records.md and DESIGN 6 name their keys).
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "Applied", "AuditRow", "Check", "Export", "ExportBatch", "FirewallState", "IncidentDetail",
    "InterfaceState", "ListChange", "Page", "Problem", "Rates", "Status", "Throughput", "TopRow",
    "UplinkState", "Zone",
]  # fmt: skip


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A shape of the API."""


class Problem(Message, frozen=True):
    """Why a call was refused: one sentence for a person; `exit` is the command's status."""

    error: str
    exit: int = 2


class Check(Message, frozen=True):
    """One line of health: `note` says what is wrong and the mend, or how it is."""

    name: str
    ok: bool
    note: str = ""


class InterfaceState(Message, frozen=True):
    """A captured interface; `state` is up, down or missing."""

    name: str
    state: str
    packets: int = 0
    bytes: int = 0
    drops: int = 0


class Rates(Message, frozen=True):
    """What is going on now, over the last five seconds."""

    packets: float = 0.0
    bits: float = 0.0
    flows: float = 0.0


class FirewallState(Message, frozen=True):
    """The kernel's side: element counts and what was dropped, or would have been."""

    mode: str = "off"
    present: bool = False
    in_sync: bool = False
    deny: int = 0
    allow: int = 0
    packets: int = 0
    bytes: int = 0
    confirm_by: float = 0.0
    note: str = ""
    repairs: int = 0
    changed_by: str = ""


class UplinkState(Message, frozen=True):
    """The way to the centre: `waiting` events are not yet committed there."""

    url: str = ""
    reachable: bool = False
    committed: int = 0
    waiting: int = 0
    last_success: float = 0.0
    error: str = ""


class Status(Message, frozen=True):
    """The agent at a glance. `live` is false where a state folder is read without a daemon."""

    version: str
    site: str
    now: float
    live: bool
    pid: int = 0
    started: float = 0.0
    first_packet: float = 0.0
    memory_bytes: int = 0
    flows_live: int = 0
    rates: Rates = Rates()
    interfaces: tuple[InterfaceState, ...] = ()
    firewall: FirewallState = FirewallState()
    uplink: UplinkState = UplinkState()
    incidents_open: dict[str, int] = {}
    """priority → open incidents"""
    escalation: dict[str, Any] = {}
    """unanswered, oldest, sending, failed, troubles, hushed, note, counters; next_clock"""
    history: dict[str, Any] = {}
    health: tuple[Check, ...] = ()
    shed: dict[str, int] = {}
    """name of a full queue, table or buffer → what it had to let go"""


class Throughput(Message, frozen=True):
    """One bucket of traffic, for a sparkline."""

    ts: float
    bytes: int
    packets: int = 0
    flows: int = 0


class TopRow(Message, frozen=True):
    """One of the busiest addresses."""

    address: str
    zone: str = ""
    country: str = ""
    agent: str = ""
    flows: int = 0
    packets: int = 0
    bytes: int = 0
    last_seen: float = 0.0
    denied: bool = False
    since: float = 0.0
    until: float = 0.0
    counted: str = "hours"
    """what it was counted from: whole hours, or each of the flows; `since` and `until` say which"""


class Page(Message, frozen=True):
    """Some rows of a long list; `more` says whether there are any after them."""

    rows: tuple[dict[str, Any], ...]
    more: bool = False
    note: str = ""
    """what the answer could not reach, a sentence"""


class Export(Message, frozen=True):
    """An export that was begun; `pseudonyms` tells whether its rows are under them."""

    id: str
    pseudonyms: bool = True


class ExportBatch(Message, frozen=True):
    """The next rows; of `total` parts `done` are read. After the `last` there are none."""

    rows: tuple[dict[str, Any], ...]
    last: bool = False
    done: int = 0
    total: int = 0


class ListChange(Message, frozen=True):
    """What a change of a list did: the entry and a note on what was mended or is in force."""

    entry: dict[str, Any]
    note: str = ""
    applied: bool = False


class Applied(Message, frozen=True):
    """What a change of the firewall did, and until when it must be confirmed (0: it need not)."""

    mode: str
    note: str = ""
    confirm_by: float = 0.0


class IncidentDetail(Message, frozen=True):
    """An incident and its timeline."""

    incident: dict[str, Any]
    timeline: tuple[dict[str, Any], ...]


class Zone(Message, frozen=True):
    """A zone and its networks."""

    name: str
    networks: tuple[str, ...]
    source: str = ""
    """who says so: the configuration, the kernel's addresses and routes, or a default"""


class AgentRow(Message, frozen=True):
    """An agent at an address, as far as is known; without an address one of the roster elsewhere.

    `source` told it, `confidence` is 0 to 1, `until` how long it is believed; `known`: in the
    roster.
    """

    agent: str
    known: bool = False
    team: str = ""
    client: str = ""
    shift: str = ""
    address: str = ""
    mac: str = ""
    zone: str = ""
    country: str = ""
    source: str = ""
    confidence: float = 0.0
    since: float = 0.0
    until: float = 0.0


class AuditRow(Message, frozen=True):
    """Who looked at what, who changed what."""

    seq: int
    time: float
    actor: str
    action: str
    subject: str
    detail: str = ""
