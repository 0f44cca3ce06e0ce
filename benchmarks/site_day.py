"""A benign day of a BPO site in a million flows; site_attacks.py has what is mixed into it.

Made from a seed, the same in every run. Nobody's traffic was recorded for it: shares and sizes are
round figures, so that it shows what is said of the kinds of traffic a site has, not how much of
each a real one has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import STATES, Direction, empty_flows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Flows = NDArray[np.void]
    Kind = tuple[int, dict[str, Any]]

__all__ = ["DAY", "REJ", "S0", "SF", "START", "benign_day", "flows", "v4"]

DAY = 86_400
START = 1_700_006_400  # 2023-11-15 00:00 UTC
OUT, INWARD, WITHIN = Direction.OUTGOING, Direction.INCOMING, Direction.INTERNAL
SF, S0, REJ = (STATES.index(name) for name in ("SF", "S0", "REJ"))


def v4(text: str) -> int:
    """Return an address as the low half of a column."""
    a, b, c, d = map(int, text.split("."))
    return V4_PREFIX | a << 24 | b << 16 | c << 8 | d


def flows(
    dice: np.random.Generator, count: int, *, orig: Any, resp: Any, port: Any, direction: int,
    sent: tuple[int, int] = (600, 6000), got: tuple[int, int] = (1500, 60_000), proto: int = 6,
    state: int = SF, seconds: float = 20.0, at: Any = None,
) -> Flows:  # fmt: skip
    """Return flows of one kind; times over the day unless given (s of the day)."""
    made = empty_flows(count)
    made["orig_lo"], made["resp_lo"], made["resp_port"] = orig, resp, port
    made["orig_port"] = dice.integers(32_768, 60_999, count)
    made["proto"], made["state"], made["direction"] = proto, state, direction
    begun = at if at is not None else working(dice, count)
    made["start"] = ((START + np.asarray(begun)) * 1e9).astype(np.int64)
    made["end"] = made["start"] + (dice.exponential(seconds, count) * 1e9).astype(np.int64)
    made["orig_bytes"] = dice.integers(*sent, count)
    made["orig_packets"] = made["orig_bytes"] // 400 + 3
    made["orig_flags"] = 27 if proto == 6 else 0
    if state in {S0, REJ}:
        made["orig_packets"], made["orig_bytes"], made["orig_flags"] = 1, 44, 2
        made["end"] = made["start"]
        answer = int(state == REJ)
        made["resp_packets"], made["resp_bytes"], made["resp_flags"] = (
            answer,
            40 * answer,
            20 * answer,
        )
        return made
    made["resp_bytes"] = dice.integers(*got, count)
    made["resp_packets"] = made["resp_bytes"] // 900 + 2
    made["resp_flags"] = 27 if proto == 6 else 0
    return made


def working(dice: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return seconds of the day: most within two shifts."""
    hours = dice.normal(12.0, 4.0, count) % 24
    return np.asarray(hours * 3600)


def every(
    interval: float, who: int, dice: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return times and callers of `who` that call every so many seconds, each at its own offset."""
    times = np.arange(0, DAY, interval)
    callers = np.repeat(np.arange(who), len(times))
    offsets = dice.uniform(0, interval, who)[callers]
    return np.tile(times, who) + offsets, callers


class Site:
    """Who is there: agents 10.20.0.0/20, servers 10.30.0.0/24, voice 10.40.0.0/20."""

    def __init__(self, dice: np.random.Generator, total: int) -> None:
        self.dice = dice
        self.agents, self.servers, self.phones = map(v4, ("10.20.0.0", "10.30.0.0", "10.40.0.0"))
        self._total = total

    def share(self, thousandths: float) -> int:
        """Return how many flows a share of the day is."""
        return round(thousandths * (self._total / 1000))

    def agent(self, count: int) -> NDArray[Any]:
        """Return agents by chance."""
        return self.agents + self.dice.integers(10, 1500, count)

    def phone(self, count: int) -> NDArray[Any]:
        """Return phones by chance."""
        return self.phones + self.dice.integers(10, 1500, count)

    def resolver(self, count: int) -> NDArray[Any]:
        """Return the house's two resolvers, which are its directory servers."""
        return self.servers + self.dice.integers(2, 4, count)

    def pick(self, first: str, size: int, count: int) -> NDArray[Any]:
        """Return addresses abroad: few services take most of the traffic."""
        return v4(first) + (self.dice.zipf(1.3, count) % size)

    def partner(self, count: int) -> NDArray[Any]:
        """Return partners, each behind one address."""
        return v4("198.51.100.0") + self.dice.integers(1, 6, count)

    def peer(self, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return peers of a file sharer and their ports."""
        hosts = v4("91.0.0.0") + self.dice.integers(0, 1 << 22, count)
        return hosts, self.dice.integers(1025, 65_000, count)


# Each returns kinds of flows: how many, and what `flows` is given. The dice are thrown in the order
# of the lines, so that a line moved is another day.


def web(site: Site) -> list[Kind]:
    """SaaS and CDNs, over TCP and QUIC; names over the house's resolvers; what fails of it."""
    saas, quic, names, failed = map(site.share, (330, 120, 250, 12))
    return [
        (saas, _to(site.agent(saas), site.pick("104.16.0.0", 9000, saas), 443, OUT)),
        (quic, _to(site.agent(quic), site.pick("142.250.0.0", 4000, quic), 443, OUT, proto=17)),
        (names, _to(
            site.agent(names), site.resolver(names), 53, WITHIN, proto=17, sent=(60, 90),
            got=(80, 400), seconds=0.1,
        )),
        (failed, _to(
            site.agent(failed), site.pick("104.16.0.0", 9000, failed), 443, OUT, state=S0,
        )),
    ]  # fmt: skip


def calls(site: Site) -> list[Kind]:
    """Registration and media over the provider's few addresses."""
    told = media = site.share(30)
    signal, voice = (700, 3000), (200_000, 2_000_000)
    return [
        (told, _to(
            site.phone(told), site.pick("185.45.152.0", 8, told), 5060, OUT, proto=17, sent=signal,
            got=signal,
        )),
        (media, _to(
            site.phone(media), site.pick("185.45.153.0", 64, media),
            site.dice.integers(10_000, 20_000, media), OUT, proto=17, sent=voice, got=voice,
            seconds=180,
        )),
    ]  # fmt: skip


def mail(site: Site) -> list[Kind]:
    """In from everywhere, and from one relay; out; clients at our server and abroad."""
    came, went, failed, read = map(site.share, (15, 12, 1, 25))
    server = site.servers + 25
    letter = {"sent": (2500, 90_000), "got": (1500, 6000)}
    return [
        (came, _to(site.pick("40.92.0.0", 5000, came), server, 25, INWARD, **letter)),
        (went, _to(server, site.pick("52.100.0.0", 6000, went), 25, OUT, **letter)),
        (failed, _to(server, site.pick("52.100.0.0", 6000, failed), 25, OUT, state=S0)),
        (read, _to(site.agent(read), server, 993, WITHIN, sent=(900, 4000), got=(1500, 9000))),
    ]


def partners(site: Site) -> list[Kind]:
    """Partners behind one address each, whose people work on our servers."""
    pages, desks = map(site.share, (40, 4))
    return [
        (pages, _to(site.partner(pages), site.servers + 80, 443, INWARD)),
        (desks, _to(
            site.partner(desks), site.servers + 89, 3389, INWARD, sent=(40_000, 4_000_000),
            got=(400_000, 40_000_000), seconds=1800,
        )),
    ]  # fmt: skip


def house(site: Site) -> list[Kind]:
    """Printers, files, directory."""
    files, prints, tickets = map(site.share, (30, 6, 25))
    return [
        (files, _to(
            site.agent(files), site.servers + 45, 445, WITHIN, sent=(2000, 400_000),
            got=(2000, 900_000),
        )),
        (prints, _to(
            site.agent(prints), v4("10.20.15.0") + site.dice.integers(1, 30, prints), 9100, WITHIN,
            sent=(20_000, 4_000_000), got=(400, 900),
        )),
        (tickets, _to(
            site.agent(tickets), site.resolver(tickets), 88, WITHIN, sent=(1500, 4000),
            got=(1500, 4000), seconds=0.2,
        )),
    ]  # fmt: skip


def odd(site: Site) -> list[Kind]:
    """Peers of one file sharer, a part of them gone; admins' SSH and scripts; backups at night."""
    here, gone, scripts, backups = *map(site.share, (2, 1, 4)), 60
    sharer, dice = site.agents + 77, site.dice
    return [
        (here, _to(sharer, *site.peer(here), OUT, proto=17, sent=(100, 500), got=(100, 900))),
        (gone, _to(sharer, *site.peer(gone), OUT, state=S0)),
        (scripts, _to(
            site.servers + 9, site.servers + dice.integers(20, 90, scripts), 22, WITHIN,
            sent=(3000, 200_000), got=(3000, 900_000),
        )),
        (backups, _to(
            site.servers + dice.integers(20, 90, backups), site.servers + 200, 873, WITHIN,
            sent=(90_000_000, 4_000_000_000), got=(90_000, 900_000),
            at=dice.uniform(3600, 9000, backups), seconds=600,
        )),
    ]  # fmt: skip


def noise(site: Site) -> list[Kind]:
    """The internet's noise at our public address."""
    count, dice = site.share(8), site.dice
    return [
        (count, _to(
            V4_PREFIX | dice.integers(0x0B000000, 0xDF000000, count), v4("192.0.2.10"),
            dice.choice([22, 23, 80, 443, 445, 3389, 8080, 5060, 1433, 2323], count), INWARD,
            state=S0, at=dice.uniform(0, DAY, count),
        )),
    ]  # fmt: skip


def clockwork(site: Site) -> Iterator[Flows]:
    """Yield monitoring by the minute, five devices gone, and updaters and telemetry by the hour."""
    monitor, update = site.servers + 5, v4("20.190.128.0")
    for interval, who, ends in (
        (60.0, 25, lambda n: _to(monitor, site.servers + 20 + n, 161, WITHIN, proto=17)),
        (60.0, 5, lambda n: _to(monitor, site.servers + 240 + n, 443, WITHIN, state=S0)),
        (3600.0, 1400, lambda n: _to(site.agents + 10 + n, update, 443, OUT)),
    ):
        times, callers = every(interval, who, site.dice)
        yield flows(site.dice, len(times), at=times, **ends(callers))


def benign_day(total: int = 1_000_000, seed: int = 11) -> Flows:
    """Return the day, by end."""
    site = Site(np.random.default_rng(seed), total)
    parts = (web, calls, mail, partners, house, odd, noise)
    kinds = [kind for part in parts for kind in part(site)]
    made = [flows(site.dice, count, **given) for count, given in kinds]
    whole = np.concatenate([*made, *clockwork(site)])
    ordered: Flows = whole[np.argsort(whole["end"], kind="stable")]
    return ordered


def _to(orig: Any, resp: Any, port: Any, direction: int, **more: Any) -> dict[str, Any]:
    return {"orig": orig, "resp": resp, "port": port, "direction": direction} | more
