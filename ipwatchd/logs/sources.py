"""All sources of log lines behind one door: files, the journal, the syslog listener."""

from __future__ import annotations

import os
import threading
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ipwatchd.logs.clock import Clock
from ipwatchd.logs.follow import Follower
from ipwatchd.logs.guarded import Guarded
from ipwatchd.logs.journal import Journal
from ipwatchd.logs.listener import Listener
from ipwatchd.logs.ruleset import load_rules

if TYPE_CHECKING:
    from datetime import tzinfo

    from ipwatchd.config.settings import LogSettings
    from ipwatchd.logs.rules import LogEvent

__all__ = ["LogSources", "machine_zone"]

POLL_LINES: Final = 50_000
"""Lines taken from the listener, and from the journal, in one poll; the rest waits, bounded."""
_CLOCKS: Final = 1024
"""Senders whose clock is watched."""


def machine_zone() -> tzinfo:
    """Return this machine's time zone (localtime(5)), UTC where none is set."""
    _, _, name = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


class LogSources:
    """Reads what came since the last poll. Start and close once.

    Raises RulesError where the rules can't be used, OSError where they can't be read. Positions
    are kept in `state_dir` (logs.json, journal.json), those of a poll by the poll after it, when
    its events are kept by the caller: a crash repeats lines and loses none.
    """

    def __init__(self, settings: LogSettings, state_dir: Path | None) -> None:
        self.settings = settings
        zone = ZoneInfo(settings.time_zone) if settings.time_zone else machine_zone()
        self._reader = Guarded(load_rules(settings.rules), zone=zone, fields=settings.fields)
        state = state_dir / "logs.json" if state_dir else None
        self.follower = Follower(settings.files, state=state, reader=self._reader)
        self._cursor_file = state_dir / "journal.json" if state_dir else None
        self.journal = Journal(self._load_cursor()) if settings.journal else None
        self._cursor = self.journal.cursor if self.journal else ""
        listening = settings.syslog.udp or settings.syslog.tcp or settings.syslog.tls
        self.listener = Listener(settings.syslog) if listening else None
        self._clocks: dict[str, Clock] = {}
        # A poll runs on a thread; a reload may close meanwhile.
        self._reading = threading.Lock()
        self._closed = False
        self._events = 0
        self._heard: dict[str, int] = {}
        self._problem = ""

    def start(self) -> None:
        """Begin to follow the journal and to listen."""
        if self.journal:
            self.journal.start()
        if self.listener:
            self.listener.start()

    def read(self, now: float) -> list[LogEvent]:
        """Return the events of what came since the last poll; none once it is closed."""
        with self._reading:
            return [] if self._closed else self._read(now)

    def _read(self, now: float) -> list[LogEvent]:
        events = self.follower.read(now)
        self._heard |= self.follower.heard
        if self.journal:
            self._save_cursor()
            before = self.journal.entries
            for head in self.journal.take(POLL_LINES):
                event = self._reader.message(head, source="journal")
                if event is not None:
                    events.append(self._settled(event, "journal", now, live=False))
            self._cursor = self.journal.cursor
            if self.journal.entries > before:
                self._heard["journal"] = self.journal.entries - before
        if self.listener:
            for sender, line in self.listener.senders.take(POLL_LINES):
                source = f"syslog:{sender}"
                self._heard[source] = self._heard.get(source, 0) + 1
                event = self._reader.line(line, now=now, source=source)
                if event is not None:
                    events.append(self._settled(event, source, now, live=True))
        self._events += len(events)
        return events

    def heard(self) -> dict[str, int]:
        """Return the lines that came since the last call, by source; a log that is alive writes."""
        heard, self._heard = self._heard, {}
        return heard

    def _settled(self, event: LogEvent, source: str, now: float, *, live: bool) -> LogEvent:
        """Return an event with a stamp that is not in the future."""
        clock = self._clocks.get(source)
        if clock is None:
            clock = Clock(live=live)
            if len(self._clocks) < _CLOCKS:
                self._clocks[source] = clock
        ts = clock.settle(event.ts, now)
        return event if ts == event.ts else msgspec.structs.replace(event, ts=ts)

    def counts(self) -> dict[str, int]:
        """Return what was read since the start, by source."""
        files = self.follower.counters
        counts = {
            "files.lines": files.lines, "files.cut": files.lines_cut,
            "files.rotations": files.rotations, "files.truncations": files.truncations,
            "events": self._events,
            "stamps_clamped": sum(one.clamped for one in self._all_clocks()),
        }  # fmt: skip
        if self.journal:
            counts |= {"journal.entries": self.journal.entries,
                       "journal.forged": self.journal.forged,
                       "journal.broken": self.journal.broken}  # fmt: skip
        if self.listener:
            fields = msgspec.structs.asdict(self.listener.senders.counters)
            counts |= {f"syslog.{name}": value for name, value in fields.items()}
        return counts

    def shed(self) -> dict[str, int]:
        """Return what had to be let go, by name."""
        counts = {"logs.cut": self.follower.counters.lines_cut, "logs.faults": self._reader.faults}
        if self.listener:
            counters = self.listener.senders.counters
            counts |= {"syslog.shed": counters.shed, "syslog.cut": counters.cut,
                       "syslog.turned_away": counters.turned_away}  # fmt: skip
            worst = sorted(self.listener.senders.shed_by.items(), key=lambda one: -one[1])[:3]
            counts |= {f"syslog.shed {sender}": count for sender, count in worst}
        return counts

    def problems(self) -> dict[str, str]:
        """Return source → sentence for each that can't be read, or whose clock is wrong."""
        problems = dict(self.follower.counters.problems)
        if self._reader.fault:
            problems["reader"] = self._reader.fault
        if self.journal and self.journal.problem:
            problems["journal"] = self.journal.problem
        if self.listener and self.listener.problem:
            problems["syslog"] = self.listener.problem
        if self._problem:
            problems[str(self._cursor_file)] = self._problem
        for source, clock in (*self.follower.clocks.items(), *self._clocks.items()):
            if note := clock.note():
                problems.setdefault(source, note)
        return problems

    def close(self) -> None:
        """Keep the positions, once the last poll's events are kept, and let go of everything."""
        with self._reading:
            self._closed = True
        self.follower.close()
        if self.journal:
            self.journal.stop()
            self._save_cursor()
        if self.listener:
            self.listener.stop()

    def _all_clocks(self) -> list[Clock]:
        return [*self.follower.clocks.values(), *self._clocks.values()]

    def _load_cursor(self) -> str:
        if self._cursor_file is None:
            return ""
        try:
            return msgspec.json.decode(self._cursor_file.read_bytes(), type=str)
        except FileNotFoundError:
            return ""
        except (OSError, msgspec.MsgspecError) as error:
            self._problem = f"the journal's position can't be read, it is read from now: {error}"
            return ""

    def _save_cursor(self) -> None:
        """Put the cursor in its file's place in one step (rename(2))."""
        if self._cursor_file is None or not self._cursor:
            return
        new = self._cursor_file.with_name(self._cursor_file.name + ".new")
        try:
            with new.open("wb") as file:
                file.write(msgspec.json.encode(self._cursor))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._cursor_file)
        except OSError as error:
            self._problem = f"the journal's position can't be kept: {error}"
            return
        self._problem = ""
