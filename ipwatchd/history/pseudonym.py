"""Pseudonyms for exports: the same under one key, meaningless without it. Pure.

Addresses: Crypto-PAn (Xu, Fan, Ammar, Moon: "Prefix-Preserving IP Address Anonymization", ICNP 2002),
AES-128, IPv4 over 32 bits and IPv6 over 128: two addresses that share their first n bits have
pseudonyms that share exactly their first n bits. Names: the first 80 bits of HMAC-SHA-256.
"""  # noqa: E501 - a citation

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from ipwatchd.records.address import V4_PREFIX, address_text, is_v4, split
from ipwatchd.records.community import community_ids_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["KEY_BYTES", "Pseudonyms"]

KEY_BYTES: Final = 32
# 128 blocks of 16 bytes an IPv6 address: more at once would need memory without being faster.
_CHUNK: Final = 4096
# Distinct values whose pseudonyms are remembered: a long export meets the same ones again.
_REMEMBERED: Final = 100_000
_ALL: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_HALVES: Final = np.dtype([("hi", ">u8"), ("lo", ">u8")])

CLEAR: Final = frozenset({
    "kind", "proto", "service", "services", "state", "direction", "zone", "orig_zone", "resp_zone",
    "country", "orig_country", "resp_country", "city", "operator", "time_zone", "method", "result",
    "action", "list", "source", "rcode", "qtype", "version", "iface", "message", "alpn", "cipher",
    "operation", "exchange", "error", "incident", "rule",
})  # fmt: skip
"""Keys whose words are of a fixed set or tell of a region: every other text becomes a pseudonym."""
_NAMING: Final = re.compile(r"[/@\\]")
"""What a word has that names somebody all the same: a Kerberos service is HTTP/pc7.example.com."""
DROPPED: Final = frozenset({"text", "reason"})
"""Sentences, which may name anybody: left empty."""


class Pseudonyms:
    """The pseudonyms of one 32-byte key: 16 for AES, 16 for the padding, as in the paper."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a pseudonym key has {KEY_BYTES} bytes, this one {len(key)}")
        # ECB of single blocks is the paper's pseudo-random function, nothing is kept secret by it.
        self._aes = Cipher(AES(key[:16]), ECB())  # noqa: S305
        pad = np.frombuffer(self._encrypt(key[16:]), _HALVES)[0]
        self._pad = np.uint64(pad["hi"]), np.uint64(pad["lo"])
        self._names = hashlib.sha256(b"ipwatchd names" + key).digest()
        self._known: dict[str, str] = {}

    def _encrypt(self, blocks: bytes) -> bytes:
        encryptor = self._aes.encryptor()
        return encryptor.update(blocks) + encryptor.finalize()

    def addresses(
        self, hi: NDArray[np.uint64], lo: NDArray[np.uint64], *, reverse: bool = False
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the pseudonyms of addresses (records.address), or what pseudonyms stand for."""
        out_hi, out_lo = hi.copy(), lo.copy()
        old = is_v4(hi, lo)
        change = self._unflip if reverse else self._flip
        for rows, bits in ((np.flatnonzero(old), 32), (np.flatnonzero(~old), 128)):
            for at in range(0, len(rows), _CHUNK):
                some = rows[at : at + _CHUNK]
                # IPv4 stands at the top of the block, as in the paper.
                top = (lo[some] << np.uint64(32), np.zeros(len(some), np.uint64))
                first, second = top if bits == 32 else (hi[some], lo[some])
                high, low = change(first, second, bits)
                if bits == 32:
                    high, low = np.zeros_like(high), high >> np.uint64(32) | np.uint64(V4_PREFIX)
                out_hi[some], out_lo[some] = high, low
        return out_hi, out_lo

    def _bits(
        self, hi: NDArray[np.uint64], lo: NDArray[np.uint64], lengths: Sequence[int]
    ) -> NDArray[np.uint64]:
        """Return a bit for each address and each length of its prefix, shape (rows, lengths)."""
        masks = [_mask(length) for length in lengths]
        high = np.array([one for one, _ in masks], np.uint64)
        low = np.array([one for _, one in masks], np.uint64)
        blocks = np.empty((len(hi), len(lengths)), _HALVES)
        blocks["hi"] = hi[:, None] & high | self._pad[0] & ~high
        blocks["lo"] = lo[:, None] & low | self._pad[1] & ~low
        done = np.frombuffer(self._encrypt(blocks.tobytes()), np.uint8)
        return (done.reshape(len(hi), len(lengths), 16)[:, :, 0] >> 7).astype(np.uint64)

    def _flip(
        self, hi: NDArray[np.uint64], lo: NDArray[np.uint64], bits: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        found = self._bits(hi, lo, range(bits))
        high, low = hi.copy(), lo.copy()
        for place in range(bits):
            half = high if place < 64 else low
            half ^= found[:, place] << np.uint64(63 - place % 64)
        return high, low

    def _unflip(
        self, hi: NDArray[np.uint64], lo: NDArray[np.uint64], bits: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Go from the first bit on: each is hidden by the true bits before it."""
        high, low = hi.copy(), lo.copy()
        for place in range(bits):
            half = high if place < 64 else low
            half ^= self._bits(high, low, (place,))[:, 0] << np.uint64(63 - place % 64)
        return high, low

    def address(self, text: str, *, reverse: bool = False) -> str:
        """Return one address's pseudonym, or the address of a pseudonym; ValueError for no address."""  # noqa: E501 - one line says it
        hi, lo = split(text)
        high, low = self.addresses(
            np.array([hi], np.uint64), np.array([lo], np.uint64), reverse=reverse
        )
        return address_text(int(high[0]), int(low[0]))

    def name(self, kind: str, text: str) -> str:
        """Return the pseudonym of a name: `kind-` and 20 hexadecimal digits."""
        digest = hmac.new(self._names, f"{kind}\0{text.lower()}".encode(), hashlib.sha256)
        return f"{kind}-{digest.hexdigest()[:20]}"

    def text(self, key: str, text: str) -> str:
        """Return what stands for a text under a row's key: an address, a network or a name."""
        if not text:
            return text
        cached = self._known.get(f"{key} {text}")
        if cached is None:
            cached = self._text(key, text)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[f"{key} {text}"] = cached
        return cached

    def _text(self, key: str, text: str) -> str:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return self.name(KINDS_OF_NAME.get(key, "name"), text)
        alias = self.address(str(network.network_address))
        if network.prefixlen == network.max_prefixlen:
            return alias
        return str(ipaddress.ip_network(f"{alias}/{network.prefixlen}", strict=False))

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return records, flows or events under pseudonyms: numbers and words of CLEAR stay."""
        shown = [{key: self._value(key, value) for key, value in row.items()} for row in rows]
        # A hash of the true addresses could be tried out: it is made anew.
        flows = [row for row in shown if "community_id" in row]
        for flow, name in zip(flows, community_ids_of(flows), strict=True):
            flow["community_id"] = name
        return shown

    def _value(self, key: str, value: Any) -> Any:
        match value:
            case str() if key in DROPPED:
                return ""
            case str() if key not in CLEAR or (key == "service" and _NAMING.search(value)):
                return self.text(key, value)
            case list() | tuple():
                return [self._value(key, one) for one in value]
            case dict():
                return {str(name): self._value(str(name), one) for name, one in value.items()}
            case _:
                return value


KINDS_OF_NAME: Final = {
    "agent": "agent", "user": "agent", "author": "agent", "key": "agent", "mac": "mac",
    "device": "host", "hostname": "host", "name": "name",
}  # fmt: skip


def _mask(length: int) -> tuple[int, int]:
    """Return the mask of a prefix as two halves."""
    mask = ((1 << length) - 1) << (128 - length)
    return mask >> 64, mask & int(_ALL)
