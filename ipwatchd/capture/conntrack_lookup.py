"""Asks the kernel whether it tracks a connection: many questions in one message.

A question is an IPCTNL_MSG_CT_GET with a tuple; the answer is the connection, or ENOENT. Attribute
numbers: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.conntrack_socket import open_netlink
from ipwatchd.records.address import V4_PREFIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Lookup"]

_AT_ONCE: Final = 128
"""Questions in one message: their answers, of a page each, must fit the socket's buffer."""
_BUFFER: Final = 2 << 20
_SECONDS: Final = 1.0
_CT_GET: Final = 0x101
_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_NESTED: Final = 0x8000
_SOL_NETLINK: Final = 270
_CAP_ACK: Final = 10
"""NETLINK_CAP_ACK: an error does not repeat the question."""
_ANSWER: Final = struct.Struct("=IHHIIi")
_V4: Final = V4_PREFIX
_SHIFT: Final = 32


def _question(size: int) -> np.dtype[np.void]:
    """Return the layout of a question about addresses of `size` bytes."""
    return np.dtype(
        [
            ("length", "<u4"), ("type", "<u2"), ("flags", "<u2"), ("seq", "<u4"), ("pid", "<u4"),
            ("family", "u1"), ("version", "u1"), ("resource", ">u2"),
            ("tuple", "<u2", (2,)), ("ip", "<u2", (2,)),
            ("src_head", "<u2", (2,)), ("src", f"V{size}"),
            ("dst_head", "<u2", (2,)), ("dst", f"V{size}"),
            ("proto_head", "<u2", (2,)),
            ("num_head", "<u2", (2,)), ("num", "u1"), ("num_pad", "V3"),
            ("sport_head", "<u2", (2,)), ("sport", ">u2"), ("sport_pad", "V2"),
            ("dport_head", "<u2", (2,)), ("dport", ">u2"), ("dport_pad", "V2"),
        ]
    )  # fmt: skip


_QUESTIONS: Final = {4: _question(4), 16: _question(16)}
_PORTS: Final = 24
"""Bytes of CTA_TUPLE_PROTO's attributes."""


class Lookup:
    """Of the network namespace of the thread that opens it. Raises PermissionError."""

    def __init__(self) -> None:
        self._socket = open_netlink(0, _BUFFER)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.settimeout(_SECONDS)
        self._sequence = 0
        self._buffer = bytearray(1 << 14)

    def known(self, flows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Tell for flows of TCP or UDP whether the kernel tracks them, seen from either side of it.

        What a packet on the wire shows is the original tuple, or the reply's where it was
        translated before. Raises OSError where the kernel does not answer.
        """
        found = np.zeros(len(flows), np.bool_)
        wide = (flows["orig_hi"] != 0) | (flows["orig_lo"] >> np.uint64(_SHIFT) != _V4 >> _SHIFT)
        for size, which in ((4, ~wide), (16, wide)):
            for back in (False, True):
                left = np.flatnonzero(which & ~found)
                for first in range(0, len(left), _AT_ONCE):
                    some = left[first : first + _AT_ONCE]
                    found[some] = self._ask(_questions(flows[some], size, back=back))
        return found

    def _ask(self, questions: NDArray[np.void]) -> NDArray[np.bool_]:
        count = len(questions)
        base = self._sequence = (self._sequence + _AT_ONCE) & 0x7FFF_FFFF
        questions["seq"] = base + np.arange(count)
        found = np.zeros(count, np.bool_)
        self._socket.sendto(questions.tobytes(), (0, 0))
        waiting = count
        while waiting:
            size, sender = self._socket.recvfrom_into(self._buffer)
            if sender[0] != 0 or size < _ANSWER.size:
                continue
            _, kind, _, sequence, _, number = _ANSWER.unpack_from(self._buffer)
            if not 0 <= sequence - base < count:
                continue  # an answer that came too late for its question
            waiting -= 1
            if kind != _NLMSG_ERROR:
                found[sequence - base] = True
            elif -number != errno.ENOENT:
                raise OSError(-number, "asking connection tracking")
        return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _questions(flows: NDArray[np.void], size: int, *, back: bool) -> NDArray[np.void]:
    made: NDArray[np.void] = np.zeros(len(flows), _QUESTIONS[size])
    one, other = ("resp", "orig") if back else ("orig", "resp")
    address = 4 + size
    made["length"] = made.dtype.itemsize
    made["type"], made["flags"] = _CT_GET, _REQUEST
    made["family"] = 2 if size == 4 else 10
    made["tuple"] = (12 + 2 * address + _PORTS, 1 | _NESTED)
    made["ip"] = (4 + 2 * address, 1 | _NESTED)
    made["src_head"] = (address, 1 if size == 4 else 3)
    made["dst_head"] = (address, 2 if size == 4 else 4)
    made["src"], made["dst"] = _addresses(flows, one, size), _addresses(flows, other, size)
    made["proto_head"] = (4 + _PORTS, 2 | _NESTED)
    made["num_head"], made["num"] = (5, 1), flows["proto"]
    made["sport_head"], made["sport"] = (6, 2), flows[f"{one}_port"]
    made["dport_head"], made["dport"] = (6, 3), flows[f"{other}_port"]
    return made


def _addresses(flows: NDArray[np.void], side: str, size: int) -> NDArray[np.void]:
    octets = np.stack([flows[f"{side}_hi"], flows[f"{side}_lo"]], 1).astype(">u8").view(np.uint8)
    return np.ascontiguousarray(octets[:, 16 - size :]).view(f"V{size}").reshape(-1)
