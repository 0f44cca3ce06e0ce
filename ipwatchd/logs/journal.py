"""The systemd journal: `journalctl -o json -f` as a child, its cursor kept.

What is read waits in a bounded queue; while that is full nothing is read and the journal keeps the
rest, so that nothing is shed.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.logs.rules import MAX_LINE
from ipwatchd.logs.syslog import Head

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Journal", "entry_of", "unreadable"]

WAITING: Final = 10_000
"""Entries that wait: a flood of messages fills the journal on disk, not our memory."""
_AGAIN_SECONDS: Final = 5.0
_SYSTEM_UID: Final = 1000
"""Users below are the system's own (login.defs, SYS_UID_MAX + 1); any other may claim any name."""
_FIELDS: Final = (
    "MESSAGE", "SYSLOG_IDENTIFIER", "_COMM", "_PID", "_UID", "SYSLOG_PID", "_TRANSPORT",
    "_SOURCE_REALTIME_TIMESTAMP",
)  # fmt: skip
_LONGEST: Final = 1 << 20
FOLDERS: Final = ("/var/log/journal", "/run/log/journal")


class Entry(msgspec.Struct):
    """One entry: where it stands in the journal, and its message, None where there is none."""

    cursor: str
    head: Head | None
    forged: bool = False


def entry_of(line: bytes) -> Entry | None:
    """Return the entry of a line of `journalctl -o json`, None where it is none.

    A user's own process may call itself sshd: what was not written by a system user or the kernel
    is marked forged and has no message.
    """
    try:
        fields: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        cursor = str(fields["__CURSOR"])
        stamp = fields.get("_SOURCE_REALTIME_TIMESTAMP") or fields["__REALTIME_TIMESTAMP"]
        ts = int(str(stamp)) / 1e6
        uid = int(str(fields.get("_UID") or 0))
    except (msgspec.MsgspecError, KeyError, ValueError, UnicodeError, RecursionError):
        return None
    text = _text(fields.get("MESSAGE"))
    program = _text(fields.get("SYSLOG_IDENTIFIER")) or _text(fields.get("_COMM"))
    if not text or not program or len(text) > MAX_LINE:
        return Entry(cursor, None)
    if uid >= _SYSTEM_UID:
        return Entry(cursor, None, forged=True)
    pid = _text(fields.get("_PID")) or _text(fields.get("SYSLOG_PID"))
    return Entry(cursor, Head(ts, program, text, pid))


def _text(value: object) -> str:
    """Return a field: text, or bytes as a list of numbers where it is no UTF-8."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) <= MAX_LINE:
        try:
            return bytes(value).decode("utf-8", "backslashreplace")
        except (TypeError, ValueError):
            return ""
    return ""


def unreadable(folders: Sequence[str] = FOLDERS) -> str:
    """Return why the journal can't be read, "" where it can: journalctl itself says nothing."""
    there = [one for folder in folders if Path(folder).is_dir() for one in _journals(folder)]
    if not there:
        return "there is no journal on this machine: set [logs] journal = false"
    if any(os.access(one, os.R_OK | os.X_OK) for one in there):
        return ""
    return f"{there[0]} may not be read: put this user into the group systemd-journal"


def _journals(folder: str) -> list[Path]:
    """Return the folders of the machines whose journals are in a folder, or it, if closed."""
    try:
        return [one for one in Path(folder).iterdir() if one.is_dir()]
    except PermissionError:
        return [Path(folder)]


class Journal:
    """Follows the journal from `cursor` on, "" from now. `options` go to journalctl as they are."""

    def __init__(self, cursor: str, options: Sequence[str] = ()) -> None:
        self.cursor = cursor
        self.problem = ""
        self.entries = 0
        self.forged = 0
        self.broken = 0
        self.starts = 0
        self._options = list(options)
        self._waiting: queue.Queue[bytes] = queue.Queue(WAITING)
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def take(self, most: int) -> list[Head]:
        """Return the messages of up to so many entries; `cursor` is behind the last of them."""
        heads: list[Head] = []
        for _ in range(most):
            try:
                line = self._waiting.get_nowait()
            except queue.Empty:
                break
            entry = entry_of(line)
            if entry is None:
                self.broken += 1
                continue
            self.cursor = entry.cursor
            self.entries += 1
            self.forged += entry.forged
            if entry.head is not None:
                heads.append(entry.head)
        return heads

    def stop(self) -> None:
        """End the child and the thread."""
        self._stopping.set()
        if self._child is not None:
            self._child.terminate()
        self._thread.join(_AGAIN_SECONDS)

    def _run(self) -> None:
        after = self.cursor
        while not self._stopping.is_set():
            why = "" if self._options else unreadable()
            if why:
                self.problem = why
                self._stopping.wait(_AGAIN_SECONDS)
                continue
            try:
                after = self._follow(after) or after
            except OSError as error:
                self.problem = f"journalctl can't be run ({error.strerror}): is systemd installed?"
            self._stopping.wait(_AGAIN_SECONDS)

    def _follow(self, after: str) -> str:
        """Read one child to its end; return the cursor behind what was read."""
        where = [f"--after-cursor={after}"] if after else ["--lines=0"]
        self.starts += 1
        with subprocess.Popen(
            ["journalctl", "--output=json", f"--output-fields={','.join(_FIELDS)}", "--follow",
             "--no-pager", "--quiet", *where, *self._options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as child:  # fmt: skip
            self._child = child
            self.problem = ""
            last = self._lines(child)
            child.terminate()
            said = child.stderr.read(500).decode("utf-8", "replace") if child.stderr else ""
        if not self._stopping.is_set():
            self.problem = f"journalctl ended ({said.strip() or child.returncode}): started again"
        return last

    def _lines(self, child: subprocess.Popen[bytes]) -> str:
        last = ""
        while child.stdout and (line := child.stdout.readline(_LONGEST)):
            if not line.endswith(b"\n"):
                self.broken += 1
                continue
            while not self._stopping.is_set():
                try:
                    self._waiting.put(line, timeout=0.5)
                    break
                except queue.Full:
                    continue
            entry = entry_of(line)
            last = entry.cursor if entry else last
            if self._stopping.is_set():
                break
        return last
