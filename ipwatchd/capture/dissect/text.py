"""Bytes off the wire as text that is safe to store and to show."""

from __future__ import annotations

__all__ = ["printable"]


def printable(data: bytes, limit: int = 255) -> str:
    r"""Return at most `limit` bytes as text, what can't be shown as \xNN or \uNNNN.

    Stops terminal escapes, line breaks and direction marks (U+202E) from reaching a screen.
    """
    text = data[:limit].decode("utf-8", "backslashreplace").strip()
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(one: str) -> str:
    number = ord(one)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
