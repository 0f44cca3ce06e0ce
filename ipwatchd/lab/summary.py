"""What is printed: the day as it happens and the summary. Colours only where a terminal reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.lab.day import NAMES, Step
from ipwatchd.lab.site import HOSTS, named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.lab.expect import Verdict
    from ipwatchd.lab.truth import Deed

__all__ = ["Narrator", "incident_lines", "played", "step_text", "verdict_lines"]

_COLOURS: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_VERBS: Final = {
    "deny": "denies", "login": "logs in to", "browse": "opens", "register": "registers with",
    "visit": "opens", "scan": "scans the ports of", "call": "calls", "api": "calls the API of",
    "request": "calls the API of", "guess": "guesses passwords at", "knock": "knocks at",
    "reach": "tries to reach",
}  # fmt: skip


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

    def heading(self, text: str) -> None:
        """Print a heading."""
        self._write("")
        self._write(self.paint(text, "bold"))


def step_text(step: Step) -> str:
    """Return a step as a sentence: who does what to whom."""
    who = ", ".join(f"{one} {named(one).ipv4}" for one in step.who)
    server = NAMES.get(step.target, step.target)
    known = any(host.name == server for host in HOSTS)
    target = step.target
    if known and step.target != server:
        target = f"{step.target} ({named(server).ipv4})"
    elif known:
        target = f"{step.target} {named(server).ipv4}"
    times = f", {step.times} times" if step.times > 1 else ""
    each = " each" if times and len(step.who) > 1 else ""
    verb = _VERBS[step.action]
    if len(step.who) > 1:
        first, _, rest = verb.partition(" ")
        verb = f"{first.removesuffix('s')} {rest}".rstrip()
    return f"{who} {verb} {target}{times}{each}"


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
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def verdict_lines(verdicts: Sequence[Verdict], paint: Callable[[str, str], str]) -> list[str]:
    """Return verdicts as aligned lines: tick or cross, what was expected, what was seen."""
    width = max((len(one.expected) for one in verdicts), default=0)
    return [
        f"  {paint('✓', 'green') if one.ok else paint('✗', 'red')} "
        f"{one.expected.ljust(width)}  {one.seen}"
        for one in verdicts
    ]
