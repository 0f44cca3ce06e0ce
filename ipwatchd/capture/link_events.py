"""What the kernel tells of network interfaces: up, down, gone, back, renamed (rtnetlink(7)).

The messages are parsed here (struct ifinfomsg and its attributes): pyroute2 would bring its own
event loop into a capture thread that waits for its ring at the same time.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

__all__ = ["LinkChange", "LinkEvents", "changes_of"]

_ROUTE: Final = 0
_GROUP_LINK: Final = 1
_NEWLINK: Final = 16
_DELLINK: Final = 17
_IFNAME: Final = 3
_IFF_UP: Final = 1
_HEADER: Final = struct.Struct("IHHII")
_INFO: Final = struct.Struct("BxHiII")
_ATTRIBUTE: Final = struct.Struct("HH")
_DATAGRAM: Final = 1 << 16
_AT_ONCE: Final = 256
"""Messages read in one go: links made and removed in a loop can't keep a thread from its ring."""


class LinkChange(NamedTuple):
    """How an interface is now; `gone` where it was removed from this namespace."""

    number: int
    name: str
    up: bool
    gone: bool


def changes_of(data: bytes) -> list[LinkChange]:
    """Return what a datagram of netlink messages says of interfaces; what is cut off is left."""
    found = []
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            break
        if kind in {_NEWLINK, _DELLINK} and length >= _HEADER.size + _INFO.size:
            _, _, index, flags, _ = _INFO.unpack_from(data, at + _HEADER.size)
            name = _name(data[at + _HEADER.size + _INFO.size : at + length])
            found.append(LinkChange(index, name, bool(flags & _IFF_UP), kind == _DELLINK))
        at += (length + 3) & ~3
    return found


def _name(attributes: bytes) -> str:
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if not _ATTRIBUTE.size <= length <= len(attributes) - at:
            break
        if kind == _IFNAME:
            return attributes[at + 4 : at + length].rstrip(b"\0").decode("utf-8", "replace")
        at += (length + 3) & ~3
    return ""


class LinkEvents:
    """A socket that hears of every interface of the calling thread's network namespace."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, _ROUTE)
        self._socket.bind((0, _GROUP_LINK))

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._socket.fileno()

    def read(self) -> list[LinkChange]:
        """Return what changed since the last call; nothing where nothing did.

        Raises OSError (ENOBUFS) where the kernel had to drop messages: look at the interfaces.
        """
        found: list[LinkChange] = []
        for _ in range(_AT_ONCE):
            try:
                found += changes_of(self._socket.recv(_DATAGRAM))
            except BlockingIOError:
                break
        return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
