"""What came of each flow's first contact: a probe that failed, a conversation, or neither. Pure.

The states are Zeek's (records.flow.STATES). Benign clients mostly reach whom they call, scanners
mostly do not (Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection Using Sequential
Hypothesis Testing, IEEE S&P 2004).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.records.address import V4_PREFIX, is_v4
from ipwatchd.records.flow import STATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ICMP", "ICMP6", "SCTP", "TCP", "UDP", "odd_protocols", "of_nobody", "probes", "strays",
    "successes", "to_many",
]  # fmt: skip

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMP6: Final = 58
SCTP: Final = 132

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
_WELL_KNOWN: Final = 1024
_ABORT_BYTES: Final = 60  # an IP header and an ABORT (RFC 9260, 3.3.7); an INIT ACK is larger
_ASKING: Final = np.array([8, 13, 17])  # echo (RFC 792), timestamp, address mask (RFC 950)
_USUAL: Final = np.array([ICMP, 2, 4, TCP, UDP, 41, 47, 50, 51, ICMP6, 89, 103, 112, SCTP])
"""IP protocols that a site has; IGMP, tunnels, IPsec, OSPF, PIM and VRRP among them."""


def probes(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which flows are first contacts that came to nothing."""
    proto = flows["proto"]
    whole = (flows["partial"] == 0) & ~of_nobody(flows, "orig")
    found: NDArray[np.bool_] = whole & (
        ((proto == TCP) & _tcp_probes(flows))
        | ((proto == UDP) & _udp_probes(flows))
        | ((proto == SCTP) & _sctp_probes(flows))
        | (_echo(flows) & (flows["resp_packets"] == 0) & (flows["orig_packets"] <= _PROBE_PACKETS))
    )
    return found


def strays(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell ACK, window and Maimon probes (nmap(1)): segments of no connection to a service's port.

    Whoever wakes from sleep sends such segments too, one each to many servers, and a server's late
    ones go to clients' ports: these are a scan only where they go to many services of one host.
    """
    flags = flows["orig_flags"]
    found: NDArray[np.bool_] = (
        (flows["proto"] == TCP) & (flows["partial"] == 0)
        & ((flags & (_SYN | _ACK | _RST)) == _ACK)
        & (flows["orig_packets"] > 0) & (flows["orig_packets"] <= 2)
        & (flows["resp_packets"] <= 1)
        & (flows["resp_port"] < _WELL_KNOWN) & (flows["orig_port"] >= _WELL_KNOWN)
        & ~_payload(flows, "orig") & ~_payload(flows, "resp")
    )  # fmt: skip
    return found


def odd_protocols(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell packets of IP protocols that hardly any site has, without an answer."""
    found: NDArray[np.bool_] = (
        ~np.isin(flows["proto"], _USUAL) & (flows["partial"] == 0)
        & (flows["resp_packets"] == 0) & (flows["orig_packets"] > 0)
        & (flows["orig_packets"] <= _PROBE_PACKETS) & ~to_many(flows)
    )  # fmt: skip
    return found


def successes(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which flows are conversations: payload one way at least, or an answered datagram."""
    talked = _payload(flows, "orig") | _payload(flows, "resp")
    answered = (flows["proto"] != TCP) & (flows["resp_packets"] > 0)
    found: NDArray[np.bool_] = answered & ((flows["proto"] == UDP) | _echo(flows))
    found |= answered & (flows["proto"] == SCTP) & ~_sctp_probes(flows)
    found |= (flows["proto"] == TCP) & _ESTABLISHED[flows["state"]] & talked
    return found


def _tcp_probes(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    flags, state = flows["orig_flags"], flows["state"]
    # A SYN+ACK nobody asked for is the victim of a flood with forged sources, not a scanner.
    unasked = (flags & (_SYN | _ACK)) == (_SYN | _ACK)
    failed = _FAILED[state] & ~(unasked & (state == _UNANSWERED))
    # An ACK without a SYN belongs to a connection of before: who wakes from sleep ends many.
    failed &= (flags & (_SYN | _ACK)) != _ACK
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


def _sctp_probes(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell associations asked for and refused (ABORT), left, or never answered (RFC 9260, 5.1)."""
    refused = (flows["resp_packets"] <= 1) & (flows["resp_bytes"] <= _ABORT_BYTES)
    found: NDArray[np.bool_] = (
        (flows["orig_packets"] > 0) & (flows["orig_packets"] <= _PROBE_PACKETS) & refused
    )
    return found


def _echo(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell what asks by ICMP whether a host is there (RFC 792, RFC 950, RFC 4443 type 128)."""
    kind = flows["icmp_type"]
    found: NDArray[np.bool_] = ((flows["proto"] == ICMP) & np.isin(kind, _ASKING)) | (
        (flows["proto"] == ICMP6) & (kind == 128)
    )
    return found & ~to_many(flows)


def of_nobody(flows: NDArray[np.void], side: str) -> NDArray[np.bool_]:
    """Tell records whose end is unspecified (0.0.0.0, ::): capture summed a flood in them."""
    lo = flows[f"{side}_lo"]
    found: NDArray[np.bool_] = (flows[f"{side}_hi"] == 0) & (
        (lo == 0) | (lo == np.uint64(V4_PREFIX))
    )
    return found


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
