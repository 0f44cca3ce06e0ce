"""The key of the site's pseudonyms: a file of the state folder that the daemon alone may read."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

from ipwatchd.history.pseudonym import KEY_BYTES, Pseudonyms

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KEY_FILE", "pseudonyms"]

KEY_FILE: Final = "pseudonym.key"


def pseudonyms(state_dir: Path, *, make: bool) -> Pseudonyms:
    """Return the pseudonyms of a state folder; `make` makes the key where there is none yet.

    Without the file nothing of an earlier export can be revealed: removing it anonymises them all.
    Raises OSError where it can't be read or made, ValueError where it is no key.
    """
    path = state_dir / KEY_FILE
    if make and not path.exists():
        _make(path)
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no {path}: nothing was exported under pseudonyms yet, or the key was removed"
        ) from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} is damaged: put it back from a backup, or remove it")
    return Pseudonyms(key)


def _make(path: Path) -> None:
    """Write a new key whole or not at all; the first of two who try wins."""
    part = path.with_suffix(f".{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, secrets.token_bytes(KEY_BYTES))
        os.fsync(handle)
        path.hardlink_to(part)
    except FileExistsError:
        return
    finally:
        os.close(handle)
        part.unlink()
