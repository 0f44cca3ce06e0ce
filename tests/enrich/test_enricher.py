"""The enricher: one place for an address, bounded memory, the last good one kept."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest

from ipwatchd.config import GeoSettings
from ipwatchd.enrich import Enricher
from ipwatchd.enrich.enricher import PLACES
from ipwatchd.records.address import split
from ipwatchd.records.flow import DIRECTIONS, empty_flows
from ipwatchd.records.place import Place

if TYPE_CHECKING:
    from pathlib import Path

ZONES = {"agents": ["10.20.0.0/16"]}


@pytest.fixture
def settings(shared: Path) -> GeoSettings:
    """Return the free databases."""
    folder = shared / "geoip"
    return GeoSettings(
        country=str(folder / "iptoasn-country.mmdb"), asn=str(folder / "asn-ipv4.mmdb")
    )


def test_place(settings: GeoSettings) -> None:
    """An address has its zone, country, operator and the database's build date."""
    enricher = Enricher(ZONES, settings)
    place = enricher.place("8.8.8.8")
    assert place is not None
    assert (place.zone, place.country, place.asn) == ("internet", "US", 15169)
    assert place.built == 1781726061
    assert enricher.place("::ffff:8.8.8.8") == place
    assert enricher.place("10.20.0.1") == Place(zone="agents")
    assert enricher.place("not an address") is None


def test_works_without_any_database() -> None:
    """Zones and directions need no database."""
    enricher = Enricher(ZONES, GeoSettings())
    assert enricher.place("8.8.8.8") == Place(zone="internet")
    flows = empty_flows(1)
    flows["orig_hi"], flows["orig_lo"] = split("10.20.0.9")
    flows["resp_hi"], flows["resp_lo"] = split("8.8.8.8")
    enricher.flows(flows)
    assert enricher.zones[flows["orig_zone"][0]] == "agents"
    assert DIRECTIONS[flows["direction"][0]] == "outgoing"


def test_random_sources_cost_no_memory() -> None:
    """More sources than the bound leave the bound in the cache."""
    enricher = Enricher(ZONES, GeoSettings())
    for number in range(PLACES + 100):
        enricher.place(str(ipaddress.ip_address((11 << 24) + number)))
    assert enricher.status(0.0).places == PLACES


def test_reload_keeps_the_last_good(settings: GeoSettings, tmp_path: Path) -> None:
    """Wrong zones change nothing; a missing database leaves the last good one in use, and says."""
    enricher = Enricher(ZONES, settings)
    with pytest.raises(ValueError, match="is no network"):
        enricher.reload({"agents": ["10.20.0.0/99"]}, settings)
    assert enricher.zones == ("agents", "internet", "link")
    enricher.reload({"vpn": ["10.9.0.0/16"]}, GeoSettings(country=str(tmp_path / "gone.mmdb")))
    assert enricher.place("10.9.0.1") == Place(zone="vpn")
    place = enricher.place("8.8.8.8")
    assert place is not None
    assert (place.country, place.asn) == ("US", 0)
    name, sentence = enricher.problems()[0]
    assert name == "geo country"
    assert "gone.mmdb can't be read" in sentence


def test_status_says_how_old_the_databases_are(settings: GeoSettings) -> None:
    """Type, build date and age of each."""
    status = Enricher(ZONES, settings).status(1781726061.0 + 86400)
    country = status.databases[0]
    assert (country.role, country.built, country.age) == ("country", 1781726061, 86400.0)
    assert country.type == "country ipvAll"
    assert status.problems == ()
