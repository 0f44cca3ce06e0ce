"""TCP endpoint states after Zeek's analyzer, from which its conn_state follows (export.py)."""

from __future__ import annotations

from typing import Any, Final

from ipwatchd.capture.jit import compiled, inlined

__all__ = [
    "ACK", "CLOSED", "ESTABLISHED", "FIN", "INACTIVE", "MIDSTREAM", "RESET", "RST", "SYN",
    "SYN_SENT", "advance", "ended",
]  # fmt: skip

FIN: Final = 1
SYN: Final = 2
RST: Final = 4
ACK: Final = 16

INACTIVE: Final = 0
SYN_SENT: Final = 1
MIDSTREAM: Final = 2
"""Heard without a handshake (Zeek's TCP_PARTIAL)."""
ESTABLISHED: Final = 3
CLOSED: Final = 4
RESET: Final = 5


@compiled
def advance(row: Any, side: int, flags: int) -> None:
    """Move the endpoint that sent a segment, and its peer where that answers it."""
    states = row["tcp"]
    own = states[side]
    peer = states[1 - side]
    if flags & RST:
        # After an exchange of FINs a reset changes nothing any more.
        if not (own == CLOSED and peer == CLOSED):
            states[side] = RESET
    elif flags & SYN:
        if own <= SYN_SENT and flags & ACK:
            states[side] = ESTABLISHED
            if peer == SYN_SENT:
                states[1 - side] = ESTABLISHED
        elif own == INACTIVE:
            states[side] = SYN_SENT
    elif flags & FIN:
        if own != RESET:
            states[side] = CLOSED
    elif own == INACTIVE:
        states[side] = MIDSTREAM


@inlined
def ended(row: Any) -> bool:
    """Tell whether a connection is over: reset by either side or closed by both."""
    first = row["tcp"][0]
    second = row["tcp"][1]
    over: bool = RESET in (first, second) or first == second == CLOSED
    return over
