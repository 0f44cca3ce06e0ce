"""Connections as the kernel tells them (dtype ENTRY) → flows; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.capture.conntrack_entry import (
    ASSURED,
    CLOSE,
    COUNTED,
    ESTABLISHED,
    IPS_DST_NAT,
    IPS_SRC_NAT,
    KNOWN,
    LAST_ACK,
    PARTIAL,
    SEEN_REPLY,
    STARTED,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)
from ipwatchd.capture.network import ICMP, ICMP6, TCP, UDP
from ipwatchd.capture.ports import SERVICE_BY_PORT
from ipwatchd.capture.tcp import ACK, FIN, RST, SYN
from ipwatchd.records.flow import STATES, empty_flows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NO_INTERFACE", "flows_of", "growth"]

NO_INTERFACE: Final = 0xFFFF
"""`iface` of a flow: connection tracking does not say."""


def _states(names: dict[int, str]) -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for state, name in names.items():
        table[state] = STATES.index(name)
    return table


_FIN_WAIT, _CLOSE_WAIT = 4, 5
_STATE: Final = _states({
    SYN_SENT: "S0", SYN_RECV: "S1", ESTABLISHED: "S1", _FIN_WAIT: "S2", _CLOSE_WAIT: "S2",
    LAST_ACK: "SF", TIME_WAIT: "SF", CLOSE: "RSTO",
})  # fmt: skip
"""enum tcp_conntrack → conn_state, where nothing else is known (docs/capture.md)."""
_S3, _OTH, _S0, _SF, _REJ, _RSTOS0 = (
    np.uint8(STATES.index(name)) for name in ("S3", "OTH", "S0", "SF", "REJ", "RSTOS0")
)


def growth(entries: NDArray[np.void]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return packets and bytes since the last record, each (rows, 2): originator, responder.

    Counters that went back (another program set them to zero) count from zero.
    """
    parts = []
    for name in ("packets", "bytes"):
        now, told = entries[name], entries[f"told_{name}"]
        parts.append(np.where(now >= told, now - told, now))
    return parts[0], parts[1]


def flows_of(entries: NDArray[np.void]) -> NDArray[np.void]:
    """Return entries as flows of dtype FLOW; `last` says when their last packet passed.

    NAT is undone: the originator is who began, under its own address, the responder who really
    answered. `nat_…` is the address that the other side saw: the originator's translated one, or
    the one that it called where the responder's is translated.
    """
    flows = empty_flows(len(entries))
    if not len(entries):
        return flows
    _ends(entries, flows)
    packets, octets = growth(entries)
    for side, name in enumerate(("orig", "resp")):
        flows[f"{name}_packets"], flows[f"{name}_bytes"] = packets[:, side], octets[:, side]
    started = (entries["bits"] & STARTED) != 0
    known = (entries["bits"] & KNOWN) != 0
    start = np.select([known, started], [entries["since"], entries["start"]], entries["last"])
    flows["end"] = entries["last"]
    flows["start"] = np.minimum(start, entries["last"])
    for name in ("proto", "icmp_type", "icmp_code"):
        flows[name] = entries[name]
    flows["iface"] = NO_INTERFACE
    flows["partial"] = (entries["bits"] & PARTIAL) != 0
    _conn_states(entries, flows)
    _services(flows)
    return flows


def _ends(entries: Any, flows: Any) -> None:
    for part in ("hi", "lo"):
        flows[f"orig_{part}"] = entries[f"orig_src_{part}"]
        flows[f"resp_{part}"] = entries[f"reply_src_{part}"]
    icmp = (entries["proto"] == ICMP) | (entries["proto"] == ICMP6)
    flows["orig_port"] = np.where(icmp, 0, entries["orig_sport"])
    flows["resp_port"] = np.where(icmp, 0, entries["reply_sport"])
    source = (entries["status"] & IPS_SRC_NAT) != 0
    target = (entries["status"] & IPS_DST_NAT) != 0
    for part, seen, called in (
        ("hi", "reply_dst_hi", "orig_dst_hi"),
        ("lo", "reply_dst_lo", "orig_dst_lo"),
        ("port", "reply_dport", "orig_dport"),
    ):
        column = flows[f"nat_{part}"]
        column[target] = entries[called][target]
        column[source] = entries[seen][source]
    flows["nat_port"][icmp] = 0


def _conn_states(entries: Any, flows: Any) -> None:
    counted = (entries["bits"] & COUNTED) != 0
    sent = entries["packets"]
    replied = (entries["status"] & SEEN_REPLY) != 0
    answered = np.where(counted, sent[:, 1] > 0, replied)
    tcp, proto = entries["tcp"], entries["proto"]
    by_tcp = np.select(
        [
            (tcp == SYN_SENT) & answered,
            # Picked up in mid-stream, and nobody answers.
            (tcp == ESTABLISHED) & ~answered,
            ((tcp == _FIN_WAIT) | (tcp == _CLOSE_WAIT)) & (entries["closer"] == 2),
            # A reset that answers a SYN ends the entry at once, before it counts as a reply.
            (tcp == CLOSE) & answered & ~replied,
            (tcp == CLOSE) & ~answered,
        ],
        [_OTH, _OTH, _S3, _REJ, _RSTOS0],
        _STATE[tcp],
    )
    by_udp = np.where(answered, _SF, _S0)
    flows["state"] = np.select([proto == TCP, proto == UDP], [by_tcp, by_udp], _OTH)
    _flags(entries, flows, answered)


def _flags(entries: Any, flows: Any, answered: NDArray[np.bool_]) -> None:
    """Set the TCP flags that the state implies; others may have been there."""
    tcp = entries["tcp"]
    is_tcp = (entries["proto"] == TCP) & (flows["state"] != _OTH)
    closed = (tcp == TIME_WAIT) | (tcp == LAST_ACK)
    refused = flows["state"] == _REJ
    assured = (entries["status"] & ASSURED) != 0
    orig = SYN | np.where(assured, ACK, 0) | np.where(closed, FIN | ACK, 0)
    orig = orig | np.where(flows["state"] == _RSTOS0, RST, 0)
    resp = np.where(answered & ~refused, SYN | ACK, 0) | np.where(closed, FIN, 0)
    resp = resp | np.where(refused, RST | ACK, 0)
    flows["orig_flags"] = np.where(is_tcp, orig, 0)
    flows["resp_flags"] = np.where(is_tcp, resp, 0)


def _services(flows: Any) -> None:
    proto = flows["proto"]
    transport = np.where(proto == TCP, 0, 1)
    by_port = SERVICE_BY_PORT[transport, flows["resp_port"]]
    by_port[(proto != TCP) & (proto != UDP)] = 0
    flows["service"] = by_port
