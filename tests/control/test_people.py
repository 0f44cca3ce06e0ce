"""Who is where, as the control API says it: of a running pipeline, and of a folder later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ipwatchd.config import Config, GeoSettings
from ipwatchd.config.settings import SiteSettings
from ipwatchd.control.call import Peer
from ipwatchd.control.house import House, Live
from ipwatchd.control.messages import AgentRow
from ipwatchd.control.routes import dispatch
from ipwatchd.pipeline import Pipeline
from ipwatchd.records.event import Auth, Dhcp
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_795_291_200.0
ROSTER = """name,team,client,shift,time_zone,places,devices,extension
maria,A,acme,mon-fri 09:00-18:00,Asia/Manila,,,204
jose,B,acme,,,,,205
"""


async def ask(house: House, path: str, now: float) -> list[AgentRow]:
    """Return the rows that a call answers with."""
    status, body = await dispatch(house, Peer("root", "admin"), "GET", path, b"", now)
    assert status == 200, body
    return msgspec.json.decode(body, type=list[AgentRow])


async def test_agents_of_a_daemon_and_of_its_folder(tmp_path: Path) -> None:
    """What events told is shown with team and certainty, also later, until the lease moves on."""
    roster = tmp_path / "roster.csv"
    roster.write_text(ROSTER)
    config = Config(site=SiteSettings(roster=str(roster)), zones={"agents": ("10.20.0.0/16",)})
    stores = await Stores.open(config, tmp_path / "state")
    try:
        pipeline = Pipeline(stores)
        events = [
            Dhcp(ts=NOW, message="ACK", mac="02:00:00:00:00:01", address="10.20.0.5"),
            Auth(ts=NOW, orig="10.20.0.5", user="ACME\\Maria", result="success", service="ssh"),
            Auth(ts=NOW, orig="10.20.0.6", user="ghost", result="success", service="ssh"),
        ]
        await pipeline.take_events(events, NOW)
        await stores.history.flush(NOW)
        live = House(stores, Live(pipeline, pid=1, started=NOW))
        for house in (live, House(stores)):
            rows = {row.agent: row for row in await ask(house, "agents?all=1", NOW + 1)}
            assert sorted(rows) == ["ghost", "jose", "maria"]
            maria = rows["maria"]
            assert (maria.address, maria.mac, maria.team, maria.zone, maria.known) == (
                "10.20.0.5", "02:00:00:00:00:01", "A", "agents", True,
            )  # fmt: skip
            assert (maria.since, maria.source, maria.confidence) == (NOW, "login", 0.6)
            assert (rows["jose"].address, rows["ghost"].known) == ("", False)
            asked = await ask(house, "agents?name=10.20.0.6", NOW + 1)
            assert [row.agent for row in asked] == ["ghost"]
        again = Pipeline(stores)
        await again.recall_presence(NOW + 2)
        assert again.presence.now(NOW + 2) == pipeline.presence.now(NOW + 2)
        handed = Dhcp(ts=NOW + 3, message="ACK", mac="02:00:00:00:00:99", address="10.20.0.5")
        await again.take_events([handed], NOW + 3)
        await stores.history.flush(NOW + 3)
        assert [row.agent for row in await ask(House(stores), "agents", NOW + 4)] == ["ghost"]
    finally:
        await stores.close(NOW + 5)


async def test_an_address_from_outside_comes_with_hints(tmp_path: Path, shared: Path) -> None:
    """The page of an address says what is likely spoken there and what time it is."""
    geo = GeoSettings(
        country=str(shared / "geoip/GeoLite2-Country-Test.mmdb"),
        anonymous=str(shared / "geoip/GeoIP2-Anonymous-IP-Test.mmdb"),
    )
    stores = await Stores.open(Config(geo=geo), tmp_path)
    try:
        login = Auth(ts=NOW, orig="81.2.69.142", user="x", result="failure", service="ssh")
        stores.history.add_events([login], NOW)
        await stores.history.flush(NOW)
        status, body = await dispatch(
            House(stores), Peer("root", "admin"), "GET", "addresses/81.2.69.142", b"", NOW
        )
        assert status == 200, body
        page = msgspec.json.decode(body)
        assert (page["place"]["country"], page["place"]["zone"]) == ("GB", "internet")
        service = page["service"]
        assert service["languages"][0] == "English"
        assert service["time_zone"] == "Europe/London"
        assert service["local_time"].endswith("(UTC+0)")
        peer = Peer("root", "admin")
        status, body = await dispatch(House(stores), peer, "GET", "addresses/2.125.160.216", b"", 0)
        never = msgspec.json.decode(body)
        assert (status, never["note"]) == (200, "nothing is recorded about it")
        assert (never["place"]["country"], never["service"]["languages"][0]) == ("GB", "English")
        assert never["verdict"]["verdict"] == "none"
        status, _ = await dispatch(House(stores), peer, "GET", "addresses/10.9.9.9", b"", 0)
        assert status == 404
    finally:
        await stores.close(NOW)
