"""Rows that serve nobody, and rows seen from their other end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.contact import ICMP, ICMP6, TCP
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["answered_pings", "strays", "turned"]

_SYN: Final = 2
_PINGED: Final = np.array([ICMP, ICMP6])
_STRAYED: Final = 4  # segments of one five-tuple; more are a connection that capture came late to
_HEADERS: Final = 80  # bytes of IPv6 and TCP with its options, of IPv4 fewer
_INWARD: Final = np.array([
    Direction.UNKNOWN, Direction.OUTGOING, Direction.INCOMING, Direction.INTERNAL,
    Direction.TRANSIT,
])  # fmt: skip
"""A direction seen from the other end."""


def answered_pings(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell pings that were answered: a flood of them costs twice."""
    found: NDArray[np.bool_] = (
        np.isin(flows["proto"], _PINGED) & (flows["orig_packets"] > 0) & (flows["resp_packets"] > 0)
    )
    return found


def strays(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell TCP segments of no connection, with no payload: floods of ACK, RST or FIN."""
    found: NDArray[np.bool_] = (
        (flows["proto"] == TCP) & (((flows["orig_flags"] | flows["resp_flags"]) & _SYN) == 0)
        & (flows["orig_packets"] > 0) & (flows["orig_packets"] <= _STRAYED)
        & (flows["orig_bytes"] <= flows["orig_packets"] * np.uint64(_HEADERS))
        & (flows["partial"] == 0)
    )  # fmt: skip
    return found


def turned(flows: NDArray[np.void]) -> NDArray[np.void]:
    """Return flows with their ends exchanged."""
    found = flows.copy()
    for column in ("hi", "lo", "packets", "bytes", "port", "zone", "flags"):
        found[f"orig_{column}"], found[f"resp_{column}"] = (
            flows[f"resp_{column}"], flows[f"orig_{column}"],
        )  # fmt: skip
    found["direction"] = _INWARD[flows["direction"]]
    return found
