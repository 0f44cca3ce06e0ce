"""What the firewall tells: what a change did, whose connections end, what the kernel does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Applied", "FirewallStatus", "Victims"]


class Applied(NamedTuple):
    """What apply did: elements added and removed, whether the table was replaced whole.

    `killed` are the connection-tracking entries removed, `messages` and `bytes` what was sent.
    """

    added: int = 0
    removed: int = 0
    rebuilt: bool = False
    killed: int = 0
    messages: int = 0
    bytes: int = 0


class Victims(NamedTuple):
    """Whose connections are to be ended: ends in `denied`, and in neither of the others."""

    denied: list[NDArray[np.void]]
    allow: list[NDArray[np.void]]
    management: NDArray[np.void]


class FirewallStatus(msgspec.Struct, kw_only=True, frozen=True):
    """What the kernel does now. In observe mode the counters are of what would be dropped."""

    mode: str
    present: bool
    deny: int
    allow: int
    packets: int
    bytes: int
    counters: dict[str, tuple[int, int]]
    generation: int
    last_applied: float
    last_error: str
    drift: str
    rebuilds: int
    deltas: int
    lost_answers: int = 0
    flowtables: tuple[str, ...] = ()
