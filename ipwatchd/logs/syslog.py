"""The head of a syslog line (RFC 3164 as it is written to files, RFC 5424): when, which program."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.logs.when import stamp

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["Head", "split"]

# No host name ends in a colon or holds a bracket: a program's tag can't pass for the host, so what
# a program logs can't pass for a line of another program.
_HEAD: Final = re.compile(
    r"(?:<[0-9]{1,3}>)?"
    r"(?:([A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9:]{8})|"
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,Z+-]{8,30}))"
    r"(?: [A-Za-z0-9._:-]{0,254}[A-Za-z0-9._-])?"
    r" (?:\[([A-Za-z0-9_./-]{1,64})\]:?|"
    r"\(?([A-Za-z0-9_./-]{1,64})(?:\([A-Za-z0-9_-]{1,32}\)|\))?(?:\[([0-9]{1,10})\])?:) "
)
# nginx writes its host's name into /dev/log, where rsyslog puts another before it.
_TWICE: Final = re.compile(
    r"([A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+-]{8,30}) "
    r"([A-Za-z0-9._:-]{0,254}[A-Za-z0-9._-] )\2"
)
_RFC5424: Final = re.compile(
    r"<[0-9]{1,3}>1 ([0-9TZ:.+-]{10,40}) [^ ]{1,255} ([^ ]{1,48}) ([^ ]{1,128}) [^ ]{1,32} "
)
_ELEMENT: Final = re.compile(r"\[[^ =\]\"]{1,64}")
_PARAMETER: Final = re.compile(r" [^ =\]\"]{1,64}=\"((?:[^\"\\]|\\.)*)\"")
# Solaris puts a message id before the text.
_SOLARIS: Final = re.compile(r"\[ID [0-9]{1,10} [a-z0-9.]{1,32}\] ")


class Head(msgspec.Struct, frozen=True, gc=False):
    """`program` as it names itself, `pid` its process or "", `text` what it said."""

    ts: float
    program: str
    text: str
    pid: str = ""


def split(line: str, now: float, zone: tzinfo = UTC) -> Head | None:
    """Return the head of a line and its text; None where it is no syslog line.

    `zone` is that of a stamp that names none.
    """
    first = line[:1]
    if first == "<":
        found = _RFC5424.match(line)
        if found is not None:
            return _of_rfc5424(line, found, now, zone)
    elif not ("A" <= first <= "Z" or line[4:5] == "-"):
        # No stamp starts so.
        return None
    found = _HEAD.match(line)
    if found is None:
        twice = _TWICE.match(line)
        if twice is None:
            return None
        line = f"{twice[1]} {twice[2]}{line[twice.end() :]}"
        found = _HEAD.match(line)
        if found is None:
            return None
    classic, iso, bracketed, tag, pid = found.groups()
    ts = stamp("classic" if classic else "iso", classic or iso, int(now // 3600), zone)
    text = line[found.end() :]
    extra = _SOLARIS.match(text) if text.startswith("[ID ") else None
    text = (text[extra.end() :] if extra else text).lstrip(" ")
    return Head(now if ts is None else ts, bracketed or tag, text, pid or "")


def _of_rfc5424(line: str, found: re.Match[str], now: float, zone: tzinfo) -> Head | None:
    place = _structured(line, found.end())
    if place < 0:
        return None
    when, program, pid = found.groups()
    # rsyslog puts the blank behind RFC 3164's colon before the text, others a byte order mark.
    text = line[place:].lstrip(" \ufeff")
    ts = stamp("iso", when, int(now // 3600), zone) or now
    return Head(ts, program.strip("()"), text, pid if pid.isdecimal() else "")


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
