"""Which source a box has, and why: the ring or connection tracking. Loads nothing heavy."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config import CaptureSettings

__all__ = ["Choice", "SecondThoughts", "choose"]

_NET: Final = Path("/proc/thread-self/net")
_SYSCTL: Final = Path("/proc/sys/net")
_FORWARDING: Final = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
_SIOCGIFADDR: Final = 0x8915
_GLOBAL: Final = "00"
_EVERY: Final = 10.0
_SURE: Final = 3


class Choice(NamedTuple):
    """ring, conntrack or none, and half a sentence that says why."""

    source: str
    why: str


def choose(settings: CaptureSettings, *, tracked: bool) -> Choice:
    """Return what `settings.source` comes to in the calling thread's network namespace.

    "auto" is connection tracking where the box forwards and something tracks: `tracked` says that
    our own rules do; else there must be a connection, without it would see nothing. A named
    interface without an address is a mirror port's or a bridge's: what it carries is not ours to
    forward, and connection tracking would not know it.
    """
    if settings.source != "auto":
        return Choice(settings.source, f'[capture] source = "{settings.source}"')
    forwards = next((name for name in _FORWARDING if _number(name) > 0), None)
    if forwards is None:
        return Choice("ring", "this box does not forward packets")
    bare = _bare(settings.interfaces)
    if bare:
        return Choice("ring", f"{bare} has no address, as a mirror port or a bridge's has none")
    if not (_SYSCTL / "netfilter/nf_conntrack_acct").exists():
        return Choice("ring", "this kernel has no connection tracking")
    if not tracked and _number("netfilter/nf_conntrack_count") == 0:
        return Choice("ring", "no firewall rule on this box tracks connections")
    setting = "net." + forwards.replace("/", ".")
    return Choice("conntrack", f"this box forwards packets ({setting}) and tracks connections")


class SecondThoughts:
    """Whether a box that was given the ring turns out to be a router.

    We start before the network does: addresses and forwarding may come later. The way back is not
    taken by itself: a router whose cable is out has no address either.
    """

    def __init__(self) -> None:
        self._due = 0.0
        self._times = 0

    def better(
        self, before: Choice, settings: CaptureSettings, now: float, *, tracked: bool
    ) -> bool:
        """Tell whether connection tracking has been the choice for a while."""
        if settings.source != "auto" or before.source != "ring" or now < self._due:
            return False
        self._due = now + _EVERY
        chosen = choose(settings, tracked=tracked).source == "conntrack"
        self._times = self._times + 1 if chosen else 0
        return self._times >= _SURE


def _bare(interfaces: Sequence[str]) -> str | None:
    """Return the first interface that is there and has no address of its own."""
    there = {name for _, name in socket.if_nameindex()}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for name in interfaces:
            if name in there and not (_has_ipv4(probe, name) or _has_ipv6(name)):
                return name
    return None


def _has_ipv4(probe: socket.socket, name: str) -> bool:
    try:
        fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("40s", name.encode()[:15]))
    except OSError as error:
        return error.errno not in {errno.EADDRNOTAVAIL, errno.ENODEV}
    return True


def _has_ipv6(name: str) -> bool:
    """Tell whether there is a global address: link-local ones come by themselves."""
    try:
        lines = (_NET / "if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return any(fields[3] == _GLOBAL and fields[5] == name for fields in map(str.split, lines))


def _number(name: str) -> int:
    try:
        return int((_SYSCTL / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
