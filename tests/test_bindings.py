"""Countries, operators and names of the lists become addresses: real files, real history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ipwatchd.bindings import Bindings
from ipwatchd.config import Config, GeoSettings
from ipwatchd.config.settings import SiteSettings
from ipwatchd.pipeline import Pipeline
from ipwatchd.records.address import address_array
from ipwatchd.records.event import Auth, Dhcp, Dns, Vpn
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from pathlib import Path


def _denied(stores: Stores, *addresses: str) -> list[bool]:
    asked = address_array(addresses)
    found: list[bool] = stores.lists.denied(asked["hi"], asked["lo"]).tolist()
    return found


async def test_a_country_and_an_operator_come_from_the_files(tmp_path: Path, shared: Path) -> None:
    """Every network of the file that has the country is denied, its neighbours are not."""
    geo = GeoSettings(
        country=str(shared / "geoip/GeoLite2-Country-Test.mmdb"),
        asn=str(shared / "geoip/GeoLite2-ASN-Test.mmdb"),
    )
    stores = await Stores.open(Config(geo=geo), tmp_path)
    try:
        bindings = Bindings(stores)
        assert not await bindings.refresh(1.0)
        for network in ("country:GB", "asn:1221"):
            await stores.lists.add("deny", network, reason="x", author="m", now=1.0)
        assert await bindings.refresh(1.0)
        assert not await bindings.refresh(2.0)
        samples = ("81.2.69.142", "2.125.160.216", "1.128.0.1", "89.160.20.112", "8.8.8.8")
        assert _denied(stores, *samples) == [True, True, True, False, False]
        for address in samples:
            place = stores.enricher.place(address)
            assert place is not None
            wanted = place.country == "GB" or place.asn == 1221
            assert _denied(stores, address) == [wanted]
    finally:
        await stores.close(3.0)


async def test_a_name_is_what_dns_says_and_no_longer(tmp_path: Path) -> None:
    """An answer binds its address; a name that nobody has asked for a day binds none."""
    stores = await Stores.open(Config(), tmp_path)
    try:
        bindings = Bindings(stores)
        await stores.lists.add("deny", "name:bad.example", reason="x", author="m", now=1.0)
        answer = Dns(
            ts=10.0, orig="10.0.0.5", orig_port=5353, resp="10.0.0.1", resp_port=53, proto="udp",
            name="bad.example", qtype="A", rcode="NOERROR", response=True,
            answers=("203.0.113.77",), ttl=60,
        )  # fmt: skip
        stores.history.add_events([answer], 10.0)
        await stores.history.flush(10.0)
        assert await bindings.refresh(11.0)
        assert _denied(stores, "203.0.113.77", "10.0.0.5") == [True, False]
        assert not await bindings.tick(12.0)
        assert not await bindings.tick(10.0 + 290.0)
        assert await bindings.tick(10.0 + 310.0)
        assert _denied(stores, "203.0.113.77") == [False]
        long = msgspec.structs.replace(answer, ts=400.0, ttl=3600, answers=("bad2.example", "::5"))
        stores.history.add_events([long], 400.0)
        await stores.history.flush(400.0)
        assert await bindings.tick(3900.0)
        assert _denied(stores, "::5") == [True]
        assert await bindings.tick(4010.0)
        assert _denied(stores, "::5") == [False]
    finally:
        await stores.close(100_000.0)


async def test_an_address_that_was_handed_on_is_not_the_agents_any_more(tmp_path: Path) -> None:
    """A deny of an agent follows them, and lets go of an address that another card leased."""
    stores = await Stores.open(Config(), tmp_path)
    try:
        pipeline, bindings = Pipeline(stores), Bindings(stores)
        await stores.lists.add("deny", "agent:maria", reason="x", author="m", now=1.0)
        first = [
            Dhcp(ts=10.0, message="ACK", mac="02:00:00:00:00:01", address="10.20.0.5"),
            Auth(ts=11.0, orig="10.20.0.5", user="maria", result="success", service="ssh"),
            Auth(ts=11.0, orig="10.20.0.6", user="maria", result="success", service="ssh"),
        ]
        await pipeline.take_events(first, 11.0)
        await stores.history.flush(11.0)
        await bindings.refresh(12.0)
        assert _denied(stores, "10.20.0.5", "10.20.0.6") == [True, True]
        lease = Dhcp(ts=20.0, message="ACK", mac="02:00:00:00:00:99", address="10.20.0.5")
        await pipeline.take_events([lease], 20.0)
        assert await bindings.refresh(21.0)
        assert _denied(stores, "10.20.0.5", "10.20.0.6") == [False, True]
    finally:
        await stores.close(30.0)


async def test_an_agent_is_denied_by_whatever_name_they_came(tmp_path: Path) -> None:
    """A ticket, a phone and a VPN name an agent in their own ways; all those addresses are theirs.

    What the VPN gave on is the next one's.
    """
    roster = tmp_path / "roster.csv"
    roster.write_text("name,extension\nmaria,204\n")
    stores = await Stores.open(Config(site=SiteSettings(roster=str(roster))), tmp_path / "state")
    try:
        pipeline, bindings = Pipeline(stores), Bindings(stores)
        await stores.lists.add("deny", "agent:maria", reason="x", author="m", now=1.0)
        told = [
            Auth(ts=10.0, orig="10.20.0.5", user="maria@ACME.EXAMPLE", result="success",
                 service="kerberos"),
            Auth(ts=11.0, orig="10.20.0.6", user="204", result="success", service="sip"),
            Vpn(ts=12.0, message="assigned", user="ACME\\Maria", address="10.8.0.2",
                orig="198.51.100.7"),
        ]  # fmt: skip
        await pipeline.take_events(told, 12.0)
        await bindings.refresh(13.0)
        assert _denied(stores, "10.20.0.5", "10.20.0.6", "10.8.0.2") == [True, True, True]
        next_one = Vpn(ts=20.0, message="assigned", user="jose", address="10.8.0.2")
        await pipeline.take_events([next_one], 20.0)
        assert await bindings.refresh(21.0)
        assert _denied(stores, "10.20.0.5", "10.20.0.6", "10.8.0.2") == [True, True, False]
    finally:
        await stores.close(30.0)
