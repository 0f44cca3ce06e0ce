"""The first packet of RDP (MS-RDPBCGR, 2.2.1.1) → event: the user that its cookie names."""

from __future__ import annotations

import re
from typing import Final

from ipwatchd.capture.dissect.step import BAD, MORE, Step
from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Rdp

__all__ = ["step"]

MAX_REQUEST: Final = 1024
"""Octets of a connection request; a cookie has at most some dozens."""

_COOKIE: Final = re.compile(rb"Cookie: mstshash=([^\r\n]{0,255})\r\n")
_CONNECTION_REQUEST: Final = 0xE0


def step(data: bytes) -> Step:
    """Return the connection request of a client: TPKT (RFC 1006) around X.224's."""
    if len(data) < 7:
        return MORE if b"\x03\0".startswith(data[:2]) else BAD
    length = int.from_bytes(data[2:4], "big")
    if data[:2] != b"\x03\0" or data[5] != _CONNECTION_REQUEST or not 11 <= length <= MAX_REQUEST:
        return BAD
    if len(data) < length:
        return MORE
    cookie = _COOKIE.search(data, 11, length)
    return Step((Rdp(ts=0.0, user=printable(cookie[1]) if cookie else ""),), length, done=True)
