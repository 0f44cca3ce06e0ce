"""Hosts that DNS answers told of: to go there and fail is no search for hosts.

Whyte, Kranakis, van Oorschot: DNS-based Detection of Scanning Worms in an Enterprise Network,
NDSS 2005: scanners pick addresses, people follow names.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.detect.batch import address_hash
from ipwatchd.detect.shape import host_of
from ipwatchd.records.address import ADDRESS, split
from ipwatchd.records.event import Dns

if TYPE_CHECKING:
    from collections.abc import Iterable, KeysView

    from ipwatchd.records.event import AnyEvent

__all__ = ["Named"]


class Named:
    """The hosts (as in targets) of the latest answers; bounded against a flood of answers."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._hosts: OrderedDict[int, None] = OrderedDict()

    @property
    def hosts(self) -> KeysView[int]:
        """Return the hosts as a set-like view."""
        return self._hosts.keys()

    def hear(self, events: Iterable[AnyEvent]) -> None:
        """Take what DNS answered."""
        self.learn(
            answer
            for event in events
            if isinstance(event, Dns) and event.response
            for answer in event.answers
        )

    def learn(self, answers: Iterable[str]) -> None:
        """Take answers; names among them (CNAME, PTR) are no hosts."""
        found = np.array([*map(split, filter(_is_address, answers))], ADDRESS)
        for mixed in address_hash(found["hi"], found["lo"]).tolist():
            host = host_of(mixed)
            self._hosts[host] = None
            self._hosts.move_to_end(host)
            if len(self._hosts) > self._limit:
                self._hosts.popitem(last=False)


def _is_address(text: str) -> bool:
    try:
        split(text)
    except ValueError:
        return False
    return True
