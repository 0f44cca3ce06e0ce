"""What the records of geo databases say: the schemas of MaxMind, DB-IP, IPinfo and iptoasn. Pure.

MaxMind and DB-IP nest (`country.iso_code`, `location.time_zone`), IPinfo and iptoasn are flat
(`country_code`, `timezone`, `as_name`). Anybody makes such files: every value is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["city", "country", "degrees", "flags", "operator", "region", "time_zone"]

# Hostile databases could name an operator with a megabyte.
_MAX_TEXT: Final = 200

_FLAGS: Final = {
    "vpn": ("is_anonymous_vpn", "vpn"),
    "proxy": ("is_public_proxy", "is_residential_proxy", "is_anonymous_proxy", "proxy"),
    "tor": ("is_tor_exit_node", "tor"),
    "hosting": ("is_hosting_provider", "hosting", "is_hosting"),
    "relay": ("relay",),
    "anonymous": ("is_anonymous",),
    "satellite": ("is_satellite_provider", "is_satellite"),
}
"""What an address may be, by the names that GeoIP2 Anonymous IP and IPinfo privacy give it."""


def country(record: Mapping[str, Any]) -> str:
    """Return the two letters of ISO 3166, or ""."""
    for value in (
        _within(record, "country", "iso_code"), record.get("country_code"), record.get("country"),
    ):  # fmt: skip
        code = _text(value)
        if len(code) == 2 and code.isascii() and code.isalpha():
            return code.upper()
    return ""


def city(record: Mapping[str, Any]) -> str:
    """Return the city's name in English, or ""."""
    return _text(_within(record, "city", "names", "en")) or _text(record.get("city"))


def region(record: Mapping[str, Any]) -> str:
    """Return the region within the country, or ""."""
    parts = record.get("subdivisions")
    first = parts[0] if isinstance(parts, list) and parts and isinstance(parts[0], dict) else {}
    return (
        _text(_within(first, "names", "en")) or _text(record.get("region"))
        or _text(record.get("state1"))
    )  # fmt: skip


def time_zone(record: Mapping[str, Any]) -> str:
    """Return the name of the time zone (IANA), or ""."""
    return _text(_within(record, "location", "time_zone")) or _text(record.get("timezone"))


def degrees(record: Mapping[str, Any], name: str) -> float | None:
    """Return latitude or longitude; IPinfo writes them as text (`lat`, `lng`)."""
    value = _within(record, "location", name)
    if value is None:
        value = record.get(name, record.get("lat" if name == "latitude" else "lng"))
    if isinstance(value, str) and len(value) < 20:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if -180 <= value <= 180 else None


def operator(record: Mapping[str, Any]) -> tuple[int, str]:
    """Return number and name of the autonomous system, 0 and "" where they are not known."""
    number = record.get("autonomous_system_number", record.get("asn", 0))
    if isinstance(number, str) and (digits := number.upper().removeprefix("AS")).isdecimal():
        number = int(digits) if len(digits) <= 10 else 0
    if not isinstance(number, int) or not 0 <= number < 1 << 32:
        number = 0
    names = ("autonomous_system_organization", "as_name", "as_org", "organization", "name")
    return number, next((name for key in names if (name := _text(record.get(key)))), "")


def flags(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what else an address is: vpn, proxy, tor, hosting and so on."""
    traits = record.get("traits")
    places = [record, *([traits] if isinstance(traits, dict) else [])]
    return tuple(
        flag for flag, names in _FLAGS.items()
        if any(_is_true(place.get(name)) for place in places for name in names)
    )  # fmt: skip


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _text(value: object) -> str:
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _within(record: Mapping[str, Any], *path: str) -> object:
    value: object = record
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
