"""Where an address is: zone, country, city, network operator."""

from __future__ import annotations

import msgspec

__all__ = ["Place"]


class Place(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What enrichment knows of an address; `built` is the build date of the database (epoch s)."""

    zone: str = ""
    country: str = ""
    city: str = ""
    asn: int = 0
    operator: str = ""
    time_zone: str = ""
    built: int = 0
    latitude: float | None = None
    longitude: float | None = None
    region: str = ""
    flags: tuple[str, ...] = ()
    """vpn, proxy, tor, hosting … as the database of anonymous addresses says"""
