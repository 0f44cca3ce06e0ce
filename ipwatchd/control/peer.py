"""Who is at the other end of a Unix socket, by the kernel's word, and what role that gives."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from typing import TYPE_CHECKING

from ipwatchd.control.call import Peer

if TYPE_CHECKING:
    from ipwatchd.config import ControlSettings

__all__ = ["credentials", "peer_of"]


def credentials(connection: socket.socket) -> tuple[int, int]:
    """Return uid and gid of the process that connected (SO_PEERCRED, unix(7))."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, gid = struct.unpack("3i", data)
    return uid, gid


def peer_of(uid: int, gid: int, settings: ControlSettings) -> Peer:
    """Return name and role: root and the daemon's own user may all, others by their groups."""
    try:
        name = pwd.getpwuid(uid).pw_name
        groups = set(os.getgrouplist(name, gid))
    except KeyError:
        name, groups = f"uid {uid}", {gid}
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
