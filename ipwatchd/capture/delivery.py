"""What capture hands over and what it says when it can't."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.records.event import AnyEvent

__all__ = ["Capture", "CaptureFileError", "CaptureInterfaceError"]


class Capture(NamedTuple):
    """One delivery: ended (or long) flows of dtype FLOW, wire events, and the capture's clock."""

    flows: NDArray[np.void]
    events: list[AnyEvent]
    now: float


class CaptureFileError(ValueError):
    """The file can't be read as a capture; the text is the sentence for a person."""


class CaptureInterfaceError(OSError):
    """The interface can't be captured from; the text is the sentence for a person."""
