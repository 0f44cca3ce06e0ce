"""The SSH identification string (RFC 4253, 4.2) → event; the packets up to the new keys."""

from __future__ import annotations

from typing import Final

from ipwatchd.capture.dissect.step import BAD, MORE, Step
from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Ssh

__all__ = ["parse", "step"]

MAX_LINE: Final = 255
MAX_BANNER: Final = 2048
"""Bytes a server may send before its identification. Stops an endless banner (an SSH tarpit)."""
_NEW_KEYS: Final = 21
MAX_PACKET: Final = 35_000
"""Octets of a packet (RFC 4253, 6.1)."""


def parse(line: bytes, *, client: bool) -> Ssh | None:
    """Return the event of an identification line without its line end, or None."""
    if not line.startswith(b"SSH-") or line.count(b"-", 0, 64) < 2:
        return None
    return Ssh(ts=0.0, version=printable(line, MAX_LINE), client=client)


def step(data: bytes, *, client: bool, begun: bool = False) -> Step:
    """Return the identification of one direction of a stream, then the end of its clear packets.

    `begun` says that the identification was read. Done and not bad: what follows is encrypted.
    """
    if begun:
        return _packet(data)
    place = 0
    while (end := data.find(b"\n", place)) >= 0:
        event = parse(data[place:end].rstrip(b"\r"), client=client)
        if event is not None:
            return Step((event,), end + 1)
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


def _packet(data: bytes) -> Step:
    """Step over one binary packet (RFC 4253, 6); done behind SSH_MSG_NEWKEYS."""
    if len(data) < 6:
        return MORE
    length = int.from_bytes(data[:4], "big")
    if not 5 <= length <= MAX_PACKET or data[4] > length:
        return BAD
    return Step((), 4 + length, done=data[5] == _NEW_KEYS)
