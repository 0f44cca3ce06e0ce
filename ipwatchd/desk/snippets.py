"""Headers of the packets of those whom incidents are about, taken when an incident opens."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final

from ipwatchd.capture.headers import HeaderCapture

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ipwatchd.records.incident import Incident

    Keep = Callable[[str, str, bytes, int, float], Awaitable[object]]

__all__ = ["AT_ONCE", "Snippets"]

AT_ONCE: Final = 4
"""Recordings at a time: a flood of incidents gets no socket each."""


class Snippets:
    """Records for `seconds` each; `keep` takes incident, name, file, packets and the time."""

    def __init__(self, seconds: float, keep: Keep) -> None:
        self._seconds = seconds
        self._keep = keep
        self._open: dict[str, HeaderCapture] = {}
        self.note = ""
        self.counters = {"headers_taken": 0, "headers_shed": 0}

    def begin(self, incident: Incident, now: float) -> None:
        """Record the subject's packets from now on, where it is an address and there is room."""
        try:
            address = ipaddress.ip_address(incident.subject)
        except ValueError:
            return
        if address.is_unspecified or incident.id in self._open:
            return
        if len(self._open) >= AT_ONCE:
            self.counters["headers_shed"] += 1
            return
        try:
            taken = HeaderCapture(str(address), now + self._seconds)
        except OSError as error:
            self.note = f"no headers for incidents: {error}"
            return
        self._open[incident.id] = taken
        asyncio.get_running_loop().add_reader(taken.fileno(), self._read, taken)

    def _read(self, taken: HeaderCapture) -> None:
        taken.read()
        if taken.full:
            asyncio.get_running_loop().remove_reader(taken.fileno())

    async def tick(self, now: float) -> None:
        """Keep the recordings whose time is over, or that are full."""
        over = [name for name, one in self._open.items() if one.full or now >= one.until]
        for name in over:
            await self._finish(name, now)

    async def stop(self, now: float) -> None:
        """Keep what there is and record no more."""
        for name in list(self._open):
            await self._finish(name, now)

    async def _finish(self, name: str, now: float) -> None:
        taken = self._open.pop(name)
        asyncio.get_running_loop().remove_reader(taken.fileno())
        taken.read()
        data = taken.file()
        if taken.packets:
            await self._keep(name, "headers.pcap", data, taken.packets, now)
            self.counters["headers_taken"] += 1
