"""The headers of one address's packets for a while, as a capture file: evidence, never payload.

A packet socket of its own hears every interface. Its filter lets through what comes from or goes to
the address, and of each packet the IP and transport headers alone: payload never leaves the kernel.
The file is pcap with nanoseconds, link type LINKTYPE_LINUX_SLL2 (276).
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING, Final

from ipwatchd.capture.bpf_program import Program, packed

if TYPE_CHECKING:
    from ipwatchd.capture.bpf_program import Instruction

__all__ = ["PACKETS", "HeaderCapture", "header_filter"]

PACKETS: Final = 2_000
"""Packets of one file: an address that floods can't fill the disk."""
_AT_ONCE: Final = 256
"""Packets taken in one go, so that the event loop is not held up."""
_TCP, _WITH_8 = 6, (17, 1, 58, 136)
"""TCP; UDP, ICMP, ICMPv6 and UDP-Lite have headers of eight bytes."""
_ETH_P_ALL: Final = 3
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS = 26, 35
_PCAP: Final = struct.Struct("<IHHiIII")
_RECORD: Final = struct.Struct("<IIII")
_SLL2: Final = struct.Struct(">HHIHBB8s")
_NANOSECONDS, _LINUX_SLL2, _SNAP = 0xA1B23C4D, 276, 256


def header_filter(address: str) -> list[Instruction]:
    """Return the filter for a socket of type SOCK_DGRAM (packets begin with the IP header)."""
    wanted = ipaddress.ip_address(address)
    program = Program()
    program.byte(0)
    program.shift_right(4)
    program.goto_unless(wanted.version, "drop")
    parts = [
        int.from_bytes(wanted.packed[at : at + 4], "big") for at in range(0, len(wanted.packed), 4)
    ]
    program.set_x(0)
    source, target = (12, 16) if wanted.version == 4 else (8, 24)
    for name, start, otherwise in (("source", source, "target"), ("target", target, "drop")):
        program.label(name)
        for index, part in enumerate(parts):
            program.word(start + 4 * index, indirect=True)
            program.goto_unless(part, otherwise)
        program.goto("hit")
    program.label("hit")
    _keep_headers(program, wanted.version)
    program.label("drop")
    program.keep(0)
    return program.assemble()


def _keep_headers(program: Program, version: int) -> None:
    """Keep the IP header and, of a first fragment, the transport's."""
    if version == 4:
        program.byte(0)
        program.and_(0x0F)
        program.shift_left(2)
        program.move_to_x()
        program.half(6)
        program.goto_if_set(0x1FFF, "alone")
        program.byte(9)
    else:
        program.set_x(40)
        program.byte(6)
    program.goto_if(_TCP, "tcp")
    program.goto_unless_any(_WITH_8, "alone")
    program.copy_x()
    program.add(8)
    program.keep_a()
    program.label("tcp")
    program.byte(12, indirect=True)
    program.shift_right(4)
    program.shift_left(2)
    program.add_x()
    program.keep_a()
    program.label("alone")
    program.copy_x()
    program.keep_a()


_Where = tuple[str, int, int, int, bytes]
"""Interface, protocol, packet type, hardware type and address (Python's AF_PACKET address)."""


class HeaderCapture:
    """One recording; `read` when the socket is readable, `file` at its end."""

    def __init__(self, address: str, until: float) -> None:
        self.until = until
        self.packets = 0
        self._parts = [_PCAP.pack(_NANOSECONDS, 2, 4, 0, 0, _SNAP, _LINUX_SLL2)]
        program = header_filter(address)
        code = ctypes.create_string_buffer(packed(program))
        pointer = struct.pack("HL", len(program), ctypes.addressof(code))
        # Protocol 0 hears nothing until it is bound: no packet comes before the filter is there.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._bind()
        except OSError:
            self._socket.close()
            raise

    def _bind(self) -> None:
        """Hear every interface: index 0, which Python's bind has no name for."""
        libc = ctypes.CDLL(None, use_errno=True)
        where = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(_ETH_P_ALL), 0, 0, 0, 0)
        if libc.bind(self._socket.fileno(), where, len(where)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, "a packet socket can't hear all interfaces")

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self.packets >= PACKETS

    def read(self) -> None:
        """Take what has come."""
        for _ in range(_AT_ONCE):
            if self.full:
                return
            try:
                data, extra, _, where = self._socket.recvmsg(_SNAP, socket.CMSG_SPACE(16))
            except BlockingIOError:
                return
            self._take(data, extra, where)

    def _take(self, data: bytes, extra: list[tuple[int, int, bytes]], where: _Where) -> None:
        seconds, nanos = struct.unpack("=qq", extra[0][2][:16]) if extra else (0, 0)
        name, protocol, kind, hardware, mac = where
        try:
            index = socket.if_nametoindex(name)
        except OSError:  # it went away meanwhile
            index = 0
        head = _SLL2.pack(protocol, 0, index, hardware, kind, min(len(mac), 8), mac[:8])
        size = len(head) + len(data)
        self._parts.append(_RECORD.pack(seconds, nanos, size, len(head) + _length(data)))
        self._parts += [head, data]
        self.packets += 1

    def file(self) -> bytes:
        """End, and return the capture file."""
        self._socket.close()
        return b"".join(self._parts)


def _length(data: bytes) -> int:
    """Return how long the packet was, by its IP header."""
    at, more = (2, 0) if data[0] >> 4 == 4 else (4, 40)
    return max(int.from_bytes(data[at : at + 2], "big") + more, len(data))
