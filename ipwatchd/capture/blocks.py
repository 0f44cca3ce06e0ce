"""A capture file as batches of packets: large blocks are read, whole records are found in them.

pcap and pcapng, plain, gzip or zstd. What a file's end or damage cuts off is said in `warning`;
what can't be read as a capture at all raises CaptureFileError.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.capture import pcap, pcapng
from ipwatchd.capture.delivery import CaptureFileError
from ipwatchd.capture.dissect.text import printable
from ipwatchd.capture.link import LINK_TYPES
from ipwatchd.capture.packet import PACKET, Batch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from io import BufferedReader
    from pathlib import Path

__all__ = ["BlockReader", "Interfaces"]

_BUFFER: Final = 1 << 20
"""Read at once: as much as stays in the processor's cache until it is looked at."""
_BUFFER_PCAPNG: Final = 2 * pcapng.MAX_BLOCK
_PACKETS: Final = 8192
_COMPRESSED: Final = 16 << 10
_INFLATED: Final = 16 << 10
"""Inflated at once: of what comes before damage no more than this is lost."""
_NAMES: Final = 4096
"""Names of interfaces that are told: a hostile file could give one in every 32 bytes."""
_MEND: Final = "give a pcap or pcapng file (tcpdump -w, dumpcap, tshark -w)"


class _Inflated:
    """A gzip stream (RFC 1952), several members long, that gives all that comes before damage.

    Inflates into the caller's buffer only: a bomb takes time, not memory.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(31)
        self._waiting = b""
        self._started = False

    def readinto(self, view: memoryview) -> int:
        """Fill some of `view`; 0 at the end. Raises zlib.error, EOFError where it is damaged."""
        while True:
            if self._inflate.eof:
                self._waiting = self._inflate.unused_data
                self._inflate = zlib.decompressobj(31)
                self._started = False
            if not self._waiting:
                self._waiting = self._file.read(_COMPRESSED)
                if not self._waiting:
                    return self._end()
            self._started = True
            out = self._inflate.decompress(self._waiting, len(view))
            self._waiting = self._inflate.unconsumed_tail
            if out:
                view[: len(out)] = out
                return len(out)

    def _end(self) -> int:
        if self._started:
            self._started = False
            raise EOFError("the compressed data end too soon")
        return 0


class Interfaces(list[str]):
    """The names of interfaces by their number, "" first; it grows."""

    def __init__(self) -> None:
        super().__init__([""])
        self._places = {"": 0}

    def place(self, name: str) -> int:
        """Return where a name stands; nameless ones, and one too many, are 0."""
        place = self._places.get(name, -1)
        if place < 0 and len(self) < _NAMES:
            place = self._places[name] = len(self)
            self.append(name)
        return max(place, 0)


def _decompressed(file: IO[bytes], head: bytes) -> Any:
    """Return what `readinto` is called on: the file itself, or what inflates it."""
    if head[:2] == b"\x1f\x8b":
        return _Inflated(file)
    if head == b"\x28\xb5\x2f\xfd":
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
    return file


class BlockReader:
    """One file, or standard input for "-".

    Iterate `batches()` once; each Batch is valid until the next is asked for. `iface` of its
    packets indexes `interfaces`, a table of names that other files may share.

    After the iteration `truncated`, `damaged`, `unsupported` (packets of a link type we do not
    read) and `warning` tell what was left out, and why.
    """

    def __init__(self, path: Path, interfaces: Interfaces | None = None) -> None:
        self.path = path
        self.interfaces = Interfaces() if interfaces is None else interfaces
        self._places = np.zeros(_NAMES, np.uint16)
        self.bytes_read = 0
        self.truncated = self.damaged = self.unsupported = 0
        self.warning = ""
        self._allocate(_BUFFER)
        self._packets = np.zeros(_PACKETS, PACKET)
        self._at = self._end = 0
        self._finished = False
        self._source: Any = None
        self._at_once = 0

    def _allocate(self, size: int) -> None:
        self._buffer = np.zeros(size, np.uint8)
        self._view = memoryview(self._buffer.data)

    def batches(self) -> Generator[Batch]:
        """Yield the packets of the file in its order."""
        try:
            file = os.fdopen(os.dup(0), "rb") if str(self.path) == "-" else self.path.open("rb")
        except IsADirectoryError as error:
            raise CaptureFileError(
                f"{self.path} is a folder: name the capture files in it, as in {self.path}/*.pcap"
            ) from error
        except FileNotFoundError as error:
            raise CaptureFileError(f"{self.path} does not exist: {_MEND}") from error
        except OSError as error:
            raise CaptureFileError(f"{self.path}: {error.strerror or error}: {_MEND}") from error
        with file:
            yield from self._packets_of(file)

    def _packets_of(self, file: BufferedReader) -> Iterator[Batch]:
        try:
            first = file.peek(4)[:4]  # a pipe can't go back
        except OSError as error:
            raise CaptureFileError(f"{self.path}: {error.strerror or error}: {_MEND}") from error
        self._source = _decompressed(file, first)
        self._at_once = _BUFFER_PCAPNG if self._source is file else _INFLATED
        self._fill()
        head = self._bytes(0, 32)
        if not head:
            raise CaptureFileError(f"{self.warning or f'{self.path} is empty'}: {_MEND}")
        if head[:4] == b"\x0a\x0d\x0d\x0a":
            yield from self._pcapng()
        else:
            yield from self._pcap(head)

    def _bytes(self, at: int, length: int) -> bytes:
        return bytes(self._view[self._at + at : min(self._at + at + length, self._end)])

    def _fill(self) -> bool:
        """Move what is left to the front and read on; False at the end of the file."""
        left = self._end - self._at
        self._buffer[:left] = self._buffer[self._at : self._end].copy()
        self._at, self._end = 0, left
        while not self._finished and self._end < len(self._buffer):
            try:
                size = self._source.readinto(self._view[self._end : self._end + self._at_once])
            except (OSError, EOFError, zlib.error) as error:
                self._warn("damaged", f"can't be read on after {self.bytes_read} bytes: {error}")
                size = 0
            if not size:
                self._finished = True
                break
            self._end += size
            self.bytes_read += size
        return self._end > left

    def _warn(self, what: str, sentence: str) -> None:
        setattr(self, what, getattr(self, what) + 1)
        self.warning = self.warning or f"{self.path} {sentence}"

    def _stop(self, left: int) -> None:
        if left:
            self._warn(
                "truncated", "ends within a packet: the file is cut off, all before it was read"
            )

    def _pcap(self, head: bytes) -> Iterator[Batch]:
        header = pcap.read_header(head)
        if header is None:
            what = "is too short for" if len(head) < pcap.HEADER_BYTES else "is not"
            raise CaptureFileError(f"{self.path} {what} a capture file: {_MEND}")
        if header.link not in LINK_TYPES:
            raise CaptureFileError(
                f"{self.path}: link type {header.link} can't be read; "
                "capture on Ethernet, raw IP or Linux's `any` device instead"
            )
        self._at += pcap.HEADER_BYTES
        while True:
            count, self._at, status = pcap.index_pcap(
                self._buffer, self._at, self._end, header.big, header.unit, header.link,
                header.record, self._packets,
            )  # fmt: skip
            if count:
                yield Batch(self._buffer, self._packets[:count])
            if status == pcap.DAMAGED:
                self._warn("damaged", "holds an impossible packet length: the rest is left out")
                return
            if count < len(self._packets) and not self._fill():
                self._stop(self._end - self._at)
                return

    def _pcapng(self) -> Iterator[Batch]:
        section: pcapng.Section | None = None
        read = self._bytes(0, self._end)
        self._allocate(_BUFFER_PCAPNG)
        self._buffer[: len(read)] = np.frombuffer(read, np.uint8)
        while True:
            if section is None:
                count, status = 0, pcapng.BLOCK
            else:
                count, self._at, status = pcapng.index_pcapng(
                    self._buffer, self._at, self._end, section.big, section.interfaces,
                    section.count, self._packets,
                )  # fmt: skip
            if count and section is not None:
                yield self._supported(count)
            if status == pcapng.BLOCK:
                section = self._special(section)
                if section is None:
                    return
            elif status == pcapng.DAMAGED:
                self._warn("damaged", "holds a block that can't be: the rest is left out")
                return
            elif count < len(self._packets) and not self._fill():
                self._stop(self._end - self._at)
                return

    def _supported(self, count: int) -> Batch:
        packets = self._packets[:count]
        packets["iface"] = self._places[packets["iface"]]
        links = packets["link"]
        if (links == links[0]).all() and int(links[0]) in LINK_TYPES:
            return Batch(self._buffer, packets)
        known = np.isin(links, list(LINK_TYPES))
        if not known.all():
            self.unsupported += int((~known).sum())
            odd = int(links[~known][0])
            self.warning = self.warning or f"{self.path}: packets of link type {odd} were left out"
        return Batch(self._buffer, packets[known])

    def _special(self, section: pcapng.Section | None) -> pcapng.Section | None:
        """Take in a section or interface block; None ends the file, with a warning."""
        if self._end - self._at < 28:
            self._fill()
        head = self._bytes(0, 12)
        order = pcapng.byte_order(head) if head[:4] == b"\x0a\x0d\x0d\x0a" else None
        if section is None and (order is None or len(head) < 12):
            raise CaptureFileError(f"{self.path} is not a capture file: {_MEND}")
        order = order or (section.order if section else None)
        if len(head) < 12 or order is None:
            self._stop(1)
            return None
        (length,) = struct.unpack_from(f"{order}I", head, 4)
        if not 12 <= length <= pcapng.MAX_BLOCK or length & 3:
            self._warn("damaged", "holds a block that can't be: the rest is left out")
            return None
        if self._end - self._at < length:
            self._fill()
        if self._end - self._at < length:
            self._stop(1)
            return None
        block = self._bytes(0, length)
        self._at += length
        if block[:4] == b"\x0a\x0d\x0d\x0a":
            return pcapng.Section(order)
        if section is None or not section.add(block):
            self._warn("damaged", "describes an interface that can't be: the rest is left out")
            return None
        name = printable(section.names[-1].encode("utf-8", "replace"))
        self._places[section.count - 1] = self.interfaces.place(name)
        return section
