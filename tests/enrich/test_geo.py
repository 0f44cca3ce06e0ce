"""Geo databases: every published answer, every broken file, no place for private addresses."""

from __future__ import annotations

import csv
import ipaddress
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.config import GeoSettings
from ipwatchd.enrich import Enricher, schemas
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
def test_broken_files_are_refused(path: Path) -> None:
    """No exception, no hang; what can't be read or holds nothing is named in one sentence."""
    geo = Geo(GeoSettings(city=str(path), asn=str(path)))
    assert set(geo.errors) == {"city", "asn"}
    assert geo.databases == {}
    for number in range(0, 1 << 32, (1 << 32) // 997):
        geo.look_up(ipaddress.ip_address(number))
        geo.look_up(ipaddress.ip_address((0x2000 << 112) + (number << 90)))
    for problem in geo.errors.values():
        assert str(path) in problem
        assert problem.endswith(("fetch it again", "name another"))
    for status in geo.status(1_800_000_000.0):
        assert status.built < 1 << 34


@pytest.mark.parametrize("bad", [*BAD, "text", "pipe", "other"], ids=str)
def test_the_last_good_file_stays(geoip: Path, tmp_path: Path, bad: Path | str) -> None:
    """Whatever is put in its place: broken records, text, a pipe, a database of something else."""
    path = tmp_path / "city.mmdb"
    shutil.copy(geoip / "GeoIP2-City-Test.mmdb", path)
    enricher = Enricher({}, GeoSettings(city=str(path)))
    path.unlink()
    match bad:
        case "text":
            path.write_text("ip,country\n" * 1000)
        case "pipe":
            os.mkfifo(path)
        case "other":
            shutil.copy(geoip / "GeoLite2-ASN-Test.mmdb", path)
        case _:
            shutil.copy(bad, path)
    assert enricher.refresh()
    [(_, problem)] = enricher.problems()
    assert problem.endswith("; the last good one (GeoIP2-City of 2026-02-04) stays in use")
    place = enricher.place("81.2.69.142")
    assert place is not None
    assert place.country == "GB"
    assert not enricher.refresh(), "it is tried again when it changes"


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
    assert again.errors["country"].endswith("(GeoLite2-Country of 2026-02-04) stays in use")


def test_every_flag_of_maxminds_anonymous_file(geoip: Path) -> None:
    """VPNs and Tor exits are told as published; an address that is not in the file has no flag."""
    geo = Geo(GeoSettings(anonymous=str(geoip / "GeoIP2-Anonymous-IP-Test.mmdb")))
    told = 0
    with (geoip / "EXPECTED_maxmind_test.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            address = ipaddress.ip_address(row["ip"])
            if row["db"] != "GeoIP2-Anonymous-IP-Test.mmdb" or not placeable(address):
                continue
            flags = geo.look_up(address).flags
            for flag, column in (
                ("vpn", "is_vpn"),
                ("tor", "is_tor"),
                ("anonymous", "is_anonymous"),
            ):
                assert (flag in flags) == (row[column].lower() in {"1", "true"}), row
            told += 1
    assert told > 10
    assert geo.look_up(ipaddress.ip_address("8.8.8.8")).flags == ()


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        # MaxMind and DB-IP nest, IPinfo and iptoasn are flat.
        ({"country": {"iso_code": "PH"}, "subdivisions": [{"names": {"en": "Cebu"}}]},
         ("PH", "", "Cebu", "", 0)),
        ({"country_code": "ph", "city": "Cebu City", "region": "Cebu", "timezone": "Asia/Manila",
          "asn": "AS9299", "as_name": "PLDT"}, ("PH", "Cebu City", "Cebu", "Asia/Manila", 9299)),
        ({"country": "PH", "city": {"names": {"en": "Cebu City"}}, "asn": 9299},
         ("PH", "Cebu City", "", "", 9299)),
        ({"country": {"iso_code": 7}, "asn": "AS99999999999999", "city": ["x"], "region": {}},
         ("", "", "", "", 0)),
        ({"country": "Philippines", "asn": -1, "subdivisions": ["x"]}, ("", "", "", "", 0)),
    ],
)  # fmt: skip
def test_schemas(record: dict[str, object], facts: tuple[object, ...]) -> None:
    """The makers' ways of writing one thing are read; what is none of them says nothing."""
    assert facts == (
        schemas.country(record), schemas.city(record), schemas.region(record),
        schemas.time_zone(record), schemas.operator(record)[0],
    )  # fmt: skip


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["country", "iso_code", "city", "names", "en", "location", "latitude", "asn",
                     "timezone", "subdivisions", "traits", "vpn", "region", "lat"]
                ),
                inner, max_size=6,
            ),
        ),
        max_leaves=20,
    )
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_record(record: object) -> None:
    """Whatever a file's maker put into a record, reading it never fails."""
    if isinstance(record, dict):
        assert len(schemas.country(record)) in {0, 2}
        assert len(schemas.city(record) + schemas.region(record)) <= 400
        assert 0 <= schemas.operator(record)[0] < 1 << 32
        for name in ("latitude", "longitude"):
            assert (
                schemas.degrees(record, name) is None or abs(schemas.degrees(record, name)) <= 180
            )
        assert len(schemas.flags(record)) <= 7
        schemas.time_zone(record)


def test_a_file_that_changes_is_taken_while_running(geoip: Path, tmp_path: Path) -> None:
    """A new file is in use at the next look, a broken one leaves the last good one, told once."""
    path = tmp_path / "country.mmdb"
    shutil.copy(geoip / "GeoLite2-Country-Test.mmdb", path)
    enricher = Enricher({}, GeoSettings(country=str(path)))
    before = enricher.place("81.2.69.142")
    assert before is not None
    assert before.country == "GB"
    assert not enricher.refresh()
    path.write_bytes(BAD[0].read_bytes()[:100])
    assert enricher.refresh()
    assert "the last good one (GeoLite2-Country of 2026-02-04) stays" in enricher.problems()[0][1]
    assert enricher.place("81.2.69.142") == before
    assert not enricher.refresh()
    shutil.copy(geoip / "iptoasn-country.mmdb", path)
    assert enricher.refresh()
    assert enricher.problems() == ()
    after = enricher.place("8.8.8.8")
    assert after is not None
    assert after.country == "US"
    path.unlink()
    assert not enricher.refresh()
    assert enricher.place("8.8.8.8") == after
