"""Who is at the other end of a Unix socket, by the kernel's word, and what role that gives."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.control.call import Peer

if TYPE_CHECKING:
    from ipwatchd.config import ControlSettings

__all__ = ["Credentials", "credentials", "peer_of"]


_SO_PEERGROUPS: Final = 59
"""asm-generic/socket.h, since Linux 4.13: the groups the process had when it connected."""
_GROUPS: Final = 1024
"""Bytes, the most that Python asks for: 256 groups."""


class Credentials(NamedTuple):
    """Who connected: user, group and supplementary groups of that process."""

    uid: int
    gid: int
    groups: frozenset[int]


def credentials(connection: socket.socket) -> Credentials:
    """Return the credentials of the process that connected (SO_PEERCRED, unix(7))."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    _, uid, gid = struct.unpack("iII", data)
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS)
    except OSError:  # ERANGE, more groups than that: those the user has by name count
        groups = b""
    return Credentials(uid, gid, frozenset(struct.unpack(f"{len(groups) // 4}I", groups)))


def peer_of(uid: int, gid: int, groups: frozenset[int], settings: ControlSettings) -> Peer:
    """Return name and role: root and the daemon's own user may all, others by their groups.

    Both count, the groups of the process and those the user has by now: whoever was just put into
    a group need not log in again, and whoever started with one (setpriv, a service) has it.
    """
    groups |= {gid}
    try:
        name = pwd.getpwuid(uid).pw_name
        groups |= set(os.getgrouplist(name, gid))
    except KeyError:
        name = f"uid {uid}"
    if uid in {0, os.geteuid()}:
        return Peer(name, "admin")
    for role, group in (
        ("admin", settings.admins), ("operator", settings.operators), ("viewer", settings.viewers),
    ):  # fmt: skip
        if _group(group) in groups:
            return Peer(name, role)
    return Peer(name, "none")


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return -1
