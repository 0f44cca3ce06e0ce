"""Syslog messages out of a byte stream: RFC 6587's octet counting, and lines. Pure."""

from __future__ import annotations

from typing import Final

from ipwatchd.logs.rules import MAX_LINE

__all__ = ["Frames", "FramingError"]

_DIGITS: Final = 7
"""Digits of a count: a longer one is no count and would make the reader wait for megabytes."""


class FramingError(ValueError):
    """The stream can't be read on: close it."""


class Frames:
    """Takes bytes, gives whole messages. Which framing a message has is told by its first byte.

    A message starts with "<" (a line up to LF) or with its length in digits. `cut` counts messages
    over MAX_LINE, which give nothing.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skip = 0
        self._skipping_line = False
        self.cut = 0

    @property
    def unfinished(self) -> bool:
        """Tell whether a message has begun that is not whole, and was not counted as cut."""
        return bool(self._rest.strip()) and not self._skip and not self._skipping_line

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now. Raises FramingError."""
        self._rest += data
        messages: list[bytes] = []
        while self._rest:
            size = len(self._rest)
            message = self._next()
            if message:
                messages.append(message)
            elif len(self._rest) == size:
                break
        return messages

    def _next(self) -> bytes:
        """Take one step: a message, or b"" where something was skipped or more bytes are needed."""
        if self._skip:
            gone = min(self._skip, len(self._rest))
            del self._rest[:gone]
            self._skip -= gone
            return b""
        if self._skipping_line or not 0x31 <= self._rest[0] <= 0x39:
            return self._line()
        return self._counted()

    def _counted(self) -> bytes:
        head = bytes(self._rest[: _DIGITS + 1])
        digits, space, _ = head.partition(b" ")
        if not space:
            if not head.isdigit() or len(head) > _DIGITS:
                raise FramingError(f"{head!r} is neither a message nor its length (RFC 6587)")
            return b""
        if not digits.isdigit():
            raise FramingError(f"{digits!r} is no length of a message (RFC 6587)")
        length, start = int(digits), len(digits) + 1
        if length > MAX_LINE:
            self.cut += 1
            self._skip = length
            del self._rest[:start]
            return b""
        if len(self._rest) < start + length:
            return b""
        message = bytes(self._rest[start : start + length])
        del self._rest[: start + length]
        return message

    def _line(self) -> bytes:
        end = self._rest.find(b"\n")
        if end < 0:
            if len(self._rest) > MAX_LINE:
                self.cut += not self._skipping_line
                self._skipping_line = True
                self._rest.clear()
            return b""
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        if self._skipping_line:
            self._skipping_line = False
            return b""
        if len(line) > MAX_LINE:
            self.cut += 1
            return b""
        return line
