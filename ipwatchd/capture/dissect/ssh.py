"""The SSH identification string (RFC 4253, 4.2) → event."""

from __future__ import annotations

from typing import Final

from ipwatchd.capture.dissect.step import BAD, MORE, Step
from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Ssh

__all__ = ["parse", "step"]

MAX_LINE: Final = 255
MAX_BANNER: Final = 2048
"""Bytes a server may send before its identification. Stops an endless banner (an SSH tarpit)."""


def parse(line: bytes, *, client: bool) -> Ssh | None:
    """Return the event of an identification line without its line end, or None."""
    if not line.startswith(b"SSH-") or line.count(b"-", 0, 64) < 2:
        return None
    return Ssh(ts=0.0, version=printable(line, MAX_LINE), client=client)


def step(data: bytes, *, client: bool) -> Step:
    """Return the identification of one direction of a stream."""
    place = 0
    while (end := data.find(b"\n", place)) >= 0:
        event = parse(data[place:end].rstrip(b"\r"), client=client)
        if event is not None:
            return Step((event,), end + 1, done=True)
        # Only the server may say something before (RFC 4253, 4.2).
        if client:
            return BAD
        place = end + 1
    rest = data[place:]
    if len(data) > MAX_BANNER or (len(rest) > MAX_LINE and rest.startswith(b"SSH-")):
        return BAD
    if client and not (rest.startswith(b"SSH-") or b"SSH-".startswith(rest)):
        return BAD
    return MORE
