"""What is printed: the day as it happens and the summary. Colours only where a terminal reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.lab.site import HOSTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.lab.expect import Verdict
    from ipwatchd.lab.truth import Deed

__all__ = ["Narrator", "incident_lines", "played", "verdict_lines"]

_COLOURS: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


class Narrator:
    """Prints lines with the day's clock before them."""

    def __init__(self, write: Callable[[str], None], *, colours: bool) -> None:
        self._write = write
        self._colours = colours

    def paint(self, text: str, colour: str) -> str:
        """Return text in a colour, or as it is."""
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self._colours else text

    def say(self, text: str = "", clock: str = "", colour: str = "") -> None:
        """Print one line."""
        line = f"{clock:<7}{self.paint(text, colour) if colour else text}"
        self._write(line.rstrip())

    def line(self, text: str) -> None:
        """Print one line of the summary, two in."""
        self._write(f"  {text}".rstrip())

    def heading(self, text: str) -> None:
        """Print a heading."""
        self._write("")
        self._write(self.paint(text, "bold"))


def played(deeds: Sequence[Deed]) -> str:
    """Return in one line what the actors truly did."""
    kinds = (
        ("browse", "pages over TLS"), ("visit", "customers' visits"), ("lookup", "names resolved"),
        ("call", "calls"), ("api", "calls of a partner's API"), ("request", "calls of ours"),
        ("scan", "ports scanned"), ("password", "passwords tried"),
        ("knock", "knocks by the denied contact"), ("reach", "attempts to reach it"),
    )  # fmt: skip
    counts = ((sum(deed.action == action for deed in deeds), text) for action, text in kinds)
    return ", ".join(f"{number} {text}" for number, text in counts if number)


def incident_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return incidents as aligned lines: id, priority, rule, subject, who that is, state."""
    who = {host.ipv4: host for host in HOSTS}
    table = [
        (
            str(row["id"]), str(row["priority"]), str(row["rule"]), str(row["subject"]),
            who[row["subject"]].role if row["subject"] in who else "", str(row["state"]),
        )
        for row in rows
    ]  # fmt: skip
    widths = [max((len(row[column]) for row in table), default=0) for column in range(6)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def verdict_lines(verdicts: Sequence[Verdict], paint: Callable[[str, str], str]) -> list[str]:
    """Return verdicts as aligned lines: tick or cross, what was expected, what was seen."""
    width = max((len(one.expected) for one in verdicts), default=0)
    return [
        f"{paint('✓', 'green') if one.ok else paint('✗', 'red')} "
        f"{one.expected.ljust(width)}  {one.seen}"
        for one in verdicts
    ]
