"""One log file that grows, is rotated away or truncated: whole lines from where reading stopped."""

from __future__ import annotations

import os
import stat
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.logs.rotated import digest, old_files, unpacked
from ipwatchd.logs.rules import MAX_LINE

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.logs.rotated import Old

__all__ = ["Mark", "Tail"]

_HEAD: Final = 256
"""Bytes at a file's start that tell it from another on the same inode number."""
_CHUNK: Final = 1 << 18


class Mark(msgspec.Struct):
    """Where reading of a file stopped; `head` is the digest of its first `head_bytes` bytes.

    `cutting` tells that this is inside a line over MAX_LINE, of which nothing is given; `cut`, that
    this is a copy of a file that was truncated in its place.
    """

    device: int = 0
    inode: int = 0
    position: int = 0
    head_bytes: int = 0
    head: str = ""
    cutting: bool = False
    cut: bool = False


class Tail:
    """A file that is followed by name. `problem` is the sentence why it can't be read, or ""."""

    def __init__(self, path: Path, mark: Mark | None) -> None:
        self.path = path
        self.mark = mark or Mark()
        self.problem = ""
        self.rotations = 0
        self.truncations = 0
        self.lines_cut = 0
        self.bytes = 0
        self._file = -1
        self._rest = b""
        # Of an old file that is read to its end: when it was last written (ns).
        self._age = 0

    def read(self, budget: int) -> list[bytes]:
        """Return the next whole lines, reading at most about `budget` bytes."""
        lines: list[bytes] = []
        end = self.bytes + budget
        while self.bytes < end:
            if self._file < 0 and not self._open():
                return lines
            piece = self._piece(min(_CHUNK, end - self.bytes))
            if piece:
                self._split(piece, lines)
            elif not self._moved(lines):
                return lines
        return lines

    def close(self) -> None:
        """Let go of the file. An unfinished line is read again by who opens it next."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
        self._age = 0
        self._rest = b""

    def resume(self) -> Mark:
        """Return where a later reader goes on: behind the last whole line."""
        return msgspec.structs.replace(self.mark, position=self.mark.position - len(self._rest))

    def _open(self) -> bool:
        """Open the file where reading stopped, first what was rotated away since; False if none."""
        if self.mark.inode and not self._goes_on(self.path) and self._find_old():
            return True
        return self._take(self.path)

    def _goes_on(self, path: Path) -> bool:
        """Tell whether a file is the marked one: a new one may have got the old inode number."""
        try:
            with path.open("rb") as file:
                head = file.read(self.mark.head_bytes)
        except OSError:
            return False
        return self._is_marked(path) and digest(head) == self.mark.head

    def _find_old(self) -> bool:
        """Open the old file that is the marked one, or a copy of it, where reading stopped."""
        for old in old_files(self.path):
            same = (old.device, old.inode) == (self.mark.device, self.mark.inode)
            begins = self.mark.head_bytes and (
                old.packed or (old.size >= self.mark.position and self._begins(old))
            )
            if (begins or (same and not self.mark.head_bytes)) and self._open_old(old):
                return True
        return False

    def _begins(self, old: Old) -> bool:
        """Tell whether an old file begins as the marked one does."""
        try:
            with old.path.open("rb") as file:
                return digest(file.read(self.mark.head_bytes)) == self.mark.head
        except OSError:
            return False

    def _open_old(self, old: Old) -> bool:
        """Open an old file at the mark's place, a compressed one where it holds the marked one."""
        try:
            if old.packed:
                file = unpacked(old, self.mark.head_bytes, self.mark.head)
            else:
                file = os.open(old.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, EOFError, zlib.error):
            return False
        if file < 0:
            return False
        os.lseek(file, self.mark.position, os.SEEK_SET)
        found = os.fstat(file)
        self._file, self._age = file, old.age
        self.mark.device, self.mark.inode = found.st_dev, found.st_ino
        return True

    def _next_old(self, age: int, before: Mark) -> None:
        """Open the oldest of the files that were rotated away after one of an age, if there is one.

        `before` is that one's mark: a copy of it may be younger.
        """
        for old in reversed(old_files(self.path)):
            if old.age <= age or (old.device, old.inode) == (before.device, before.inode):
                continue
            self.mark = before
            if before.head_bytes and (self._holds(old) if old.packed else self._begins(old)):
                continue
            self.mark = Mark()
            if self._open_old(old):
                return
        self.mark = Mark()

    def _holds(self, old: Old) -> bool:
        """Tell whether a compressed old file holds the marked one."""
        try:
            file = unpacked(old, self.mark.head_bytes, self.mark.head)
        except (OSError, EOFError, zlib.error):
            return False
        if file >= 0:
            os.close(file)
        return file >= 0

    def _take(self, path: Path) -> bool:
        try:
            # Not blocking: a pipe put in the file's place must not hold the caller.
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            self.problem = f"{path} is not there: waiting for it"
            return False
        except OSError as error:
            self.problem = f"{path} can't be read: {error.strerror}"
            return False
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            self.problem = f"{path} is no regular file"
            return False
        self.problem = ""
        self._file = file
        if (found.st_dev, found.st_ino) != (self.mark.device, self.mark.inode):
            self.mark = Mark(device=found.st_dev, inode=found.st_ino)
        elif found.st_size < self.mark.position or not self._same_head():
            self._start_again()
        os.lseek(file, self.mark.position, os.SEEK_SET)
        return True

    def _piece(self, size: int) -> bytes:
        """Return the next bytes, from the start where the file was truncated."""
        found = os.fstat(self._file)
        if found.st_size < self.mark.position or not self._same_head():
            self._truncated()
        piece = os.read(self._file, size)
        self.mark.position += len(piece)
        self.bytes += len(piece)
        if self.mark.head_bytes < _HEAD:
            self._note_head()
        return piece

    def _moved(self, lines: list[bytes]) -> bool:
        """At a file's end: let it go where the name means another file now."""
        own = os.fstat(self._file)
        try:
            named = self.path.stat()
        except OSError:
            return False
        if (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino):
            return False
        if not named.st_size and own.st_nlink and not self._age:
            # The program goes on with the old file until it is told of the new one.
            return False
        if self._rest and not self.mark.cutting:
            lines.append(self._rest)
        before, age = self.mark, self._age or own.st_mtime_ns
        self.close()
        self.rotations += not before.cut
        self._next_old(age, before)
        return True

    def _truncated(self) -> None:
        """Go on in the copy that was made before the file was truncated, else at its start."""
        file, rest = self._file, self._rest
        if self._find_old():
            os.close(file)
            self.mark.cut = True
            self.truncations += 1
            self._rest = rest
        else:
            self._start_again()
            os.lseek(self._file, 0, os.SEEK_SET)

    def _split(self, piece: bytes, lines: list[bytes]) -> None:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if whole and self.mark.cutting:
            self.mark.cutting = False
            del whole[0]
        for line in whole:
            self._give(line, lines)
        if len(self._rest) > MAX_LINE:
            if not self.mark.cutting:
                self._give(self._rest, lines)
            self.mark.cutting = True
            self._rest = b""

    def _give(self, line: bytes, lines: list[bytes]) -> None:
        if len(line) > MAX_LINE:
            self.lines_cut += 1
        elif line:
            lines.append(line)

    def _start_again(self) -> None:
        self.truncations += 1
        self.mark = Mark(device=self.mark.device, inode=self.mark.inode)
        self._rest = b""

    def _note_head(self) -> None:
        head = os.pread(self._file, min(_HEAD, self.mark.position), 0)
        self.mark.head_bytes = len(head)
        self.mark.head = digest(head)

    def _same_head(self) -> bool:
        """Tell whether the file still begins as it did: it may have been truncated and refilled."""
        head = os.pread(self._file, self.mark.head_bytes, 0)
        return not self.mark.head_bytes or digest(head) == self.mark.head

    def _is_marked(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.mark.device, self.mark.inode)
