"""The head of a syslog line (RFC 3164 as it is written to files, RFC 5424): when, which program."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ipwatchd.logs.when import classic, rfc3339

__all__ = ["Head", "split"]

# No host name ends in a colon or holds a bracket: a program's tag can't pass for the host, so what
# a program logs can't pass for a line of another program.
_HEAD: Final = re.compile(
    r"(?:<[0-9]{1,3}>)?"
    r"(?:([A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9:]{8})|"
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,Z+-]{8,30}))"
    r"(?: [A-Za-z0-9._:-]{0,254}[A-Za-z0-9._-])?"
    r" (?:\[([A-Za-z0-9_./-]{1,64})\]:?|"
    r"([A-Za-z0-9_./-]{1,64})(?:\([A-Za-z0-9_-]{1,32}\))?(?:\[[0-9]{1,10}\])?:) "
)
_RFC5424: Final = re.compile(
    r"<[0-9]{1,3}>1 ([0-9TZ:.+-]{10,40}) [^ ]{1,255} ([^ ]{1,48}) [^ ]{1,128} [^ ]{1,32} "
)
_ELEMENT: Final = re.compile(r"\[[^ =\]\"]{1,64}")
_PARAMETER: Final = re.compile(r" [^ =\]\"]{1,64}=\"((?:[^\"\\]|\\.)*)\"")
# Solaris puts a message id before the text.
_SOLARIS: Final = re.compile(r"\[ID [0-9]{1,10} [a-z0-9.]{1,32}\] ")


class Head(NamedTuple):
    """`program` without path and process id, `text` what it said."""

    ts: float
    program: str
    text: str


def split(line: str, now: float) -> Head | None:
    """Return the head of a line and its text; None where it is no syslog line."""
    found = _RFC5424.match(line)
    if found:
        place = _structured(line, found.end())
        if place < 0:
            return None
        return Head(rfc3339(found[1]) or now, found[2], line[place:])
    found = _HEAD.match(line)
    if found is None:
        return None
    ts = classic(found[1], now) if found[1] else rfc3339(found[2])
    text = line[found.end() :]
    extra = _SOLARIS.match(text)
    program = (found[3] or found[4]).rpartition("/")[2]
    return Head(now if ts is None else ts, program, text[extra.end() :] if extra else text)


def _structured(line: str, place: int) -> int:
    """Return where the text behind the structured data starts (RFC 5424, 6.3), or -1."""
    if line.startswith("- ", place):
        return place + 2
    while element := _ELEMENT.match(line, place):
        place = element.end()
        while parameter := _PARAMETER.match(line, place):
            place = parameter.end()
        if not line.startswith("]", place):
            return -1
        place += 1
    return place + 1 if line.startswith(" ", place) else -1
