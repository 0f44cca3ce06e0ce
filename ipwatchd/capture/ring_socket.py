"""An AF_PACKET socket with a TPACKET_V3 ring (linux/if_packet.h, packet_mmap.rst).

The kernel fills blocks of packets in shared memory and hands each over through its status word.
The ring is read by compiled code (ring_index.py); this module opens, asks and closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import socket
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.bpf import ETHERNET, RAW, metadata_filter, snap_filter
from ipwatchd.capture.bpf_program import packed
from ipwatchd.capture.delivery import CaptureInterfaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.capture.bpf_program import Instruction
    from ipwatchd.config import CaptureSettings

__all__ = ["RETIRE_MS", "PacketRing", "flags_of"]

_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP: Final = 1
_MEMBERSHIP_PROMISCUOUS: Final = 1
_RX_RING: Final = 5
_STATISTICS: Final = 6
_VERSION: Final = 10
_IGNORE_OUTGOING: Final = 23
_FANOUT: Final = 18
_FANOUT_HASH: Final = 0
_FANOUT_DEFRAGMENT: Final = 0x8000
_TPACKET_V3: Final = 2
_ETH_P_ALL: Final = 3
_SO_ATTACH_FILTER: Final = 26

_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFHWADDR: Final = 0x8927
_SIOCGIFINDEX: Final = 0x8933
_IFF_UP: Final = 0x1
_ARPHRD_ETHER: Final = 1
_ARPHRD_LOOPBACK: Final = 772

_FRAME: Final = 2048
RETIRE_MS: Final = 200
"""How long the kernel keeps a block that is not full: latency at low rates. Waking up is what
costs at those."""
_STATUS: Final = 8
_TO_USER: Final = 1


def flags_of(probe: socket.socket, name: str) -> tuple[bool, int] | None:
    """Return whether an interface is up and its index; None where it is not there.

    `probe` is any socket of the network namespace that is meant.
    """
    request = struct.pack("16sH14x", name.encode()[:15], 0)
    try:
        answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, request)
        index = fcntl.ioctl(probe, _SIOCGIFINDEX, request)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    up = bool(struct.unpack_from("H", answer, 16)[0] & _IFF_UP)
    return up, int(struct.unpack_from("i", index, 16)[0])


class PacketRing:
    """A bound socket and its mapped ring. Raises PermissionError, CaptureInterfaceError.

    Rings of one interface with the same `group` (not 0) share its packets, by connection.
    `metadata` leaves to the kernel what no dissector wants (bpf.py).
    """

    def __init__(
        self, name: str, settings: CaptureSettings, *, group: int = 0, metadata: bool = False
    ) -> None:
        self.name = name
        self._group = group
        self.block_bytes = settings.block_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        self.blocks = settings.blocks
        self.cursor = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise PermissionError(
                f"capturing on {name} needs CAP_NET_RAW: run as root or grant the capability"
            ) from error
        try:
            self._open(settings, metadata=metadata)
        except BaseException:
            self._socket.close()
            raise

    def _open(self, settings: CaptureSettings, *, metadata: bool) -> None:
        state = flags_of(self._socket, self.name)
        if state is None:
            names = ", ".join(sorted(name for _, name in socket.if_nameindex()))
            raise CaptureInterfaceError(
                f"interface {self.name} is not there: this machine has {names}"
            )
        up, self.index = state
        if not up:
            raise CaptureInterfaceError(
                f"interface {self.name} is down: bring it up (ip link set {self.name} up)"
            )
        self.link = self._link()
        snap = settings.snap
        self._attach(metadata_filter(snap, self.link) if metadata else snap_filter(snap))
        self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        if self._hardware() == _ARPHRD_LOOPBACK:
            # Each packet passes loopback twice: out, and in.
            self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        frames = self.block_bytes // _FRAME * self.blocks
        request = struct.pack("7I", self.block_bytes, self.blocks, _FRAME, frames, RETIRE_MS, 0, 0)
        self._socket.setsockopt(_SOL_PACKET, _RX_RING, request)
        self._memory = mmap.mmap(
            self._socket.fileno(), self.block_bytes * self.blocks, mmap.MAP_SHARED
        )
        self.data: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8)
        words = self.data.view(np.uint32).reshape(self.blocks, -1)
        self._status = words[:, _STATUS // 4]
        self._socket.bind((self.name, _ETH_P_ALL))
        if self._group:
            # The kernel's hash of a packet is the same in both directions of a connection.
            mode = _FANOUT_HASH | _FANOUT_DEFRAGMENT
            share = struct.pack("I", self._group | mode << 16)
            self._socket.setsockopt(_SOL_PACKET, _FANOUT, share)
        if settings.promiscuous:
            member = struct.pack("iHH8x", self.index, _MEMBERSHIP_PROMISCUOUS, 0)
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)

    def _hardware(self) -> int:
        request = struct.pack("16sH14x", self.name.encode()[:15], 0)
        answer = fcntl.ioctl(self._socket, _SIOCGIFHWADDR, request)
        return int(struct.unpack_from("H", answer, 16)[0])

    def _link(self) -> int:
        """Return the LINKTYPE_: tunnels and PPP hand over bare IP packets."""
        ethernet = self._hardware() in {_ARPHRD_ETHER, _ARPHRD_LOOPBACK}
        return ETHERNET if ethernet else RAW

    def _attach(self, program: Sequence[Instruction]) -> None:
        """Let the kernel decide what of a packet is kept, before the first one comes."""
        code = ctypes.create_string_buffer(packed(program))
        pointer = struct.pack("HL", len(program), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)

    def fileno(self) -> int:
        """Return the descriptor to poll: readable when a block is ready."""
        return self._socket.fileno()

    def ready(self) -> bool:
        """Tell whether the next block is ours to read.

        One aligned 32-bit load; x86 and the calls in between keep what the kernel wrote before it
        in order (packet_mmap.rst asks for a read barrier elsewhere: the system call of `poll` or
        of the previous turn is one).
        """
        return bool(int(self._status[self.cursor]) & _TO_USER)

    def base(self) -> int:
        """Return where the next block begins in `data`."""
        return self.cursor * self.block_bytes

    def release(self) -> None:
        """Give the block back to the kernel and step to the next."""
        self._status[self.cursor] = 0
        self.cursor = (self.cursor + 1) % self.blocks

    def drops(self) -> int:
        """Return how many packets the kernel dropped since the last call (PACKET_STATISTICS)."""
        answer = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12)
        return int(struct.unpack("3I", answer)[1])

    def state(self) -> str:
        """Return up, down, or missing where the interface is gone; follows a change of its name."""
        try:
            self.name = socket.if_indextoname(self.index)
        except OSError:
            return "missing"
        flags = flags_of(self._socket, self.name)
        if flags is None or flags[1] != self.index:
            return "missing"
        return "up" if flags[0] else "down"

    def settle(self) -> None:
        """Take a pending error (ENETDOWN) off the socket, that poll does not spin on it."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def close(self) -> None:
        """Close the socket and let go of the ring's memory.

        The mapping holds the socket too: as long as it is there the kernel goes on capturing, and
        the interface stays promiscuous. Who still holds `data` keeps it until then.
        """
        self._socket.close()
        self._status = np.zeros(0, np.uint32)
        self.data = np.zeros(0, np.uint8)
        with contextlib.suppress(BufferError):
            self._memory.close()
