"""Geo databases: every published answer, every broken file, no place for private addresses."""

from __future__ import annotations

import csv
import ipaddress
import shutil
from pathlib import Path

import pytest

from ipwatchd.config import GeoSettings
from ipwatchd.enrich.geo import Facts, Geo

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "geoip"
BAD = sorted((SHARED / "bad").glob("*.mmdb"))


@pytest.fixture
def geoip(shared: Path) -> Path:
    """Return the folder of databases with known answers."""
    return shared / "geoip"


def placeable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address may have a place at all."""
    return address.is_global and not address.is_multicast


@pytest.mark.parametrize(
    ("file", "role"),
    [
        ("GeoIP2-City-Test.mmdb", "city"),
        ("GeoLite2-City-Test.mmdb", "city"),
        ("GeoLite2-Country-Test.mmdb", "country"),
        ("GeoLite2-ASN-Test.mmdb", "asn"),
    ],
)
def test_every_answer_of_maxminds_test_files(geoip: Path, file: str, role: str) -> None:
    """Country, city, time zone, AS number and operator are as published, for every network."""
    geo = Geo(GeoSettings(**{role: str(geoip / file)}))
    checked = 0
    with (geoip / "EXPECTED_maxmind_test.csv").open() as lines:
        for row in csv.DictReader(line.replace("(none)", "") for line in lines):
            if row["db"] != file:
                continue
            address = ipaddress.ip_address(row["ip"])
            got = geo.look_up(address)
            if not placeable(address):
                assert got == Facts(), row["ip"]
                continue
            checked += 1
            assert got.country == row["country_iso"], row["ip"]
            assert got.city == row["city"], row["ip"]
            assert got.asn == int(row["asn"] or 0), row["ip"]
            assert got.operator == row["as_org"], row["ip"]
            if got.country:
                assert got.time_zone == row["tz"], row["ip"]
    assert checked > 150


def test_every_answer_of_the_free_files(geoip: Path) -> None:
    """The flat schemas answer as published: DB-IP's city, iptoasn's country, the ASN file."""
    city = Geo(GeoSettings(city=str(geoip / "dbip-city-sample-ipv4.mmdb")))
    country = Geo(GeoSettings(country=str(geoip / "iptoasn-country.mmdb")))
    asn = Geo(GeoSettings(asn=str(geoip / "asn-ipv4.mmdb")))
    with (geoip / "EXPECTED_geo_real.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    checked = 0
    for row in rows:
        address = ipaddress.ip_address(row["ip"])
        if not placeable(address):
            assert city.look_up(address) == country.look_up(address) == asn.look_up(address)
            continue
        checked += 1
        assert city.look_up(address).country == row["dbip_country"], row["ip"]
        assert city.look_up(address).city == row["dbip_city"], row["ip"]
        assert country.look_up(address).country == row["iptoasn_country"], row["ip"]
        assert asn.look_up(address).asn == int(row["asn"] or 0), row["ip"]
        assert asn.look_up(address).operator == row["as_org"], row["ip"]
    assert checked > 1500


def test_country_and_city_come_from_one_file(geoip: Path) -> None:
    """Where two databases disagree the city file's answer stands whole; the other fills gaps."""
    geo = Geo(
        GeoSettings(
            city=str(geoip / "dbip-city-sample-ipv4.mmdb"),
            country=str(geoip / "iptoasn-country.mmdb"),
        )
    )
    assert geo.look_up(ipaddress.ip_address("1.1.1.1"))[:2] == ("AU", "Sydney")
    assert geo.look_up(ipaddress.ip_address("2001:4860:4860::8888"))[:2] == ("US", "")


@pytest.mark.parametrize(
    "text",
    ["10.1.2.3", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "224.0.0.1",
     "fd00::1", "fe80::1", "::1", "ff02::1", "2001:db8::1", "240.0.0.1", "0.1.2.3"],
)  # fmt: skip
def test_private_and_special_addresses_have_no_place(geoip: Path, text: str) -> None:
    """Whatever a database says of them."""
    geo = Geo(
        GeoSettings(
            city=str(geoip / "GeoIP2-City-Test.mmdb"),
            country=str(geoip / "iptoasn-country.mmdb"),
            asn=str(geoip / "asn-ipv4.mmdb"),
        )
    )
    assert geo.look_up(ipaddress.ip_address(text)) == Facts()


def test_the_bad_files_are_here() -> None:
    """The parametrised test below has what it needs."""
    assert len(BAD) == 9


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_broken_files_are_refused_or_answer_unknown(path: Path) -> None:
    """No exception, no hang; a file that can't be opened is named in one sentence."""
    geo = Geo(GeoSettings(city=str(path), asn=str(path)))
    for number in range(0, 1 << 32, (1 << 32) // 997):
        geo.look_up(ipaddress.ip_address(number))
        geo.look_up(ipaddress.ip_address((0x2000 << 112) + (number << 90)))
    for problem in geo.errors.values():
        assert str(path) in problem
        assert problem.endswith("fetch it again")
    for status in geo.status(1_800_000_000.0):
        assert status.built < 1 << 34


def test_missing_files_and_files_that_are_something_else(tmp_path: Path) -> None:
    """A missing file, a folder, an empty file and text each get a sentence; the rest works."""
    (tmp_path / "empty.mmdb").write_bytes(b"")
    (tmp_path / "text.mmdb").write_text("ip,country\n1.1.1.1,AU\n" * 1000)
    for name in ("missing.mmdb", "empty.mmdb", "text.mmdb", "."):
        geo = Geo(GeoSettings(country=str(tmp_path / name)))
        assert len(geo.errors) == 1
        assert str(tmp_path) in geo.errors["country"]
        assert geo.look_up(ipaddress.ip_address("1.1.1.1")) == Facts()


def test_a_file_overwritten_in_place_changes_nothing_until_reload(
    geoip: Path, tmp_path: Path
) -> None:
    """`cp` over the open file neither crashes nor changes answers (a mapped file would SIGBUS)."""
    path = tmp_path / "country.mmdb"
    shutil.copy(geoip / "GeoLite2-Country-Test.mmdb", path)
    path.chmod(0o600)
    settings = GeoSettings(country=str(path))
    geo = Geo(settings)
    before = geo.look_up(ipaddress.ip_address("2001:218::1"))
    assert before.country == "JP"
    path.write_bytes(b"")
    assert geo.look_up(ipaddress.ip_address("2001:218::1")) == before
    again = Geo(settings, geo)
    assert again.look_up(ipaddress.ip_address("2001:218::1")) == before
    assert again.errors["country"].endswith("the last good one stays in use")
