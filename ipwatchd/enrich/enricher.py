"""The enricher: zones and places, swapped as one, the last good ones kept where new ones fail."""

from __future__ import annotations

import functools
import ipaddress
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.enrich.geo import Geo, GeoStatus
from ipwatchd.enrich.zones import Zones
from ipwatchd.records.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.config import GeoSettings
    from ipwatchd.records.address import IPNetwork

__all__ = ["EnrichStatus", "Enricher"]

# An attacker who uses a new source each packet costs look-ups, never memory: about 40 MB when full.
PLACES: Final = 65_536


class EnrichStatus(msgspec.Struct, kw_only=True, frozen=True):
    """What `status` shows: the zones' names, the databases, what could not be opened."""

    zones: tuple[str, ...]
    databases: tuple[GeoStatus, ...]
    problems: tuple[tuple[str, str], ...]
    places: int


class Enricher:
    """Places addresses and fills the zones and direction of flows.

    Raises ValueError for zones that make no sense; broken databases only show in `status`.
    `folder` is where databases were installed that the settings don't name.
    """

    def __init__(
        self, zones: Mapping[str, Sequence[str]], geo: GeoSettings, folder: Path | None = None
    ) -> None:
        self._settings, self._folder = geo, folder
        # Files are opened on a thread; zones may change meanwhile.
        self._swapping = threading.Lock()
        self._use(Zones(zones), Geo(geo, folder=folder))

    def _use(self, zones: Zones, geo: Geo) -> None:
        self._zones, self._geo = zones, geo
        self._place = _placer(zones, geo)

    @property
    def zones(self) -> tuple[str, ...]:
        """Return the zones' names, in the order that orig_zone and resp_zone index."""
        return self._zones.names

    def problems(self) -> tuple[tuple[str, str], ...]:
        """Return ("geo ROLE", sentence) for each database that could not be opened."""
        return tuple((f"geo {role}", sentence) for role, sentence in self._geo.errors.items())

    def flows(self, batch: NDArray[np.void]) -> None:
        """Fill orig_zone, resp_zone and direction in place."""
        self._zones.flows(batch)

    def place(self, address: str) -> Place | None:
        """Return the zone and whereabouts of an address, None for what is no address."""
        try:
            return self._place(address)
        except ValueError:
            return None

    def networks(self, key: str, word: str) -> list[IPNetwork]:
        """Return the networks of a country or operator; slow the first time: run it in a thread."""
        return self._geo.networks(key, word)

    def geo_version(self) -> tuple[object, ...]:
        """Return what changes when other databases came into use."""
        return tuple(database.stamp for database in self._geo.databases.values())

    def reload(self, zones: Mapping[str, Sequence[str]], geo: GeoSettings) -> None:
        """Take new settings and changed files.

        Raises ValueError for wrong zones, and then nothing changed; a database that can't be opened
        leaves the last good one in use and shows in `problems`.
        """
        compiled, fresh = Zones(zones), Geo(geo, self._geo, self._folder)
        with self._swapping:
            self._use(compiled, fresh)
            self._settings = geo

    def rezone(self, zones: Mapping[str, Sequence[str]]) -> None:
        """Take other zones; files stay as they are. Raises ValueError, and then nothing changed."""
        compiled = Zones(zones)
        with self._swapping:
            self._use(compiled, self._geo)

    def refresh(self) -> bool:
        """Take files that changed since they were opened; tell whether there were any.

        Looks at the files' stamps only, and opens what changed: call it now and then, on a thread.
        One that can't be opened leaves the
        last good one in use and shows in `problems`; it is not tried again until it changes.
        """
        if not self._geo.stale():
            return False
        settings = self._settings
        fresh = Geo(settings, self._geo, self._folder)
        with self._swapping:
            if self._settings is settings:  # else other files are in use by now
                self._use(self._zones, fresh)
        return True

    def status(self, now: float) -> EnrichStatus:
        """Return what is in use."""
        return EnrichStatus(
            zones=self.zones,
            databases=self._geo.status(now),
            problems=self.problems(),
            places=self._place.cache_info().currsize,
        )


def _placer(zones: Zones, geo: Geo) -> functools._lru_cache_wrapper[Place]:
    @functools.lru_cache(maxsize=PLACES)
    def place(text: str) -> Place:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        facts = geo.look_up(address)
        return Place(
            zone=zones.of_one(text), country=facts.country, city=facts.city, asn=facts.asn,
            operator=facts.operator, time_zone=facts.time_zone, built=facts.built,
            latitude=facts.latitude, longitude=facts.longitude, region=facts.region,
            flags=facts.flags,
        )  # fmt: skip

    return place
