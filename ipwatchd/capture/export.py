"""Rows of the table → flows of dtype FLOW: originator and responder, conn_state, service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.capture.network import ICMP, ICMP6, TCP, UDP
from ipwatchd.capture.ports import SERVICE_BY_PORT
from ipwatchd.capture.table import ORIG_B, PARTIAL, PAYLOAD, SEEN_A, SEEN_B
from ipwatchd.capture.tcp import CLOSED, ESTABLISHED, INACTIVE, MIDSTREAM, RESET, SYN_SENT
from ipwatchd.records.flow import STATES, empty_flows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["flows_of"]


def _tcp_states() -> NDArray[np.uint8]:
    """Tabulate Zeek's conn_state by originator's state, responder's state and payload seen.

    The order of the tests is that of determine_service's neighbour conn_state() in Zeek's
    base/protocols/conn/main.zeek.
    """
    table = np.zeros((8, 8, 2), np.uint8)
    for orig in range(6):
        for resp in range(6):
            for payload in range(2):
                name = _tcp_state(orig, resp, payload=bool(payload))
                table[orig, resp, payload] = STATES.index(name)
    return table


def _tcp_state(orig: int, resp: int, *, payload: bool) -> str:  # noqa: PLR0911 - a decision table
    unheard = {INACTIVE, MIDSTREAM}
    if resp == RESET:
        if orig == SYN_SENT or (orig == RESET and not payload):
            return "REJ"
        return "RSTRH" if orig in unheard else "RSTR"
    if orig == RESET:
        return "RSTOS0" if resp in unheard else "RSTO"
    if orig == CLOSED:
        if resp == CLOSED:
            return "SF"
        return "SH" if resp in unheard else "S2"
    if resp == CLOSED:
        return "SHR" if orig in unheard else "S3"
    if orig == SYN_SENT and resp == INACTIVE:
        return "S0"
    return "S1" if orig == resp == ESTABLISHED else "OTH"


_TCP_STATES: Final = _tcp_states()
_UDP_STATES: Final = np.array([STATES.index(name) for name in ("OTH", "S0", "SHR", "SF")], np.uint8)
"""By who was heard: nobody, the originator, the responder, both."""


def flows_of(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return exported rows (dtype ROW) as flows; zones and direction are for others to fill."""
    flows = empty_flows(len(rows))
    if not len(rows):
        return flows
    swapped = (rows["bits"] & ORIG_B) != 0
    _addresses(rows, swapped, flows)
    for name in ("packets", "bytes", "flags"):
        orig, resp = _oriented(rows[name], swapped)
        flows[f"orig_{name}"], flows[f"resp_{name}"] = orig, resp
    flows["start"], flows["end"] = rows["start"], rows["last"]
    for name in ("vlan", "iface", "proto", "icmp_type", "icmp_code"):
        flows[name] = rows[name]
    flows["partial"] = (rows["bits"] & PARTIAL) != 0
    _states(rows, swapped, flows)
    _services(rows, flows)
    return flows


def _addresses(rows: Any, swapped: NDArray[np.bool_], flows: Any) -> None:
    for part in ("hi", "lo", "port"):
        a, b = rows[f"a_{part}"], rows[f"b_{part}"]
        flows[f"orig_{part}"] = np.where(swapped, b, a)
        flows[f"resp_{part}"] = np.where(swapped, a, b)
    icmp = (rows["proto"] == ICMP) | (rows["proto"] == ICMP6)
    flows["orig_port"][icmp] = 0
    flows["resp_port"][icmp] = 0


def _oriented(pair: NDArray[Any], swapped: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    first, second = pair[:, 0], pair[:, 1]
    return np.where(swapped, second, first), np.where(swapped, first, second)


def _states(rows: Any, swapped: NDArray[np.bool_], flows: Any) -> None:
    bits = rows["bits"]
    orig, resp = _oriented(rows["tcp"], swapped)
    tcp = _TCP_STATES[orig, resp, ((bits & PAYLOAD) != 0).astype(np.uint8)]
    seen_a, seen_b = (bits & SEEN_A) != 0, (bits & SEEN_B) != 0
    seen_orig = np.where(swapped, seen_b, seen_a)
    seen_resp = np.where(swapped, seen_a, seen_b)
    udp = _UDP_STATES[seen_orig + 2 * seen_resp.astype(np.uint8)]
    proto = rows["proto"]
    flows["state"] = np.select([proto == TCP, proto == UDP], [tcp, udp], 0)


def _services(rows: Any, flows: Any) -> None:
    proto = rows["proto"]
    transport = np.where(proto == TCP, 0, 1)
    by_port = SERVICE_BY_PORT[transport, flows["resp_port"]]
    by_port[(proto != TCP) & (proto != UDP)] = 0
    flows["service"] = np.where(rows["service"] != 0, rows["service"], by_port)
