"""Taps and messages for the tests of dissectors; scapy, where it builds one, comes from here."""

from __future__ import annotations

import struct
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from ipwatchd.capture.tap import TAP, Kind, Taps
from ipwatchd.records.address import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Packet(NamedTuple):
    """One payload of the flow 10.0.0.1:40000 → 192.0.2.80:port."""

    kind: int
    payload: bytes
    from_orig: bool = True
    seq: int = 0
    ts: float = 1_700_000_000.0
    port: int = 80
    orig_port: int = 40_000
    proto: int = 6


@pytest.fixture(scope="session")
def taps() -> Callable[[Iterable[Packet]], Taps]:
    """Return what the packet loop would hand over for some packets."""

    def make(packets: Iterable[Packet]) -> Taps:
        data = bytearray()
        rows = list(packets)
        index = np.zeros(len(rows), TAP)
        orig, resp = split("10.0.0.1"), split("192.0.2.80")
        for row, one in zip(index, rows, strict=True):
            row["ts"] = round(one.ts * 1e6) * 1000
            row["orig_hi"], row["orig_lo"] = orig
            row["resp_hi"], row["resp_lo"] = resp
            row["orig_port"], row["resp_port"] = one.orig_port, one.port
            row["seq"] = one.seq & 0xFFFF_FFFF
            row["offset"], row["length"] = len(data), len(one.payload)
            row["proto"], row["kind"], row["from_orig"] = one.proto, one.kind, one.from_orig
            if one.kind == Kind.ARP:
                for field in ("orig_hi", "orig_lo", "resp_hi", "resp_lo", "orig_port", "resp_port"):
                    row[field] = 0
            data += one.payload
        return Taps(index, np.frombuffer(bytes(data), np.uint8))

    return make


@pytest.fixture(scope="session")
def packet() -> type[Packet]:
    """Return the packet that `taps` takes."""
    return Packet


class KeepingDoor:
    """A door to a child that is not there: it keeps what is handed in."""

    def __init__(self) -> None:
        self.given: list[tuple[str, bytes]] = []

    def submit(self, kind: str, data: bytes, *_origin_and_now: Any) -> None:
        """Keep a message."""
        self.given.append((kind, data))

    def collect(self) -> list[Any]:
        """Return nothing."""
        return []

    finish = collect


@pytest.fixture(scope="session")
def keeping_door() -> type[KeepingDoor]:
    """Return the door that keeps."""
    return KeepingDoor


@pytest.fixture(scope="session")
def scapy() -> Any:
    """Return scapy's layers; what it warns of while it is imported is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.layers import dhcp, dns, inet, l2
    return SimpleNamespace(dhcp=dhcp, dns=dns, inet=inet, l2=l2)


def _extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value


@pytest.fixture(scope="session")
def hello() -> Callable[..., bytes]:
    """Return a maker of ClientHello handshake messages, header and all (RFC 8446, 4.1.2)."""

    def make(
        name: bytes = b"www.example.com",
        *,
        alpn: Iterable[bytes] = (b"h2", b"http/1.1"),
        versions: Iterable[int] = (0x0A0A, 0x0304, 0x0303),
        ciphers: Iterable[int] = (0x2A2A, 0x1301, 0x1302, 0xC02B),
        signatures: Iterable[int] = (0x0403, 0x0804),
        more: Iterable[tuple[int, bytes]] = (),
        legacy: int = 0x0303,
    ) -> bytes:
        extensions = b""
        if name:
            entry = b"\0" + struct.pack("!H", len(name)) + name
            extensions += _extension(0, struct.pack("!H", len(entry)) + entry)
        protocols = b"".join(bytes([len(one)]) + one for one in alpn)
        if protocols:
            extensions += _extension(16, struct.pack("!H", len(protocols)) + protocols)
        offered = b"".join(struct.pack("!H", one) for one in versions)
        if offered:
            extensions += _extension(43, bytes([len(offered)]) + offered)
        signed = b"".join(struct.pack("!H", one) for one in signatures)
        if signed:
            extensions += _extension(13, struct.pack("!H", len(signed)) + signed)
        for kind, value in more:
            extensions += _extension(kind, value)
        suites = b"".join(struct.pack("!H", one) for one in ciphers)
        body = (
            struct.pack("!H", legacy) + bytes(32) + b"\x20" + bytes(32)
            + struct.pack("!H", len(suites)) + suites + b"\x01\0"
            + struct.pack("!H", len(extensions)) + extensions
        )  # fmt: skip
        return b"\x01" + len(body).to_bytes(3, "big") + body

    return make


@pytest.fixture(scope="session")
def records() -> Callable[..., bytes]:
    """Return what puts a handshake message into TLS records of a size (RFC 8446, 5.1)."""

    def wrap(message: bytes, size: int = 16_384) -> bytes:
        return b"".join(
            b"\x16\x03\x01" + struct.pack("!H", len(part)) + part
            for part in (message[at : at + size] for at in range(0, len(message), size))
        )

    return wrap
