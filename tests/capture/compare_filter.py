"""Compare the events of captures with and without the kernel's metadata filter.

Run it: python tests/capture/compare_filter.py [--verbose] [FOLDER of captures …]

Every packet goes through the filter in the kernel, loaded into a socket of this process. Printed
are, by kind of event, how many the whole capture gives and how many of them are lost, and how many
packets pass.
"""

from __future__ import annotations

import argparse
import ctypes
import socket
import struct
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
import numpy as np

from ipwatchd.capture import CaptureFileError
from ipwatchd.capture.blocks import BlockReader
from ipwatchd.capture.bpf import ETHERNET, RAW, metadata_filter
from ipwatchd.capture.bpf_program import packed
from ipwatchd.capture.dissect import Dissector
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import Batch
from ipwatchd.capture.rich.door import Rich
from ipwatchd.config import CaptureSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ipwatchd.capture.bpf_program import Instruction
    from ipwatchd.records.event import AnyEvent

SNAP = 2048
SETTINGS = CaptureSettings(flows=1 << 14)
_SO_ATTACH_FILTER = 26
_LINKS = {1: ETHERNET, 12: RAW, 101: RAW, 228: RAW, 229: RAW}
"""LINKTYPE_ of a capture → that of the socket whose filter applies."""


class KernelFilter:
    """A program in the kernel: a pair of sockets of which one takes what passes it."""

    def __init__(self, program: Sequence[Instruction]) -> None:
        self._giver, self._taker = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._taker.setblocking(False)
        code = ctypes.create_string_buffer(packed(program))
        pointer = struct.pack("HL", len(program), ctypes.addressof(code))
        self._taker.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)

    def passes(self, packet: bytes) -> bool:
        """Tell whether the kernel lets this packet through."""
        if not packet:
            return False
        self._giver.send(packet)
        try:
            self._taker.recv(1)
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._giver.close()
        self._taker.close()


class Difference(NamedTuple):
    """Packets and how many pass; events by kind and name of the file, and those that are lost."""

    packets: int
    passed: int
    events: Counter[str]
    lost: Counter[str]
    gained: Counter[str]


class _Reader:
    """Packets → events, as the ring's threads do it."""

    def __init__(self, rich: Rich) -> None:
        self.events: Counter[bytes] = Counter()
        self._rich = rich
        self._meter = Meter(SETTINGS, wait=True)
        self._dissector = Dissector(rich=rich)

    def feed(self, batch: Batch) -> None:
        done = 0
        while (done := self._meter.feed(batch, done)) < len(batch.packets):
            self._drain()

    def _drain(self) -> None:
        self._add(self._dissector.feed(self._meter.drain().taps))

    def _add(self, events: Iterable[AnyEvent]) -> None:
        self.events.update(msgspec.json.encode(event) for event in events)

    def finish(self) -> Counter[bytes]:
        while not self._meter.flush():
            self._drain()
        self._drain()
        self._add(self._dissector.finish())
        return self.events


def compare(path: Path, filters: dict[int, KernelFilter], rich: Rich) -> Difference:
    """Return what the filter costs on one capture; CaptureFileError where it is none."""
    whole, some = _Reader(rich), _Reader(rich)
    packets = passed = 0
    for batch in BlockReader(path).batches():
        known = batch.packets[np.isin(batch.packets["link"], list(_LINKS))]
        known["captured"] = np.minimum(known["captured"], SNAP)
        kept = known[_passing(batch.data, known, filters)]
        whole.feed(Batch(batch.data, known))
        some.feed(Batch(batch.data, kept))
        packets, passed = packets + len(known), passed + len(kept)
    one, other = whole.finish(), some.finish()
    return Difference(packets, passed, _kinds(one), _kinds(one - other), _kinds(other - one))


def _passing(
    data: NDArray[np.uint8], packets: NDArray[np.void], filters: dict[int, KernelFilter]
) -> NDArray[np.bool_]:
    raw = data.tobytes()
    return np.array(
        [
            filters[_LINKS[int(one["link"])]].passes(
                raw[int(one["at"]) : int(one["at"]) + int(one["captured"])]
            )
            for one in packets
        ],
        np.bool_,
    )


def _kinds(events: Counter[bytes]) -> Counter[str]:
    """Count by kind; what servers say in TLS apart: one record over many segments, up to 1.2."""
    kinds: Counter[str] = Counter()
    for text, number in events.items():
        event = msgspec.json.decode(text)
        answer = event["kind"] == "tls" and event.get("response")
        kinds["tls of servers" if answer else str(event["kind"])] += number
    return kinds


def compare_all(paths: Sequence[Path], *, verbose: bool = False) -> Difference:
    """Return the sums over captures; what is no capture is left out."""
    total = Difference(0, 0, Counter(), Counter(), Counter())
    rich = Rich(1_000_000, wait=True)
    with (
        KernelFilter(metadata_filter(SNAP)) as ethernet,
        KernelFilter(metadata_filter(SNAP, RAW)) as raw,
    ):
        for path in paths:
            try:
                one = compare(path, {ETHERNET: ethernet, RAW: raw}, rich)
            except CaptureFileError:
                continue
            if verbose and (one.lost or one.gained):
                sys.stdout.write(f"{path.name}: lost {dict(one.lost)} {dict(one.gained)}\n")
            total = Difference(*(a + b for a, b in zip(total, one, strict=True)))
    rich.close()
    return total


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("folders", nargs="*", type=Path)
    options = parser.parse_args()
    folders = options.folders or [Path(__file__).resolve().parents[3] / "shared/data/pcap"]
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    total = compare_all(paths, verbose=options.verbose)
    share = total.passed / max(total.packets, 1)
    sys.stdout.write(f"{total.packets} packets, {total.passed} pass ({share:.1%})\n")
    for kind, number in sorted(total.events.items()):
        sys.stdout.write(f"{kind:<16}{number:>8}  lost {total.lost[kind]}\n")
    sys.stdout.write(f"told otherwise: {dict(total.gained)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
