"""Framing of both pipes: four bytes of length (little-endian), then msgpack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_FRAME", "FrameError", "Frames", "frame"]

MAX_FRAME: Final = 1 << 16
"""Bytes of a frame. Stops a child that was taken over from making us hold more."""


class FrameError(ValueError):
    """A frame is longer than any may be."""


def frame(body: bytes) -> bytes:
    """Return a body with its length before it; FrameError where it is too long."""
    if len(body) > MAX_FRAME:
        raise FrameError(f"a frame of {len(body)} bytes is longer than {MAX_FRAME}")
    return len(body).to_bytes(4, "little") + body


class Frames:
    """Bytes as they come → whole bodies."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return the bodies that are whole now, one after the other.

        Raises FrameError where a length is impossible, behind the bodies before it.
        """
        self._held += data
        while len(self._held) >= 4:
            length = int.from_bytes(self._held[:4], "little")
            if length > MAX_FRAME:
                raise FrameError(f"a frame of {length} bytes is longer than {MAX_FRAME}")
            if len(self._held) < 4 + length:
                return
            body = bytes(self._held[4 : 4 + length])
            del self._held[: 4 + length]
            yield body
