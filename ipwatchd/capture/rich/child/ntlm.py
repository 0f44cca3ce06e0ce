"""The NTLM AUTHENTICATE message (MS-NLMP, 2.2.1.3) → event.

Own code: scapy also reads the responses, of which those of NTLM 1 and of cut messages make it fail.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ipwatchd.records.event import Ntlm

if TYPE_CHECKING:
    from ipwatchd.records.event import Event

__all__ = ["ntlm"]

_HEAD: Final = b"NTLMSSP\0\3\0\0\0"
_FIELD: Final = struct.Struct("<HHI")
_DOMAIN, _USER, _WORKSTATION, _FLAGS = 28, 36, 44, 60
_UNICODE: Final = 1


def ntlm(data: bytes, service: str = "http") -> list[Event]:
    """Return who logs in. Raises struct.error where the message is too short."""
    if not data.startswith(_HEAD):
        return []
    (flags,) = struct.unpack_from("<I", data, _FLAGS)
    user, domain, host = (
        _text(data, place, flags) for place in (_USER, _DOMAIN, _WORKSTATION)
    )  # fmt: skip
    return [Ntlm(ts=0.0, user=user, domain=domain, host=host, service=service)]


def _text(data: bytes, place: int, flags: int) -> str:
    length, _room, offset = _FIELD.unpack_from(data, place)
    value = data[offset : offset + length]
    return value.decode("utf-16-le" if flags & _UNICODE else "latin-1", "replace")
