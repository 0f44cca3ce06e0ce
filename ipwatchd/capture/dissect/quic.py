"""QUIC Initial packets (RFC 9000, 9001, 9369) → the ClientHello they carry.

The keys of an Initial follow from a connection ID that stands in it in clear: whoever sees the
packet can read it. Later packets can't be read and are not looked at.
"""

from __future__ import annotations

import hmac
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ipwatchd.capture.dissect import tls
from ipwatchd.capture.dissect.stream import IDLE, Half
from ipwatchd.capture.tap import Kind
from ipwatchd.records.event import Quic

if TYPE_CHECKING:
    from ipwatchd.capture.dissect.stream import Key

__all__ = ["Connections", "Header", "crypto_frames", "keys_of", "read_header", "unprotect"]

MAX_COALESCED: Final = 4
"""QUIC packets read of one datagram."""
MAX_INITIALS: Final = 24
"""Initials of a connection that are decrypted. Stops one that never completes its hello."""
MAX_FRAMES: Final = 128
"""CRYPTO frames of a packet; clients that scatter their hello send some twenty."""
MAX_IDS: Final = 3
"""Connection IDs of one flow that keys are kept for: before and after a Retry, and one more."""

_RFC9001: Final = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
_RFC9369: Final = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")
_DRAFT29: Final = bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")
_DRAFT23: Final = bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")
_T050: Final = bytes.fromhex("7ff579e5acd072915580304c43a2367c60488310")
_T051: Final = bytes.fromhex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d")
_V2: Final = 0x6B3343CF
_SALTS: Final = {
    1: _RFC9001, _V2: _RFC9369, 0x54303530: _T050, 0x54303531: _T051,
    **{0xFF000000 + draft: _DRAFT23 for draft in range(23, 29)},
    **{0xFF000000 + draft: _DRAFT29 for draft in range(29, 33)},
    **{0xFF000000 + draft: _RFC9001 for draft in range(33, 35)},
}  # fmt: skip
_NAMES: Final = {1: "1", _V2: "2", 0x54303530: "T050", 0x54303531: "T051"}
_GOOGLE: Final = frozenset((0x54303530, 0x54303531))
_LONG: Final = struct.Struct("!BI")
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO, _GOOGLE_CRYPTO = 0, 1, 2, 3, 6, 8
_MAX_ID: Final = 20
_CLIENT_HELLO: Final = 1


class Header(NamedTuple):
    """An Initial: where its packet number starts and where the packet ends."""

    version: int
    target: bytes
    number: int
    end: int


class Keys(NamedTuple):
    """What protects a client's Initials."""

    packet: AESGCM
    iv: bytes
    header: Cipher[modes.ECB]


def read_header(data: bytes, place: int) -> Header | None:
    """Return the header of the Initial at `place` (RFC 9000, 17.2.2), or None."""
    try:
        first, version = _LONG.unpack_from(data, place)
        # Version 2 numbers the types anew (RFC 9369, 3.2).
        initial = 0x10 if version == _V2 else 0
        if first & 0xC0 != 0xC0 or first & 0x30 != initial or _salt(version) is None:
            return None
        place += 5
        length = data[place]
        target = data[place + 1 : place + 1 + length]
        place += 1 + length
        if length > _MAX_ID or len(target) < length or data[place] > _MAX_ID:
            return None
        token, place = _number(data, place + 1 + data[place])
        length, place = _number(data, place + token)
    except (IndexError, struct.error):
        return None
    # A sample of 16 bytes is taken 4 bytes on (RFC 9001, 5.4.2).
    if length < 20 or place + length > len(data):
        return None
    return Header(version, target, place, place + length)


def keys_of(version: int, target: bytes) -> Keys:
    """Return the client's keys of a connection ID (RFC 9001, 5.2; RFC 9369, 3.3)."""
    secret = hmac.digest(_salt(version) or _RFC9001, target, "sha256")
    secret = _expand(secret, b"client in", 32)
    prefix = b"quicv2" if version == _V2 else b"quic"
    packet, iv, header = (
        _expand(secret, prefix + label, size)
        for label, size in ((b" key", 16), (b" iv", 12), (b" hp", 16))
    )
    return Keys(AESGCM(packet), iv, Cipher(algorithms.AES(header), modes.ECB()))  # noqa: S305  RFC 9001, 5.4.3


def _salt(version: int) -> bytes | None:
    """Return the salt of a version; those reserved to force a negotiation use draft 29's."""
    if version & 0x0F0F0F0F == 0x0A0A0A0A:
        return _DRAFT29
    return _SALTS.get(version)


def unprotect(data: bytes, start: int, header: Header, keys: Keys) -> bytes | None:
    """Return the frames of an Initial, or None where these are not its keys."""
    at = header.number
    mask = keys.header.encryptor().update(data[at + 4 : at + 20])
    first = data[start] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = bytes(a ^ b for a, b in zip(data[at : at + size], mask[1:5], strict=False))
    nonce = bytes(a ^ b for a, b in zip(keys.iv, number.rjust(12, b"\0"), strict=True))
    head = bytes([first]) + data[start + 1 : at] + number
    try:
        return keys.packet.decrypt(nonce, data[at + size : header.end], head)
    except InvalidTag:
        return None


def crypto_frames(frames: bytes, crypto: int = _CRYPTO) -> list[tuple[int, bytes]]:
    """Return offset and bytes of the CRYPTO frames (RFC 9000, 19) up to the first unknown frame.

    `crypto` is their type.
    """
    found: list[tuple[int, bytes]] = []
    place, size = 0, len(frames)
    try:
        while place < size and len(found) < MAX_FRAMES:
            kind = frames[place]
            place += 1
            if kind == _PADDING:
                place += size - place - len(frames[place:].lstrip(b"\0"))
            elif kind == crypto:
                offset, place = _number(frames, place)
                length, place = _number(frames, place)
                found.append((offset, frames[place : place + length]))
                place += length
            elif kind in {_ACK, _ACK_ECN}:
                place = _behind_ack(frames, place, ecn=kind == _ACK_ECN)
            elif kind != _PING:
                break
    except IndexError:
        pass
    return found


class Connections:
    """Connections whose hello is on its way or was read; at most `limit`, the oldest goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Key, _Connection] = OrderedDict()
        self.shed = 0

    def __len__(self) -> int:
        """Return how many connections are held."""
        return len(self._held)

    def feed(self, key: Key, data: bytes, now: float, *, from_orig: bool) -> Quic | bool | None:
        """Return the hello that a datagram completes; False where none of it could be read."""
        one = self._held.get(key)
        if one is None:
            while len(self._held) >= self._limit:
                _, oldest = self._held.popitem(last=False)
                self.shed += not oldest.done
            one = self._held[key] = _Connection(from_orig=from_orig)
        else:
            self._held.move_to_end(key)
        one.last = now
        if one.done or one.from_orig != from_orig or one.initials >= MAX_INITIALS:
            return None
        if not one.take(data):
            return False
        return one.hello(final=False)

    def idle(self, now: float) -> list[tuple[Key, float, Quic | None]]:
        """Remove those silent for IDLE seconds; return what a hello that was cut off says."""
        gone: list[tuple[Key, float, Quic | None]] = []
        while self._held:
            key, one = next(iter(self._held.items()))
            if now - one.last < IDLE:
                break
            del self._held[key]
            if not one.done and one.half.window:
                gone.append((key, one.last, one.hello(final=True)))
        return gone


class _Connection:
    """One flow: CRYPTO bytes so far, and the keys of the connection IDs seen."""

    __slots__ = ("done", "from_orig", "half", "initials", "keys", "last", "version")

    def __init__(self, *, from_orig: bool) -> None:
        self.from_orig = from_orig
        self.half = Half(Kind.QUIC, 0)
        self.half.fresh = False
        self.keys: dict[tuple[int, bytes], Keys] = {}
        self.initials = 0
        self.version = 0
        self.done = False
        self.last = 0.0

    def take(self, data: bytes) -> bool:
        """Add the CRYPTO frames of a datagram; False where nothing could be decrypted."""
        place, read = 0, False
        for _ in range(MAX_COALESCED):
            header = read_header(data, place)
            if header is None:
                break
            self.initials += 1
            frames = self._open(data, place, header)
            if frames is not None:
                read = True
                self.version = header.version
                crypto = _GOOGLE_CRYPTO if header.version in _GOOGLE else _CRYPTO
                for offset, part in crypto_frames(frames, crypto):
                    if offset < 1 << 30:
                        self.half.add(offset, part)
            place = header.end
        return read

    def _open(self, data: bytes, place: int, header: Header) -> bytes | None:
        """Try the packet's own connection ID, then those that came before (after an answer)."""
        own = header.version, header.target
        if own not in self.keys and len(self.keys) < MAX_IDS:
            self.keys[own] = keys_of(*own)
        tried = sorted(self.keys.items(), key=lambda item: item[0] != own)
        for (version, _), keys in tried:
            if version == header.version:
                frames = unprotect(data, place, header, keys)
                if frames is not None:
                    return frames
        return None

    def hello(self, *, final: bool) -> Quic | None:
        """Return the ClientHello once it is whole, or of what came of it where no more will."""
        data = self.half.ready()
        if data[:1] and data[0] != _CLIENT_HELLO:
            self.done = True
            return None
        need = 4 + int.from_bytes(data[1:4], "big")
        whole = len(data) >= max(need, 4)
        if not whole and not final:
            return None
        found = tls.client_hello(data[4:need], transport="q", whole=whole)
        self.done = True
        self.half.close()
        if found is None:
            return None
        version = version_name(self.version)
        return Quic(ts=0.0, name=found.name, version=version, alpn=found.alpn, ja4=found.ja4)


def version_name(version: int) -> str:
    """Return a version as people write it."""
    if version >> 8 == 0xFF0000:
        return f"draft-{version & 0xFF}"
    return _NAMES.get(version) or f"0x{version:08x}"


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """Return HKDF-Expand-Label of at most 32 bytes (RFC 8446, 7.1) with an empty context."""
    label = b"tls13 " + label
    info = struct.pack("!HB", size, len(label)) + label + b"\0"
    return hmac.digest(secret, info + b"\x01", "sha256")[:size]


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return a variable-length integer (RFC 9000, 16) and where it ends."""
    first = data[place]
    size = 1 << (first >> 6)
    if place + size > len(data):
        raise IndexError
    value = int.from_bytes(data[place : place + size], "big")
    return value & ((1 << (8 * size - 2)) - 1), place + size


def _behind_ack(frames: bytes, place: int, *, ecn: bool) -> int:
    _, place = _number(frames, place)
    _, place = _number(frames, place)
    ranges, place = _number(frames, place)
    for _ in range(min(2 * ranges, len(frames)) + 1 + 3 * ecn):
        _, place = _number(frames, place)
    return place
