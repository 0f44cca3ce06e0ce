"""From the line that a program wrote to who is at an address: sources, rules, presence, answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from ipwatchd.config import Config
from ipwatchd.config.settings import LogSettings, SiteSettings
from ipwatchd.control.call import Peer
from ipwatchd.control.house import House, Live
from ipwatchd.control.messages import AgentRow
from ipwatchd.control.routes import dispatch
from ipwatchd.logs import LogSources
from ipwatchd.pipeline import Pipeline
from ipwatchd.records.event import Arp, Dhcp
from ipwatchd.stores import Stores
from ipwatchd.whereabouts import bindings_told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REAL: Final = Path(__file__).parent / "logs" / "real.jsonl"
ROSTER: Final = "name,team,extension\nmaria,A,204\njose,B,205\n"
NOW: Final = 1_795_315_300.0
"""Shortly after the last of the lines was written."""
HOUR: Final = 3600.0

WAYS: Final = [
    ("OpenSSH 9.2p1", "Accepted publickey for maria", "192.0.2.77", "maria", "login", 0.6, 8),
    ("OpenSSH 10.0p2", "Accepted publickey for maria", "192.0.2.77", "maria", "login", 0.6, 8),
    ("Dropbear", "Pubkey auth succeeded", "2001:db8::77", "maria", "login", 0.6, 8),
    ("krb5kdc", "ISSUE.*maria.*", "192.0.2.77", "maria", "kerberos", 0.8, 10),
    ("Asterisk", "SuccessfulAuth.*PJSIP.*IPV4", "192.0.2.77", "maria", "sip", 0.7, 1),
    ("Asterisk", "SuccessfulAuth.*IPV6", "2001:db8::77", "maria", "sip", 0.7, 1),
    ("FreeRADIUS", "Connect: .jose", "10.77.0.5", "jose", "radius", 0.95, 24),
    ("OpenVPN", "jose/2001.*pool returned", "10.8.0.3", "jose", "vpn", 0.95, 24),
    ("OpenVPN", "jose/2001.*primary virtual IPv6", "fd00:8::1001", "jose", "vpn", 0.95, 24),
    ("strongSwan", "08.IKE. assigning virtual IP", "10.3.0.1", "maria", "vpn", 0.95, 24),
    ("Dovecot 2.4", "2001:db8::10.*|Logged in", "2001:db8::10", "maria", "login", 0.6, 8),
]  # fmt: skip
"""Program, its line, address, agent, source, confidence, hours."""


def lines(program: str, pattern: str) -> list[str]:
    """Return what a program wrote, in its order."""
    rows = [json.loads(row) for row in REAL.read_text(encoding="utf-8").splitlines()]
    found = [
        row["line"] for row in rows
        if row["program"].startswith(program) and re.search(pattern, row["line"])
    ]  # fmt: skip
    assert found, (program, pattern)
    return found


class Site:
    """A pipeline whose logs are one file, as the daemon joins them."""

    def __init__(self, stores: Stores, log: Path) -> None:
        self.stores = stores
        self.pipeline = Pipeline(stores)
        self._log = log
        self._sources = LogSources(stores.config.logs, None)
        self._sources.read(NOW)

    async def writes(self, *told: str, now: float = NOW) -> None:
        """Take lines that a program writes to its log."""
        with self._log.open("a", encoding="utf-8") as log:
            log.writelines(f"{line}\n" for line in told)
        await self.pipeline.take_events(self._sources.read(now), now)

    async def agents(self, now: float = NOW) -> dict[str, AgentRow]:
        """Return who is where, by address, as `ipwatchctl agents` is answered."""
        house = House(self.stores, Live(self.pipeline, pid=1, started=NOW))
        status, body = await dispatch(house, Peer("root", "admin"), "GET", "agents", b"", now)
        assert status == 200, body
        return {row.address: row for row in msgspec.json.decode(body, type=list[AgentRow])}

    def spans(self, address: str) -> list[tuple[str, float, float]]:
        """Return who is at an address, since when and until when it is believed."""
        found = self.pipeline.presence.at(address, NOW)
        return [(one.agent, one.since, one.until) for one in found]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Return a site with a roster and an empty log."""
    log, roster = tmp_path / "auth.log", tmp_path / "roster.csv"
    log.touch()
    roster.write_text(ROSTER)
    config = Config(
        site=SiteSettings(roster=str(roster)),
        logs=LogSettings(files=(str(log),), time_zone="UTC"),
    )
    stores = await Stores.open(config, tmp_path / "state")
    try:
        yield Site(stores, log)
    finally:
        await stores.close(NOW)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]} {way[2]}")
async def test_each_program_binds(
    site: Site, way: tuple[str, str, str, str, str, float, int]
) -> None:
    """What a program wrote says who is at which address, how sure that is, since when, how long."""
    program, pattern, address, agent, source, confidence, hours = way
    await site.writes(lines(program, pattern)[0])
    (binding,) = site.pipeline.presence.at(address, NOW)
    assert (binding.agent, binding.source, binding.confidence) == (agent, source, confidence)
    assert NOW - HOUR < binding.since < NOW
    assert binding.until - binding.since == hours * HOUR
    row = (await site.agents())[address]
    assert (row.agent, row.known, row.team) == (agent, True, "A" if agent == "maria" else "B")


async def test_a_tunnel_that_ends_leaves_the_address_to_the_next(site: Site) -> None:
    """OpenVPN, strongSwan and RADIUS say when it ends; who gets the address next starts anew."""
    await site.writes(*lines("OpenVPN", "jose/2001.*(pool|primary|SIGUSR1)"))
    await site.writes(*lines("strongSwan", "(10.3.0.1|10.3.0.2) "))
    assert await site.agents() == {}
    await site.writes(*lines("FreeRADIUS", "onnect: .(maria|jose)"))
    ((agent, since, until),) = site.spans("10.77.0.5")
    assert (agent, until - since) == ("jose", 24 * HOUR)
    await site.stores.history.flush(NOW)
    told = await bindings_told(site.stores.history, NOW)
    ended = {event.orig: event for event in told if event.message == "end"}
    assert ended["10.8.0.3"].until - ended["10.8.0.3"].since == 18.0
    assert {"10.8.0.3", "fd00:8::1001", "10.3.0.1", "10.3.0.2", "10.77.0.5"} <= set(ended)


async def test_a_desk_that_is_handed_on_takes_nobody_along(site: Site) -> None:
    """Ticket, phone and login end with the lease or the card; the next agent starts with none."""
    desk = "192.0.2.77"
    mine = Dhcp(ts=NOW - 2 * HOUR, message="ACK", mac="02:00:00:00:00:01", address=desk)
    await site.pipeline.take_events([mine], NOW)
    await site.writes(
        *lines("OpenSSH 9.2p1", "Accepted publickey for maria"),
        *lines("Asterisk", "SuccessfulAuth.*PJSIP.*IPV4"),
        *lines("krb5kdc", "ISSUE.*192.0.2.77.*|192.0.2.77: ISSUE.*maria"),
    )
    found = site.pipeline.presence.at(desk, NOW)
    assert {(one.agent, one.source, one.mac) for one in found} >= {
        ("maria", "sip", "02:00:00:00:00:01"), ("maria", "login", "02:00:00:00:00:01"),
    }  # fmt: skip
    other = Arp(ts=NOW, operation="reply", mac="02:00:00:00:00:02", address=desk)
    await site.pipeline.take_events([other], NOW)
    assert site.spans(desk) == []
    assert site.pipeline.presence.handed_on(desk, "maria")
    # A line of before that arrives late brings nobody back.
    await site.writes(*lines("Dropbear", "Password auth succeeded for 'maria' from 192"))
    assert site.spans(desk) == []


async def test_a_clock_that_is_ahead_does_not_bind_the_future(site: Site) -> None:
    """A stamp of an hour ahead counts as now, and `status` says whose clock it is."""
    early = NOW - 2 * HOUR
    (line, *_) = lines("OpenSSH 9.2p1", "Accepted publickey for maria")
    await site.writes(line, now=early)
    (binding,) = site.pipeline.presence.at("192.0.2.77", early)
    assert (binding.since, binding.until) == (early, early + 8 * HOUR)
    assert any("ahead" in note for note in site._sources.problems().values())


async def test_forged_names_bind_nobody_to_anothers_address(site: Site) -> None:
    """Whatever is in the names of all lines that were recorded, no address of theirs is bound."""
    await site.writes(*lines("", ""))
    assert not {one for one in await site.agents() if one.startswith(("203.0.113.", "6.6.6.6"))}
