"""Whose certificates a channel trusts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipwatchd.records.paging import Channel

__all__ = ["trust"]


def trust(channel: Channel) -> ssl.SSLContext:
    """Return whose certificates are believed: the channel's own authority, else the system's."""
    return ssl.create_default_context(cafile=channel.ca_file or None)
