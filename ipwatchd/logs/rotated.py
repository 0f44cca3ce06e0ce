"""Old files of a log that was rotated: which there are, and what a compressed one holds."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Old", "digest", "old_files", "unpacked"]

# What logrotate(8) appends: .1, .2.gz, -20261121, -20261121-1795304700.gz.
_SUFFIX: Final = re.compile(r"[.-][0-9]{1,14}(?:[-.][0-9]{1,10})?(\.gz)?")
_FILES: Final = 64
"""Old files that are looked at, the youngest."""
_UNPACKED: Final = 256 << 20
"""Bytes that a compressed old log may unpack to in memory: a bomb in its place ends there."""
_CHUNK: Final = 1 << 18


class Old(NamedTuple):
    """An old file. `age` is its last change (ns), which compression keeps."""

    path: Path
    age: int
    device: int
    inode: int
    size: int
    packed: bool


def old_files(path: Path) -> list[Old]:
    """Return the old files of a log, the youngest first."""
    found = []
    try:
        with os.scandir(path.parent) as entries:
            for entry in entries:
                suffix = entry.name.removeprefix(path.name)
                match = _SUFFIX.fullmatch(suffix) if suffix != entry.name else None
                if match and entry.is_file(follow_symlinks=False):
                    at = entry.stat(follow_symlinks=False)
                    found.append(
                        Old(path.parent / entry.name, at.st_mtime_ns, at.st_dev, at.st_ino,
                            at.st_size, bool(match[1]))
                    )  # fmt: skip
    except OSError:
        return []
    return sorted(found, key=lambda old: old.age, reverse=True)[:_FILES]


def unpacked(old: Old, head_bytes: int, head: str) -> int:
    """Return a descriptor of what a compressed file holds, -1 where it begins otherwise.

    Raises OSError, EOFError or zlib.error where it is broken.
    """
    with gzip.open(old.path, "rb") as source:
        first = source.read(head_bytes or 1)
        if not first or (head_bytes and digest(first) != head):
            return -1
        copy = os.memfd_create("log", os.MFD_CLOEXEC)
        size = os.write(copy, first)
        while size < _UNPACKED and (block := source.read(_CHUNK)):
            size += os.write(copy, block)
    return copy


def digest(head: bytes) -> str:
    """Return what tells the start of a file from that of another."""
    return hashlib.blake2b(head, digest_size=16).hexdigest()
