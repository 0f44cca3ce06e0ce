"""Files that belong to incidents (mails, attachments, evidence), each kept once under its hash."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FullError", "Keep"]

_PIECE = 1 << 20
"""Bytes that are hashed at a time: a large file does not fill the memory."""


class FullError(OSError):
    """The folder has reached its limit."""


class Keep:
    """A folder of files named by their SHA-256; `most` bounds its bytes."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._held: int | None = None

    def put(self, data: bytes, suffix: str = "") -> str:
        """Keep a file and return its hash; FullError or OSError where it can't be kept."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest, suffix)
        if path.exists():
            return digest
        if self.held() + len(data) > self._most:
            raise FullError(
                f"{self._folder} holds {self.held():,} bytes of at most {self._most:,}: archive "
                "old files elsewhere, or raise [intake] keep_bytes"
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(path.name + ".new")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        self._held = self.held() + len(data)
        return digest

    def get(self, digest: str, suffix: str = "") -> bytes | None:
        """Return a kept file whose content still has its hash, else None."""
        try:
            data = self.path(digest, suffix).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == digest else None

    def sound(self, digest: str, suffix: str = "") -> int | None:
        """Return the size of a kept file whose content still has its hash, else None."""
        found = hashlib.sha256()
        try:
            with self.path(digest, suffix).open("rb") as file:
                while piece := file.read(_PIECE):
                    found.update(piece)
                size = file.tell()
        except OSError:
            return None
        return size if found.hexdigest() == digest else None

    def path(self, digest: str, suffix: str = "") -> Path:
        """Return where a file of a hash is kept."""
        return self._folder / digest[:2] / (digest + suffix)

    def held(self) -> int:
        """Return the bytes that are kept."""
        if self._held is None:
            self._held = sum(
                one.stat().st_size for one in self._folder.glob("??/*") if one.is_file()
            )
        return self._held
