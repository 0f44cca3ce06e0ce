"""Tells the service's supervisor that the rules stand (sd_notify(3)); nothing where there is none.

The unit is ordered before network-pre.target: without this the network would come up as soon as the
process has been started, while the lists are still being read.
"""

from __future__ import annotations

import contextlib
import os
import socket

__all__ = ["say_ready"]


def say_ready() -> None:
    """Send READY=1 to the socket that NOTIFY_SOCKET names, a path or @name in the abstract."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    address = f"\0{where[1:]}" if where.startswith("@") else where
    # Who does not listen gives up on us by itself (TimeoutStartSec).
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        contextlib.suppress(OSError),
    ):
        out.sendto(b"READY=1", address)
