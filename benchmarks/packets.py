"""Makes the captures that the capture benchmarks read: the same packets on every machine."""

from __future__ import annotations

import contextlib
import ssl
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["SECONDS_A_COPY", "frames", "sessions", "write_copies"]

SECONDS_A_COPY: Final = 10
_SIZES: Final = np.array([60, 60, 60, 90, 300, 590, 1514, 1514])
"""Frame lengths on the wire: the mix of a gateway, half of it acknowledgements."""


def frames(
    packets: int, flows: int, *, width: int = 96, seed: int = 7
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `packets` TCP and UDP frames of `flows` flows, cut to `width`, and their wire lengths.

    Flows are drawn by a power law: few are busy, most are not. One in five is UDP.
    """
    rng = np.random.default_rng(seed)
    flow = np.minimum((rng.pareto(0.9, packets) * flows / 200).astype(np.int64), flows - 1)
    data = np.zeros((packets, width), np.uint8)
    wire = rng.choice(_SIZES, packets)
    back = rng.random(packets) < 0.5
    client = (0x0A140000 + flow % 4000).astype(np.uint32)
    server = (0x2D000000 + flow * 7919 % 100_003).astype(np.uint32)
    client_port = (20_000 + flow // 4000 * 97 + flow % 30_011).astype(np.uint16)
    udp = flow % 5 == 0
    server_port = np.where(udp, 40_000 + flow % 1000, 443).astype(np.uint16)
    data[:, 12] = 8
    data[:, 14] = 0x45
    data[:, 16:18] = _big(wire - 14, 2)
    data[:, 22] = 64
    data[:, 23] = np.where(udp, 17, 6)
    data[:, 26:30] = np.where(back[:, None], _big(server, 4), _big(client, 4))
    data[:, 30:34] = np.where(back[:, None], _big(client, 4), _big(server, 4))
    data[:, 34:36] = np.where(back[:, None], _big(server_port, 2), _big(client_port, 2))
    data[:, 36:38] = np.where(back[:, None], _big(client_port, 2), _big(server_port, 2))
    length = np.maximum(wire - 34, 8)
    data[:, 38:40] = np.where(udp[:, None], _big(length, 2), 0)
    data[:, 46] = np.where(udp, 0, 0x50)
    data[:, 47] = np.where(udp, 0, 0x18)
    first = np.zeros(packets, np.bool_)
    first[np.unique(flow, return_index=True)[1]] = True
    data[first & ~udp, 47] = 0x02
    return data, wire


def _hello(name: str) -> bytes:
    """Return a ClientHello of this machine's TLS library."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def _session(length: int) -> list[tuple[bool, int, bytes]]:
    """Return the segments of a TLS session: from the client, flags, payload."""
    record = b"\x17\x03\x03\x05\xaf" + bytes(1455)
    answer = b"\x16\x03\x03\x00\x5a\x02\x00\x00\x56\x03\x03" + bytes(84)
    opening = [(True, 0x02, b""), (False, 0x12, b""), (True, 0x10, b"")]
    opening += [(True, 0x18, _hello("www.example.com")), (False, 0x18, answer)]
    ending = [(True, 0x11, b""), (False, 0x11, b""), (True, 0x10, b"")]
    middle = [(one % 3 == 2, 0x10, b"" if one % 3 == 2 else record)
              for one in range(length - len(opening) - len(ending))]  # fmt: skip
    return opening + middle + ending


def sessions(count: int, length: int = 50) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `count` whole TLS sessions of `length` packets, interleaved, and the frames' lengths.

    Handshakes, sequence numbers and hellos are right: what inspects streams has something to do.
    """
    parts = _session(length)
    data = np.zeros((length, 1514), np.uint8)
    wire = np.zeros(length, np.int64)
    sent = {True: 1000, False: 5000}
    for row, (client, flags, payload) in enumerate(parts):
        ports = (40_000, 443) if client else (443, 40_000)
        head = struct.pack(">HHIIBBHHH", *ports, sent[client], sent[not client], 0x50, flags,
                           0xFFFF, 0, 0)  # fmt: skip
        ip = struct.pack(">BBHIBBHII", 0x45, 0, 40 + len(payload), 0, 64, 6, 0, 0, 0)
        frame = bytes(12) + b"\x08\0" + ip + head + payload
        data[row, : len(frame)] = np.frombuffer(frame, np.uint8)
        wire[row] = len(frame)
        sent[client] += len(payload) + (1 if flags & 3 else 0)
    clients = np.array([client for client, _, _ in parts])
    rows = np.tile(np.arange(length), count)
    session = np.repeat(np.arange(count), length)
    # Each session begins while the one before is under way.
    order = np.argsort(session * 5 + rows * 7, kind="stable")
    rows, session = rows[order], session[order]
    made = data[rows]
    mine, far = (
        _big(0x0A140000 + session % 60_000, 4),
        _big(0x2D000000 + session * 7919 % 65_521, 4),
    )
    from_client = clients[rows][:, None]
    made[:, 26:30], made[:, 30:34] = (
        np.where(from_client, mine, far),
        np.where(from_client, far, mine),
    )
    return made, wire[rows]


def _big(values: NDArray[np.integer], width: int) -> NDArray[np.uint8]:
    kind = {2: ">u2", 4: ">u4"}[width]
    return values.astype(kind).view(np.uint8).reshape(len(values), width)


def write_copies(
    path: Path,
    data: NDArray[np.uint8],
    wire: NDArray[np.int64],
    copies: int,
    *,
    seconds: float = SECONDS_A_COPY,
) -> None:
    """Write a pcap of `copies` times the frames, each copy `seconds` later than the last."""
    count, width = data.shape
    captured = np.minimum(wire, width)
    step = np.arange(count) * int(seconds * 1_000_000) // count
    heads = np.stack([step // 1_000_000, step % 1_000_000, captured, wire], 1).astype("<u4")
    blob = np.zeros(int(captured.sum()) + 16 * count, np.uint8)
    starts = np.concatenate([[0], np.cumsum(captured + 16)[:-1]])
    for length in np.unique(captured):
        mine = np.flatnonzero(captured == length)
        places = starts[mine][:, None] + 16 + np.arange(length)
        blob[places] = data[mine, :length]
    places = starts[:, None] + np.arange(16)
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for copy in range(copies):
            later = heads.copy()
            later[:, 0] += 1_700_000_000 + int(copy * seconds)
            blob[places] = later.view(np.uint8)
            blob.tofile(out)
