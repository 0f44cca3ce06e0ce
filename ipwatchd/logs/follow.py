"""Log files that are followed: polled for whole lines, their positions kept across restarts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.logs.clock import Clock
from ipwatchd.logs.rules import Reader
from ipwatchd.logs.tail import Mark, Tail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.logs.rules import LogEvent

__all__ = ["FollowCounters", "Follower"]

POLL_BYTES: Final = 4 << 20
"""Bytes read in one poll, shared by the files; the rest comes next time. Stops a flood of log lines
from holding the caller."""


class FollowCounters(msgspec.Struct):
    """What was read since the start. `lines_cut` were over rules.MAX_LINE and gave nothing.

    `problems` has a sentence for each file that can't be read now, and for the state file.
    """

    bytes: int = 0
    lines: int = 0
    lines_cut: int = 0
    events: int = 0
    rotations: int = 0
    truncations: int = 0
    problems: dict[str, str] = {}


class Follower:
    """Follows files by name through rotation and truncation. Not for two threads at once.

    A file never seen is read from its start. `state` is the JSON file of the positions: each poll
    first writes those of the poll before, whose events the caller has kept by then, so that a crash
    repeats lines and loses none.
    """

    def __init__(
        self, paths: Sequence[Path | str], *, state: Path | None, reader: Reader | None = None
    ) -> None:
        self._reader = reader or Reader()
        self._state = state
        self._problem = ""
        marks = self._load()
        self._tails = [
            Tail(Path(path), marks.get(str(path))) for path in dict.fromkeys(map(str, paths))
        ]
        self.clocks = {str(tail.path): Clock(live=False) for tail in self._tails}
        self._written = marks
        self._lines = 0
        self.heard: dict[str, int] = {}
        """Lines of the last poll, by file, where there were any."""
        self._events = 0

    def read(self, now: float) -> list[LogEvent]:
        """Return the events of the lines that came since the last poll, file by file."""
        self._save()
        self.heard = {}
        events: list[LogEvent] = []
        for tail in self._tails:
            source = str(tail.path)
            lines = tail.read(max(POLL_BYTES // len(self._tails), 1))
            self._lines += len(lines)
            if lines:
                self.heard[source] = len(lines)
            for line in lines:
                event = self._reader.line(line, now=now, source=source)
                if event is not None:
                    ts = self.clocks[source].settle(event.ts, now)
                    same = ts == event.ts
                    events.append(event if same else msgspec.structs.replace(event, ts=ts))
        self._events += len(events)
        return events

    @property
    def counters(self) -> FollowCounters:
        """Return the counters since the start, a copy."""
        problems = {str(tail.path): tail.problem for tail in self._tails if tail.problem}
        if self._problem:
            problems[str(self._state)] = self._problem
        return FollowCounters(
            bytes=sum(tail.bytes for tail in self._tails),
            lines=self._lines,
            lines_cut=sum(tail.lines_cut for tail in self._tails),
            events=self._events,
            rotations=sum(tail.rotations for tail in self._tails),
            truncations=sum(tail.truncations for tail in self._tails),
            problems=problems,
        )

    def close(self) -> None:
        """Write the positions, once the last poll's events are kept, and let go of the files."""
        self._save()
        for tail in self._tails:
            tail.close()

    def _load(self) -> dict[str, Mark]:
        """Return the stored positions, none where there are none or they can't be read."""
        if self._state is None:
            return {}
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=dict[str, Mark])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            self._problem = f"positions can't be read, files are read from their start: {error}"
            return {}

    def _save(self) -> None:
        """Put the positions in the state file's place in one step (rename(2))."""
        marks = {str(tail.path): tail.resume() for tail in self._tails}
        if self._state is None or marks == self._written:
            return
        new = self._state.with_name(self._state.name + ".new")
        try:
            with new.open("wb") as file:
                file.write(msgspec.json.encode(marks))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._state)
        except OSError as error:
            self._problem = f"positions can't be written, a restart would repeat lines: {error}"
            return
        self._problem = ""
        self._written = marks
