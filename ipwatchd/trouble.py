"""What the disk or the kernel refused, as words for a person."""

from __future__ import annotations

__all__ = ["sentence"]


def sentence(error: Exception) -> str:
    """Return the error's own sentence where it has one, else file and reason; no `[Errno 28]`."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error.args[-1]) if error.args else type(error).__name__
