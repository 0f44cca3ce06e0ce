"""Streams of messages that carry their length: Kerberos, LDAP and SMB over TCP → the rich child.

Here only the framing is read (RFC 4120, 7.2.2; RFC 4511, 5.1; RFC 1002, 4.3.1), and which message
is worth a look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.dissect.bounds import MAX_BYTES
from ipwatchd.capture.dissect.step import BAD, DONE, MORE, Step
from ipwatchd.capture.tap import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STEPS", "authenticate", "starts"]

_KERBEROS_TAGS: Final = frozenset((0x6A, 0x6B, 0x6C, 0x6D, 0x7E))
"""AS-REQ, AS-REP, TGS-REQ, TGS-REP, KRB-ERROR (RFC 4120, 5)."""
_BIND_TAGS: Final = frozenset((0x60, 0x61))
_SMB: Final = (b"\xfeSMB", b"\xffSMB")
_NTLM: Final = b"NTLMSSP\0\3\0\0\0"
MAX_TOKEN: Final = 4096
"""Octets of an NTLM AUTHENTICATE message; its names and responses take some hundreds."""


def starts(kind: int, payload: bytes) -> bool:
    """Tell whether a segment begins with a message, so that what came before may be missing."""
    if kind == Kind.KERBEROS:
        return payload[4:5] != b"" and payload[4] in _KERBEROS_TAGS
    if kind == Kind.SMB:
        return payload[:1] == b"\0" and payload[4:8] in _SMB
    return kind == Kind.LDAP and _ber(payload) is not None


def authenticate(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return the NTLM AUTHENTICATE message (MS-NLMP, 2.2.1.3) that lies in some bytes."""
    place = data.find(_NTLM)
    return (("ntlm", data[place : place + MAX_TOKEN]),) if place >= 0 else ()


def _kerberos(data: bytes) -> Step:
    if len(data) < 5:
        return MORE
    length = int.from_bytes(data[:4], "big")
    if data[4] not in _KERBEROS_TAGS or length < 10:
        return BAD
    if 4 + length > MAX_BYTES:
        return DONE
    if len(data) < 4 + length:
        return MORE
    return Step((), 4 + length, rich=(("kerberos", data[4 : 4 + length]),))


def _smb(data: bytes) -> Step:
    if len(data) < 8:
        return MORE
    length = int.from_bytes(data[1:4], "big")
    if data[0] or data[4:8] not in _SMB or length < 32:
        return BAD
    if 4 + length > MAX_BYTES:
        return DONE
    if len(data) < 4 + length:
        return MORE
    return Step((), 4 + length, rich=_tokens(data[4 : 4 + length]))


def _tokens(message: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple(("smb", token) for _, token in authenticate(message))


def _ldap(data: bytes) -> Step:
    if len(data) < 2:
        return MORE
    found = _ber(data)
    if found is None:
        return BAD
    start, end = found
    if end > MAX_BYTES:
        return DONE
    if len(data) < end:
        return MORE
    # A message ID of one to four bytes, then the operation (RFC 4511, 4.1.1).
    place = start + 2 + (data[start + 1] if start + 1 < end else 0)
    if place >= end or data[start] != 2:
        return BAD
    binds = data[place] in _BIND_TAGS
    return Step((), end, rich=(("ldap", data[:end]),) if binds else ())


def _ber(data: bytes) -> tuple[int, int] | None:
    """Return where the content of a BER sequence starts and ends, or None where it is none."""
    if data[:1] != b"\x30" or len(data) < 2:
        return None
    length = data[1]
    if length < 0x80:
        return 2, 2 + length
    width = length & 0x7F
    if not 1 <= width <= 4:
        return None
    return 2 + width, 2 + width + int.from_bytes(data[2 : 2 + width], "big")


STEPS: Final[dict[int, Callable[[bytes], Step]]] = {
    Kind.KERBEROS: _kerberos, Kind.LDAP: _ldap, Kind.SMB: _smb,
}  # fmt: skip
"""The reader of each kind's streams."""
