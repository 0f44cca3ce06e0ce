"""Which inner addresses a VPN gave to which connection: one may end while others go on. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.event import Vpn

__all__ = ["Tunnels"]

MOST: Final = 16_384
"""Connections that are known: clients that come back without end push out the oldest."""

_Connection = tuple[str, str, int]


class Tunnels:
    """Inner addresses by user and outer address with port, as the server's log tells them."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[_Connection, list[str]] = OrderedDict()

    def opened(self, event: Vpn) -> None:
        """Take that an address was given. Without the outer one its end will name the inner one."""
        if not event.orig:
            return
        given = self._addresses.setdefault(_connection(event), [])
        if event.address not in given:
            # An IPv4 and an IPv6 address, and what a server gave before it forgot to say so.
            given[:] = [*given, event.address][-4:]
        self._addresses.move_to_end(_connection(event))
        if len(self._addresses) > MOST:
            self._addresses.popitem(last=False)

    def closed(self, event: Vpn) -> list[str]:
        """Return the addresses that a connection had; none where it is not known."""
        return self._addresses.pop(_connection(event), [])

    def forget(self, without: Callable[[Any], Any]) -> None:
        """Forget somebody: `without` takes out of a list the lists that name them."""
        for key, given in list(self._addresses.items()):
            if not without([[key[0], key[1], *given]]):
                del self._addresses[key]


def _connection(event: Vpn) -> _Connection:
    return (event.user, event.orig, event.orig_port)
