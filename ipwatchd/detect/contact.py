"""What came of each flow's first contact: a probe that failed, a conversation, or neither. Pure.

The states are Zeek's (records.flow.STATES). Benign clients mostly reach whom they call, scanners
mostly do not (Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection Using Sequential
Hypothesis Testing, IEEE S&P 2004).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.records.address import is_v4
from ipwatchd.records.flow import STATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ICMP", "ICMP6", "TCP", "UDP", "probes", "successes", "to_many"]

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMP6: Final = 58

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16


def _table(*names: str) -> NDArray[np.bool_]:
    """Return a look-up by state index."""
    table = np.zeros(256, np.bool_)
    table[[STATES.index(name) for name in names]] = True
    return table


_FAILED: Final = _table("S0", "REJ", "RSTOS0", "SH")
_ESTABLISHED: Final = _table("S1", "SF", "S2", "S3", "RSTO", "RSTR")
_ABORTED: Final = STATES.index("RSTO")
_UNANSWERED: Final = STATES.index("S0")

_PROBE_PACKETS: Final = 4  # a first packet and its retries; more is a stream nobody answers
_TRACEROUTE: Final = (33434, 33689)  # traceroute(8): one port up for each of 256 probes
_EPHEMERAL: Final = 32768
_QUIC: Final = 443


def probes(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which flows are first contacts that came to nothing."""
    proto = flows["proto"]
    whole = flows["partial"] == 0
    found: NDArray[np.bool_] = whole & (
        ((proto == TCP) & _tcp_probes(flows))
        | ((proto == UDP) & _udp_probes(flows))
        | (_echo(flows) & (flows["resp_packets"] == 0) & (flows["orig_packets"] <= _PROBE_PACKETS))
    )
    return found


def successes(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which flows are conversations: payload one way at least, or an answered datagram."""
    talked = _payload(flows, "orig") | _payload(flows, "resp")
    answered = (flows["proto"] != TCP) & (flows["resp_packets"] > 0)
    found: NDArray[np.bool_] = answered & ((flows["proto"] == UDP) | _echo(flows))
    found |= (flows["proto"] == TCP) & _ESTABLISHED[flows["state"]] & talked
    return found


def _tcp_probes(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    flags, state = flows["orig_flags"], flows["state"]
    # A SYN+ACK nobody asked for is the victim of a flood with forged sources, not a scanner.
    unasked = (flags & (_SYN | _ACK)) == (_SYN | _ACK)
    failed = _FAILED[state] & ~(unasked & (state == _UNANSWERED))
    # SYN, SYN+ACK, RST: a port found open and left (half-open and connect scans).
    left = (
        (state == _ABORTED)
        & ((flags & _SYN) != 0)
        & (flows["orig_packets"] <= 3)
        & ~_payload(flows, "orig")
    )
    # All but SYN and some RSTs carry ACK (RFC 9293, 3.10.7.4): FIN, NULL and Xmas scans do not.
    bare = (
        ((flags & (_SYN | _ACK | _RST)) == 0)
        & ((flags | flows["resp_flags"]) != 0)
        & (flows["orig_packets"] > 0)
        & (flows["orig_packets"] <= _PROBE_PACKETS)
    )
    probing: NDArray[np.bool_] = failed | left | bare
    return probing


def _udp_probes(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    port = flows["resp_port"]
    traceroute = (port >= _TRACEROUTE[0]) & (port <= _TRACEROUTE[1])
    # A late answer, its query's flow gone: from a service's port to a client's.
    late_answer = (flows["orig_port"] < 1024) & (port >= _EPHEMERAL)
    # Browsers try QUIC first and fall back to TCP where it is blocked (RFC 9308, 2).
    fallback = port == _QUIC
    probing: NDArray[np.bool_] = (
        (flows["resp_packets"] == 0)
        & (flows["orig_packets"] <= _PROBE_PACKETS)
        & ~(traceroute | late_answer | fallback | to_many(flows))
    )
    return probing


def _echo(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell echo requests (RFC 792 type 8, RFC 4443 type 128)."""
    kind = flows["icmp_type"]
    found: NDArray[np.bool_] = ((flows["proto"] == ICMP) & (kind == 8)) | (
        (flows["proto"] == ICMP6) & (kind == 128)
    )
    return found & ~to_many(flows)


def to_many(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell multicast and the limited broadcast: nobody need answer."""
    hi, lo = flows["resp_hi"], flows["resp_lo"]
    low = lo & np.uint64(0xFFFF_FFFF)
    four = is_v4(hi, lo) & ((low >> np.uint64(28) == 0xE) | (low == 0xFFFF_FFFF))
    many: NDArray[np.bool_] = four | (hi >> np.uint64(56) == 0xFF)
    return many


def _payload(flows: NDArray[np.void], side: str) -> NDArray[np.bool_]:
    """Tell where there is payload for sure: more bytes than headers with all options can take."""
    headers = np.where(is_v4(flows["orig_hi"], flows["orig_lo"]), 60, 80).astype(np.uint64)
    talked: NDArray[np.bool_] = flows[f"{side}_bytes"] > flows[f"{side}_packets"] * headers
    return talked
