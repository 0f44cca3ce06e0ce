r"""The one filter language of command line, terminal UI and API.

`src:10.20.0.0/16 country:RU port:3389 agent:maria since:24h !list:trusted`: terms are AND-ed, `!`
negates one, a comma is any of, quotes hold spaces and commas (`\"` and `\\` inside them), `*` in
text stands for anything. An address or network alone is `addr:`. `by:service every:1h count:orig`
ask for sums instead of rows. `KEYS` is the one table of what can be asked; help is made from it.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ipwatchd.records.event import KINDS
from ipwatchd.records.finding import SEVERITIES
from ipwatchd.records.incident import PRIORITIES
from ipwatchd.records.incident import STATES as INCIDENT_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "FIELDS", "KEYS", "Filter", "FilterError", "Key", "Shape", "Span", "Term", "help_text", "parse",
    "render",
]  # fmt: skip

# A hostile or mistyped filter stays small work: for the parser and for the SQL made of it.
MAX_CHARACTERS: Final = 4096
MAX_VALUES: Final = 256

FIELDS: Final = (
    "addr", "orig", "resp", "port", "sport", "proto", "service", "state", "direction", "vlan",
    "iface", "zone", "country", "asn", "kind", "name", "user",
)  # fmt: skip
"""What sums can be made by. Zone, country and operator are those of the far end: the originator's
of what came in, else the responder's; addr counts each row for both its ends."""
_FUTURE: Final = 60.0
"""Seconds that a clock elsewhere may be ahead."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_ESCAPED: Final = re.compile(r'["\\]')
_PLAIN: Final = re.compile(r'[^\s,"\\]+')


class Span(NamedTuple):
    """An inclusive range of numbers."""

    first: int
    last: int


Value = str | int | float | Span | ipaddress.IPv4Network | ipaddress.IPv6Network


class Term(msgspec.Struct, frozen=True):
    """One condition: the key's value is one of `values`, or none of them where `negated`."""

    key: str
    values: tuple[Value, ...]
    negated: bool = False


class Shape(NamedTuple):
    """Sums instead of rows: one for each value of `by` and bucket of `every` seconds (0: none).

    `distinct` are the fields whose different values are counted.
    """

    by: tuple[str, ...]
    every: int
    distinct: tuple[str, ...]


class Filter(msgspec.Struct, frozen=True):
    """All terms hold. No terms is everything."""

    terms: tuple[Term, ...] = ()

    def shape(self) -> Shape | None:
        """Return how to sum up, None where rows are asked for."""
        said: dict[str, list[Value]] = {"by": [], "every": [], "count": []}
        for term in self.terms:
            if term.key in said:
                said[term.key] += [one for one in term.values if one not in said[term.key]]
        if not any(said.values()):
            return None
        every = next((one for one in said["every"] if isinstance(one, int)), 0)
        return Shape(tuple(map(str, said["by"])), every, tuple(map(str, said["count"])))

    def rows(self) -> Filter:
        """Return the filter of the rows that are summed up."""
        return Filter(tuple(term for term in self.terms if not KEYS[term.key].shapes))

    def since(self) -> float:
        """Return the earliest time asked for (epoch seconds), 0 where none is."""
        return max((_time(term) for term in self.terms if term.key == "since"), default=0.0)

    def until(self) -> float:
        """Return the time before which all must lie, infinity where none is given."""
        times = (_time(term) for term in self.terms if term.key == "until")
        return min(times, default=float("inf"))


class FilterError(ValueError):
    """A filter that can't be used: its message says where, what and the mend.

    `position` counts characters from 0, `piece` is the offending text, `hint` the nearest key.
    """

    def __init__(self, problem: str, position: int, piece: str, hint: str = "") -> None:
        mend = f": did you mean {hint}?" if hint else ""
        super().__init__(f"filter, character {position + 1}: {problem}{mend}")
        self.position = position
        self.piece = piece
        self.hint = hint


class Key(NamedTuple):
    """What can be asked: `takes` and `help` are for people, `read` returns a value of the text.

    `read` raises ValueError with what the text should have been. `single` keys take one value and
    no `!`; `shapes` keys say how to sum up and take no `!` either.
    """

    name: str
    takes: str
    example: str
    help: str
    read: Callable[[str, float], Value]
    single: bool = False
    shapes: bool = False


def _time(term: Term) -> float:
    value = term.values[0]
    return value if isinstance(value, float) else 0.0


def _network(text: str, _now: float) -> Value:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("is no address or network") from None


def _span(least: int, most: int, what: str) -> Callable[[str, float], Value]:
    def read(text: str, _now: float) -> Value:
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", text, re.ASCII)
        if match:
            span = Span(int(match[1]), int(match[2] or match[1]))
            if least <= span.first <= span.last <= most:
                return span
        raise ValueError(f"is no {what} or range of them from {least} to {most}")

    return read


def _protocol(text: str, _now: float) -> Value:
    from ipwatchd.records.flow import protocol_number

    try:
        return protocol_number(text)
    except ValueError:
        raise ValueError("is no IP protocol (tcp, udp, icmp … or its number)") from None


def _one_of(names: Callable[[], Sequence[str]]) -> Callable[[str, float], Value]:
    def read(text: str, _now: float) -> Value:
        known = {name.lower(): name for name in names() if name}
        if (found := known.get(text.lower())) is not None:
            return found
        near = difflib.get_close_matches(text.lower(), known, 1)
        mend = f", did you mean {known[near[0]]}" if near else ""
        raise ValueError(f"is none of {', '.join(known.values())}{mend}")

    return read


def _flow_names(column: str) -> Callable[[], Sequence[str]]:
    def names() -> Sequence[str]:
        from ipwatchd.records import flow

        found: Sequence[str] = getattr(flow, column)
        return found

    return names


def _states() -> Sequence[str]:
    return (*_flow_names("STATES")(), *INCIDENT_STATES)


def _country(text: str, _now: float) -> Value:
    if re.fullmatch(r"[A-Za-z]{2}", text):
        return text.upper()
    raise ValueError("is no country code of two letters (ISO 3166-1)")


def _asn(text: str, _now: float) -> Value:
    match = re.fullmatch(r"(?:AS)?(\d{1,10})", text, re.ASCII | re.IGNORECASE)
    if match and int(match[1]) < 1 << 32:
        return int(match[1])
    raise ValueError("is no AS number")


def _text(text: str, _now: float) -> Value:
    if not text or "\0" in text:
        raise ValueError("is empty or holds a NUL")
    return text


def _every(text: str, _now: float) -> Value:
    match = re.fullmatch(r"(\d{1,8})([smhdw])", text, re.ASCII)
    if match and 1 <= (seconds := int(match[1]) * _UNITS[match[2]]) <= 366 * 86400:
        return seconds
    raise ValueError("is no span of 1s to 366d")


def _moment(text: str, now: float) -> Value:
    if match := re.fullmatch(r"(\d{1,9})([smhdw])", text, re.ASCII):
        return now - int(match[1]) * float(_UNITS[match[2]])
    if re.fullmatch(r"-?\d{1,12}\.\d{1,9}|\d{9,12}", text, re.ASCII):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) / timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise ValueError("is no duration (90s 15m 24h 7d) or date (2026-03-01T08:00)") from None


_ROWS: Final = (
    Key("addr", "network", "addr:10.20.0.7", "either end", _network),
    Key("src", "network", "src:10.20.0.0/16", "the originator's address", _network),
    Key("dst", "network", "dst:2001:db8::/32", "the responder's address", _network),
    Key("nat", "network", "nat:198.51.100.1", "the address that the far side of NAT saw", _network),
    Key("port", "port", "port:22,8000-8999", "the responder's port",
        _span(0, 65535, "port")),
    Key("sport", "port", "sport:5060", "the originator's port", _span(0, 65535, "port")),
    Key("vlan", "VLAN", "vlan:20", "the VLAN it was seen on", _span(0, 4095, "VLAN")),
    Key("proto", "protocol", "proto:udp", "the IP protocol, name or number", _protocol),
    Key("service", "service", "service:rdp,ssh", "the application protocol",
        _one_of(_flow_names("SERVICES"))),
    Key("state", "state", "state:S0", "a flow's connection state or an incident's state",
        _one_of(_states)),
    Key("direction", "direction", "direction:incoming", "which way, seen from the site",
        _one_of(_flow_names("DIRECTIONS"))),
    Key("zone", "zone", "zone:agents", "the zone of either end", _text),
    Key("country", "country", "country:RU", "the country of either end", _country),
    Key("asn", "AS number", "asn:AS64500", "the network operator of either end", _asn),
    Key("agent", "name", "agent:maria", "the person at work at that address then", _text),
    Key("user", "name", "user:root", "the user name of a login or call", _text),
    Key("name", "name", "name:*.example.com", "a DNS, TLS server or HTTP host name", _text),
    Key("method", "method", "method:POST", "the method of an API request", _text),
    Key("status", "status", "status:401,500-599", "the status of an API request",
        _span(0, 999, "status")),
    Key("kind", "kind", "kind:dns,tls", "the kind of event", _one_of(lambda: tuple(KINDS))),
    Key("list", "list", "!list:trusted", "on a list: allow, deny or its source", _text),
    Key("rule", "rule", "rule:port-scan", "the detector's rule", _text),
    Key("severity", "severity", "severity:high,critical", "how bad",
        _one_of(lambda: SEVERITIES)),
    Key("priority", "priority", "priority:P1", "how urgent", _one_of(lambda: PRIORITIES)),
    Key("since", "time", "since:24h", "at or after: so long ago, or a date (UTC if no zone is "
        "given)", _moment, single=True),
    Key("until", "time", "until:2026-03-01", "before: so long ago, or a date", _moment,
        single=True),
    Key("by", "field", "by:service,country", "sums instead of rows, one for each value of these",
        _one_of(lambda: FIELDS), shapes=True),
    Key("every", "span", "every:1h", "sums by time, in buckets of so long (UTC)", _every,
        single=True, shapes=True),
    Key("count", "field", "count:orig", "sums, and how many different values of these there were",
        _one_of(lambda: FIELDS[1:]), shapes=True),
)  # fmt: skip
KEYS: Final[dict[str, Key]] = {key.name: key for key in _ROWS}


class _Scanner:
    """Walks the text once, left to right."""

    def __init__(self, text: str, now: float) -> None:
        self.text = text
        self.now = now
        self.at = 0
        self._times: dict[str, list[tuple[float, int, str]]] = {"since": [], "until": []}

    def terms(self) -> tuple[Term, ...]:
        found: list[Term] = []
        while self._skip_spaces():
            found.append(self._term())
            if sum(len(term.values) for term in found) > MAX_VALUES:
                raise FilterError(f"more than {MAX_VALUES} values", self.at, self.text[self.at :])
        self._check_times()
        return tuple(found)

    def _check_times(self) -> None:
        """Refuse times between which nothing can lie."""
        since = max(self._times["since"], default=(float("-inf"), 0, ""))
        until = min(self._times["until"], default=(float("inf"), 0, ""))
        if since[0] > self.now + _FUTURE:
            raise FilterError(
                f"since: {since[2]!r} lies after now, {_written(self.now)}", since[1], since[2]
            )
        if until[0] <= since[0]:
            first, second = (_written(one[0]) for one in (since, until))
            raise FilterError(
                f"until: {second} is not after since, {first}: nothing lies between them",
                until[1], until[2],
            )  # fmt: skip

    def _skip_spaces(self) -> bool:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at < len(self.text)

    def _term(self) -> Term:
        start = self.at
        negated = self.text[start] == "!"
        self.at += negated
        word = _word(self.text, self.at)
        if (bare := _bare_address(word)) is not None:
            self.at += len(word)
            return Term("addr", (bare,), negated)
        key = self._key(word)
        if negated and (key.single or key.shapes):
            raise FilterError(f"{key.name}: can't be negated", start, f"!{key.name}:")
        return Term(key.name, self._values(key), negated)

    def _key(self, word: str) -> Key:
        name, colon, _ = word.partition(":")
        if colon and (key := KEYS.get(name.lower())):
            self.at += len(name) + 1
            return key
        raise self._unknown(name, colon)

    def _unknown(self, name: str, colon: str) -> FilterError:
        near = difflib.get_close_matches(name.lower(), KEYS, 1)
        hint = f"{near[0]}:" if near else ""
        if colon:
            problem = f"there is no key {name!r}"
        elif name:
            problem = f"{name!r} has no key (write KEY:VALUE, such as name:{_quoted(name)})"
        else:
            problem = "a term is missing after !"
        return FilterError(problem, self.at, name, hint)

    def _values(self, key: Key) -> tuple[Value, ...]:
        values: list[Value] = []
        while True:
            start = self.at
            text = self._quoted_text() if self._peek() == '"' else self._plain_text()
            if not text:
                raise FilterError(f"{key.name}: needs a value, like {key.example}", start, "")
            try:
                values.append(key.read(text, self.now))
                if key.name in self._times:
                    self._times[key.name].append((float(str(values[-1])), start, text))
            except ValueError as error:
                problem = f"{key.name}: {text!r} {error}; write it like {key.example}"
                raise FilterError(problem, start, text) from None
            if self._peek() != ",":
                break
            self.at += 1
        if key.single and len(values) > 1:
            raise FilterError(f"{key.name}: takes one value", self.at, key.name)
        if self.at < len(self.text) and not self.text[self.at].isspace():
            raise FilterError("a space is missing", self.at, self.text[self.at])
        return tuple(values)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _plain_text(self) -> str:
        start = self.at
        while (character := self._peek()) and not character.isspace() and character not in ',"':
            self.at += 1
        return self.text[start : self.at]

    def _quoted_text(self) -> str:
        start = self.at
        self.at += 1
        out: list[str] = []
        while (character := self._peek()) not in {'"', ""}:
            if character == "\\":
                self.at += 1
                character = self._peek()
            out.append(character)
            self.at += 1
        if not self._peek():
            raise FilterError("the closing quote is missing", start, self.text[start:])
        self.at += 1
        return "".join(out)


def _written(moment: float) -> str:
    """Return a time as people read it."""
    try:
        return f"{_EPOCH + timedelta(seconds=moment):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return "never"


def _word(text: str, at: int) -> str:
    parts = text[at:].split(maxsplit=1)
    return parts[0] if parts and not text[at].isspace() else ""


def _bare_address(word: str) -> Value | None:
    try:
        return ipaddress.ip_network(word, strict=False) if word else None
    except ValueError:
        return None


def parse(text: str, now: float) -> Filter:
    """Return the filter of a text; `now` (epoch seconds) is what durations count back from.

    Raises FilterError.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilterError(f"longer than {MAX_CHARACTERS} characters", MAX_CHARACTERS, "")
    return Filter(_Scanner(text, now).terms())


def render(query: Filter) -> str:
    """Return the text of a filter; parsed again it is the same filter."""
    return " ".join(_render_term(term) for term in query.terms)


def _render_term(term: Term) -> str:
    values = ",".join(_quoted(_render_value(term.key, value)) for value in term.values)
    return f"{'!' * term.negated}{term.key}:{values}"


def _render_value(key: str, value: Value) -> str:
    if isinstance(value, Span):
        return str(value.first) if value.first == value.last else f"{value.first}-{value.last}"
    if isinstance(value, float):
        return f"{value:.6f}"
    if key == "asn":
        return f"AS{value}"
    if key == "every":
        return f"{value}s"
    return str(value)


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return '"' + _ESCAPED.sub(r"\\\g<0>", text) + '"'


def help_text() -> str:
    """Return what can be asked, a line a key, for people."""
    width = max(len(key.example) for key in KEYS.values())
    lines = [f"  {key.example:<{width}}  {key.help}" for key in KEYS.values()]
    return "\n".join(
        [
            "Terms are AND-ed: src:10.20.0.0/16 country:RU port:3389 since:24h !list:trusted",
            "! negates a term, a comma is any of, quotes hold spaces, * in text is anything.",
            *lines,
        ]
    )
