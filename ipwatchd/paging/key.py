"""The key that the tokens of pages are made with, kept in the state folder."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["key_of"]

KEY: Final = "paging.key"
_LOG: Final = structlog.get_logger("pager")


def key_of(state_dir: Path) -> bytes:
    """Return the key that tokens are made with, made where it is not there (0600)."""
    path = state_dir / KEY
    try:
        key = path.read_bytes()
        if len(key) >= 32:
            return key
    except FileNotFoundError:
        pass
    key = secrets.token_bytes(32)
    fresh = path.with_suffix(".new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key)
        fresh.replace(path)
    except OSError as error:
        # Links of this run only are good then; paging must begin all the same.
        _LOG.warning("can't keep the key of page links", error=str(error))
    return key
