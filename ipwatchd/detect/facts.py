"""A batch of flows and what several detectors ask of it, each computed once and kept.

Who makes a `Batch` leaves its flows as they are from then on.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ipwatchd.detect.batch import address_hash
from ipwatchd.detect.contact import probes, successes
from ipwatchd.detect.shape import probed, targets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Batch"]


class Batch:
    """Flows (FLOW) with zones and direction filled in; columns of as many rows about them."""

    def __init__(self, flows: NDArray[np.void]) -> None:
        self.flows = flows

    def __len__(self) -> int:
        return len(self.flows)

    @cached_property
    def orig(self) -> NDArray[np.uint64]:
        """Each originator as a hash."""
        return address_hash(self.flows["orig_hi"], self.flows["orig_lo"])

    @cached_property
    def resp(self) -> NDArray[np.uint64]:
        """Each responder as a hash."""
        return address_hash(self.flows["resp_hi"], self.flows["resp_lo"])

    @cached_property
    def probes(self) -> NDArray[np.bool_]:
        """First contacts that came to nothing (contact.probes)."""
        return probes(self.flows)

    @cached_property
    def successes(self) -> NDArray[np.bool_]:
        """Conversations (contact.successes)."""
        return successes(self.flows)

    @cached_property
    def probed(self) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """What failed, strays and odd protocols too, and each flow's target (shape.probed)."""
        return probed(self.flows, targets(self.flows, self.resp), self.probes)
