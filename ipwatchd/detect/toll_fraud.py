"""Toll fraud over SIP: many calls abroad from one source, or dialling until a prefix gets out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Sources
from ipwatchd.detect.tally import Tallies
from ipwatchd.records.event import Sip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.tally import Tally
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["TollFraud"]

_VALUES: Final = 256
_DIGITS: Final = 6  # of a number at least; below are extensions
_REFUSED: Final = frozenset({403, 404, 484, 603, 604})
"""RFC 3261, 21: that number is not for you, or is none. A challenge (401, 407) begins every call,
busy, gone or cancelled (480, 486, 487) ends many of a dialler's."""
_REFUSALS_A_CALL: Final = 2  # a dialler's list has wrong numbers too, and mostly right ones
_SAME: Final = 7  # digits at the end that an exchange leaves as they are
_RELAYED: Final = 8192  # numbers lately asked of exchanges: a flood of calls drives out the oldest


class _Asked:
    """Somebody asked an exchange for a number. `last` is epoch ns."""

    __slots__ = ("last", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1


class TollFraud(Rule):
    """Detector of the rule toll-fraud."""

    rule = "toll-fraud"
    section = "toll_fraud"
    about = About(
        "Toll fraud",
        "unauthorised-use-of-resources",
        "One source called many numbers abroad within the window, or tried many numbers or "
        "prefixes that were refused and reached few (from outside: extensions, too): a telephone "
        "system is being used, or probed, at your cost. Who has an exchange call is told of, not "
        "the exchange.",
        "Bar calls abroad at the exchange, change the extension's password, call the carrier. "
        "Deny the source.",
        "`numbers` abroad (beginning with `abroad`, not with `home`: the countries your agents "
        "call), `refused` attempts, within `window`.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        self._house = house or House()
        self._one = settings.toll_fraud
        window, quiet = round(self._one.window * 1e9), round(settings.quiet * 1e9)
        self._abroad = Tallies(settings.sources, _VALUES, window, quiet)
        self._refused = Tallies(settings.sources, _VALUES, window, quiet)
        self._reached = Tallies(settings.sources, _VALUES, window, quiet)
        self._relayed = Sources(_Asked, _RELAYED, _RELAYED)
        self._quiet = quiet

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take calls; a finding for each source that calls or tries too many numbers."""
        found = []
        for event in events:
            if isinstance(event, Sip) and event.method == "INVITE" and event.orig:
                finding = self._call(event)
                if finding is not None:
                    found.append(finding)
        for table in (self._abroad, self._refused, self._reached):
            table.end(now)
        self._relayed.sweep(round(now * 1e9) - self._quiet)
        return found

    def _call(self, event: Sip) -> Finding | None:
        number = "".join(one for one in event.peer if one in "+0123456789")[:32]
        time = round(event.ts * 1e9)
        if not event.status:
            self._relayed.active((event.resp, number[-_SAME:]), time)
            return None
        # An exchange calls on behalf of whoever asked it to, who is counted himself.
        if self._relayed.get((event.orig, number[-_SAME:])) is not None:
            return None
        if 200 <= event.status < 300:
            self._reached.note(event.orig, number, time)
            if self._is_abroad(number):
                tally = self._abroad.note(event.orig, number, time)
                if len(tally.values) >= self._one.numbers and tally.growth.due(tally.count, time):
                    return self._found(event, tally, "called", self._one.numbers)
        elif event.status in _REFUSED and self._is_tried(event, number):
            tally = self._refused.note(event.orig, number, time)
            if self._probes(event.orig, tally) and tally.growth.due(tally.count, time):
                return self._found(event, tally, "tried", self._one.refused)
        return None

    def counters(self) -> dict[str, int]:
        """Return sources held, and those that had to make room."""
        return {
            "sources": len(self._abroad) + len(self._refused),
            "sources_shed": self._abroad.shed + self._refused.shed,
        }

    def _is_abroad(self, number: str) -> bool:
        if len(number) < _DIGITS + 2 or not number.startswith(self._one.abroad):
            return False
        return not (self._one.home and number.startswith(self._one.home))

    def _is_tried(self, event: Sip, number: str) -> bool:
        """Tell numbers; from outside extensions too, which only a search for them calls."""
        return len(number) >= _DIGITS or (len(number) > 1 and not self._house.inside(event.orig))

    def _probes(self, source: str, tally: Tally) -> bool:
        reached = self._reached.get(source)
        others = len(reached.values) if reached is not None else 0
        return (
            len(tally.values) >= self._one.refused
            and len(tally.values) >= _REFUSALS_A_CALL * others
        )

    def _found(self, event: Sip, tally: Tally, how: str, least: int) -> Finding:
        numbers = len(tally.values)
        what = "numbers abroad" if how == "called" else "numbers that were refused"
        ours = self._house.inside(event.orig)
        return self.finding(
            event.orig, f"{event.orig} {how} {numbers} {what}", detail=how,
            seen=(tally.started / 1e9, event.ts), count=tally.count,
            severity="high" if how == "called" else "medium", value=numbers, threshold=least,
            classification="" if how == "called" else "brute-force", targets=(event.resp,),
            evidence={
                # A number is personal data: its beginning shows the country.
                "prefixes": sorted({number[:5] for number in tally.values})[:16],
                "numbers": numbers, "calls": tally.count, "extension": event.user,
                "user_agent": event.user_agent, "window": self._one.window,
                "direction": "outgoing" if ours else "incoming",
            },
        )  # fmt: skip
