"""JA4, the fingerprint of a TLS client (FoxIO, technical_details/JA4.md; JA4 alone is BSD)."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["GREASE", "ja4"]

GREASE: Final = frozenset(range(0x0A0A, 0x10000, 0x1010))
"""The sixteen values that are reserved to be ignored (RFC 8701)."""

_VERSIONS: Final = {
    0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2",
    0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3",
}  # fmt: skip
_NOTHING: Final = "000000000000"
_NAME, _ALPN = 0x0000, 0x0010


def ja4(
    transport: str,
    version: int,
    ciphers: Iterable[int],
    extensions: Iterable[int],
    signatures: Iterable[int],
    protocol: bytes,
) -> str:
    """Return the fingerprint; all lists as offered, `protocol` is the first of ALPN or empty."""
    ciphers = [one for one in ciphers if one not in GREASE]
    extensions = [one for one in extensions if one not in GREASE]
    signed = [one for one in signatures if one not in GREASE]
    rest = _hexes(sorted(one for one in extensions if one not in {_NAME, _ALPN}))
    if rest and signed:
        rest = f"{rest}_{_hexes(signed)}"
    return (
        f"{transport}{_VERSIONS.get(version, '00')}{'d' if _NAME in extensions else 'i'}"
        f"{min(len(ciphers), 99):02d}{min(len(extensions), 99):02d}{_ends(protocol)}"
        f"_{_digest(_hexes(sorted(ciphers)))}_{_digest(rest)}"
    )


def _hexes(values: Sequence[int]) -> str:
    """Return numbers of 16 bits as four hex digits each, with commas between."""
    return struct.pack(f"!{len(values)}H", *values).hex(",", 2)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else _NOTHING


def _ends(protocol: bytes) -> str:
    """Return the first and last character, of the hex form where one is not alphanumeric."""
    if not protocol:
        return "00"
    ends = protocol[:1] + protocol[-1:]
    if ends.isalnum():
        return ends.decode("ascii")
    digits = protocol.hex()
    return digits[0] + digits[-1]
