"""The sockets to connection tracking: one that hears of ended connections, one that asks for all.

Events come a datagram each; recvmmsg(2) takes many at once. The parsing is `conntrack_reader`'s.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.conntrack_entry import ENTRY, GROUPS, READ, dump_request
from ipwatchd.capture.conntrack_reader import read_datagrams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["BATCH", "DumpSocket", "EventSocket", "open_netlink"]

_NETFILTER: Final = 12  # NETLINK_NETFILTER
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_MEMINFO_DROPS: Final = 8  # SK_MEMINFO_DROPS
_MSGHDR: Final = np.dtype(
    [
        ("name", "<u8"), ("name_length", "<u4"), ("pad", "<u4"), ("iov", "<u8"), ("iovs", "<u8"),
        ("control", "<u8"), ("control_length", "<u8"), ("flags", "<u4"), ("pad2", "<u4"),
        ("length", "<u4"), ("pad3", "<u4"),
    ]
)  # fmt: skip
"""struct mmsghdr of 64-bit Linux."""
_IOVEC: Final = np.dtype([("base", "<u8"), ("length", "<u8")])
_SENDER: Final = np.dtype([("family", "<u2"), ("pad", "<u2"), ("port", "<u4"), ("groups", "<u4")])

BATCH: Final = 2048
"""Events taken by one system call: each call gives up the interpreter's lock, and getting it back
from a busy thread takes up to 5 ms."""
_SLOT: Final = 1024
"""Bytes of one event: with every attribute of today's kernels under 700."""
_DUMP: Final = 1 << 16
"""The kernel's largest datagram of a dump is 32 KiB."""
_DUMP_SECONDS: Final = 10
_libc: Final = ctypes.CDLL(None, use_errno=True)


def open_netlink(groups: int, buffer: int) -> socket.socket:
    """Return a socket to the calling thread's netfilter; PermissionError without CAP_NET_ADMIN."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    try:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.bind((0, groups))
    except PermissionError as error:
        sock.close()
        raise PermissionError(
            "reading connection tracking needs CAP_NET_ADMIN: run as root or grant the capability"
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock


class EventSocket:
    """Hears of every connection that ends in the calling thread's network namespace.

    `overruns` counts how often the kernel found the buffer full, `lost` the events it dropped
    (SO_MEMINFO), `malformed` messages that could not be read.
    """

    def __init__(self, buffer: int) -> None:
        self.overruns = 0
        self.lost = 0
        self.messages = 0
        self.malformed = 0
        self._socket = open_netlink(GROUPS, buffer)
        self._data = np.zeros(BATCH * _SLOT, np.uint8)
        self._senders = np.zeros(BATCH, _SENDER)
        self._iovecs = np.zeros(BATCH, _IOVEC)
        self._headers = np.zeros(BATCH, _MSGHDR)
        at = np.arange(BATCH, dtype=np.uint64)
        self._iovecs["base"] = self._data.ctypes.data + at * _SLOT
        self._iovecs["length"] = _SLOT
        self._headers["iov"] = self._iovecs.ctypes.data + at * _IOVEC.itemsize
        self._headers["iovs"] = 1
        self._headers["name"] = self._senders.ctypes.data + at * _SENDER.itemsize
        self._entries = np.zeros(BATCH * 2, ENTRY)
        self._counts = np.zeros(1, READ)

    def wait(self, milliseconds: int) -> None:
        """Return when there is something to read, or after this time."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        poll.poll(milliseconds)

    def receive(self) -> tuple[int, list[NDArray[np.void]]]:
        """Return how many datagrams lay ready (BATCH at the most) and their entries.

        The entries are good until the next call.
        """
        self._headers["name_length"] = _SENDER.itemsize
        got = _libc.recvmmsg(
            self._socket.fileno(), ctypes.c_void_p(self._headers.ctypes.data), BATCH,
            socket.MSG_DONTWAIT, None,
        )  # fmt: skip
        if got < 0:
            return self._failed(ctypes.get_errno()), []
        heads = self._headers[:got]
        sizes = heads["length"].copy()
        cut = (heads["flags"] & socket.MSG_TRUNC) != 0
        self.malformed += int(cut.sum())
        # What another process sends us (its port is not 0) is not the kernel's word.
        sizes[cut | (self._senders["port"][:got] != 0)] = 0
        return got, list(self._read(sizes))

    def _read(self, sizes: NDArray[np.uint32]) -> Iterator[NDArray[np.void]]:
        counts, first = self._counts[0], 0
        counts["messages"] = counts["malformed"] = 0
        while first < len(sizes):
            filled, first = read_datagrams(
                self._data, _SLOT, sizes, first, self._entries, self._counts[0]
            )
            yield self._entries[:filled]
        self.messages += int(counts["messages"])
        self.malformed += int(counts["malformed"])

    def _failed(self, number: int) -> int:
        if number == errno.ENOBUFS:
            self.overruns += 1
            self.lost = self._drops()
            return 1
        if number in {errno.EAGAIN, errno.EINTR}:
            return 0
        raise OSError(number, f"reading connection tracking: {os.strerror(number)}")

    def _drops(self) -> int:
        answer = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        return int(struct.unpack_from("=I", answer, _MEMINFO_DROPS * 4)[0])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class DumpSocket:
    """Asks for every connection of the calling thread's network namespace."""

    def __init__(self) -> None:
        self.malformed = 0
        self.broken = 0
        """Dumps that the kernel broke off or did not finish in time."""
        self._socket = open_netlink(0, 1 << 20)
        self._socket.settimeout(_DUMP_SECONDS)
        self._sequence = 0
        self._buffer = bytearray(_DUMP)
        self._data = np.frombuffer(self._buffer, np.uint8)
        self._sizes = np.zeros(1, np.uint32)
        self._entries = np.zeros(_DUMP // 20 + 1, ENTRY)
        self._counts = np.zeros(1, READ)

    def entries(self) -> Iterator[NDArray[np.void]]:
        """Yield every connection, a datagram's at a time; each is good until the next.

        `broken` has grown where it is not whole.
        """
        self._sequence = (self._sequence + 1) & 0x7FFF_FFFF or 1
        self._counts[:] = 0
        counts = self._counts[0]
        try:
            self._forget()
            self._socket.sendto(dump_request(self._sequence), (0, 0))
            while not counts["done"]:
                size, sender = self._socket.recvfrom_into(self._buffer)
                if sender[0] != 0 or self._stale(size):
                    continue
                self._sizes[0] = size
                filled, _ = read_datagrams(
                    self._data, _DUMP, self._sizes, 0, self._entries, self._counts[0]
                )
                if filled:
                    yield self._entries[:filled]
        except OSError:
            counts["errno"] = errno.EIO
        self.malformed += int(counts["malformed"])
        self.broken += int(counts["errno"] != 0)

    def _stale(self, size: int) -> bool:
        """Tell an answer to an earlier request, by the number in its first message."""
        return size < 16 or int.from_bytes(self._buffer[8:12], "little") != self._sequence

    def _forget(self) -> None:
        """Drop what a broken-off dump left behind."""
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.recv_into(self._buffer)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
