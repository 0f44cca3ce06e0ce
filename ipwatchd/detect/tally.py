"""Distinct values of a subject within a window: users tried, names asked, neighbours sought."""

from __future__ import annotations

from ipwatchd.detect.sources import Growth, Sources

__all__ = ["Tallies", "Tally"]


class Tally:
    """Distinct values and when each was last noted, oldest first. Times are epoch ns."""

    __slots__ = ("count", "growth", "last", "marks", "started", "values", "weight")

    def __init__(self, time: int) -> None:
        self.started = self.last = time
        self.weight = 0
        self.count = 0
        self.values: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        """Other counts of a subject, by name; a rule uses a handful."""
        self.growth = Growth()

    def note(self, value: str, time: int, window: int, most: int) -> None:
        """Count a value; those older than the window, and the oldest beyond `most`, go."""
        self.count += 1
        self.values.pop(value, None)
        self.values[value] = time
        while self.values:
            oldest = next(iter(self.values))
            if self.values[oldest] >= time - window and len(self.values) <= most:
                break
            del self.values[oldest]

    def mark(self, name: str, more: int = 1) -> int:
        """Add to a count and return it."""
        self.marks[name] = self.marks.get(name, 0) + more
        return self.marks[name]


class Tallies(Sources[Tally]):
    """Tallies by subject; a subject that was quiet begins anew."""

    def __init__(self, limit: int, values: int, window: int, quiet: int) -> None:
        # In the mean sixteen values a subject: who touches a great many is let go first.
        super().__init__(Tally, limit, limit * 16)
        self._most = values
        self._window = window
        self._quiet = max(quiet, window)

    def note(self, key: object, value: str, time: int) -> Tally:
        """Count a value of a subject and return what is known of it."""
        old = self.get(key)
        if old is not None and time - old.last > self._quiet:
            self.drop(key)
        tally = self.active(key, time)
        tally.note(value, time, self._window, self._most)
        self.weigh(tally, len(tally.values))
        return tally

    def end(self, now: float) -> None:
        """Forget what was quiet for long."""
        self.sweep(round(now * 1e9) - self._quiet)
