"""A benign day of a BPO site in a million flows, and attacks in two strengths to mix into it.

Made from a seed, the same in every run. Nobody's traffic was recorded for it: shares and sizes are
round figures, so that it shows what is said of the kinds of traffic a site has, not how much of
each a real one has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import STATES, Direction, empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Flows = NDArray[np.void]

__all__ = ["ATTACKS", "Attack", "benign_day"]

DAY = 86_400
START = 1_700_006_400  # 2023-11-15 00:00 UTC
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


def benign_day(total: int = 1_000_000, seed: int = 11) -> Flows:
    """Return the day, by end. Agents 10.20.0.0/20, servers 10.30.0.0/24, voice 10.40.0.0/20."""
    dice = np.random.default_rng(seed)
    agents, servers, voice = v4("10.20.0.0"), v4("10.30.0.0"), v4("10.40.0.0")

    def agent(count: int) -> NDArray[Any]:
        return agents + dice.integers(10, 1500, count)

    def pick(first: str, size: int, count: int) -> NDArray[Any]:
        # Few services take most of the traffic.
        return v4(first) + (dice.zipf(1.3, count) % size)

    n = total / 1000
    out, inward, within = Direction.OUTGOING, Direction.INCOMING, Direction.INTERNAL
    parts = [
        # SaaS and CDNs, over TCP and QUIC; names over the house's resolvers; what fails of it.
        (
            c := round(330 * n),
            {"orig": agent(c), "resp": pick("104.16.0.0", 9000, c), "port": 443, "direction": out},
        ),
        (
            c := round(120 * n),
            {
                "orig": agent(c),
                "resp": pick("142.250.0.0", 4000, c),
                "port": 443,
                "direction": out,
                "proto": 17,
            },
        ),
        (
            c := round(250 * n),
            {
                "orig": agent(c),
                "resp": servers + dice.integers(2, 4, c),
                "port": 53,
                "direction": within,
                "proto": 17,
                "sent": (60, 90),
                "got": (80, 400),
                "seconds": 0.1,
            },
        ),
        (
            c := round(12 * n),
            {
                "orig": agent(c),
                "resp": pick("104.16.0.0", 9000, c),
                "port": 443,
                "direction": out,
                "state": S0,
            },
        ),
        # Calls: registration and media over the provider's few addresses.
        (
            c := round(30 * n),
            {
                "orig": voice + dice.integers(10, 1500, c),
                "resp": pick("185.45.152.0", 8, c),
                "port": 5060,
                "direction": out,
                "proto": 17,
                "sent": (700, 3000),
                "got": (700, 3000),
            },
        ),
        (
            c := round(30 * n),
            {
                "orig": voice + dice.integers(10, 1500, c),
                "resp": pick("185.45.153.0", 64, c),
                "port": dice.integers(10_000, 20_000, c),
                "direction": out,
                "proto": 17,
                "sent": (200_000, 2_000_000),
                "got": (200_000, 2_000_000),
                "seconds": 180,
            },
        ),
        # Mail in from everywhere, and from one relay; out; clients at our server and abroad.
        (
            c := round(15 * n),
            {
                "orig": pick("40.92.0.0", 5000, c),
                "resp": servers + 25,
                "port": 25,
                "direction": inward,
                "sent": (2500, 90_000),
                "got": (1500, 6000),
            },
        ),
        (
            c := round(12 * n),
            {
                "orig": servers + 25,
                "resp": pick("52.100.0.0", 6000, c),
                "port": 25,
                "direction": out,
                "sent": (2500, 90_000),
                "got": (1500, 6000),
            },
        ),
        (
            c := round(1 * n),
            {
                "orig": servers + 25,
                "resp": pick("52.100.0.0", 6000, c),
                "port": 25,
                "direction": out,
                "state": S0,
            },
        ),
        (
            c := round(25 * n),
            {
                "orig": agent(c),
                "resp": servers + 25,
                "port": 993,
                "direction": within,
                "sent": (900, 4000),
                "got": (1500, 9000),
            },
        ),
        # Partners behind one address each, whose people work on our servers.
        (
            c := round(40 * n),
            {
                "orig": v4("198.51.100.0") + dice.integers(1, 6, c),
                "resp": servers + 80,
                "port": 443,
                "direction": inward,
            },
        ),
        (
            c := round(4 * n),
            {
                "orig": v4("198.51.100.0") + dice.integers(1, 6, c),
                "resp": servers + 89,
                "port": 3389,
                "direction": inward,
                "sent": (40_000, 4_000_000),
                "got": (400_000, 40_000_000),
                "seconds": 1800,
            },
        ),
        # Printers, files, directory.
        (
            c := round(30 * n),
            {
                "orig": agent(c),
                "resp": servers + 45,
                "port": 445,
                "direction": within,
                "sent": (2000, 400_000),
                "got": (2000, 900_000),
            },
        ),
        (
            c := round(6 * n),
            {
                "orig": agent(c),
                "resp": v4("10.20.15.0") + dice.integers(1, 30, c),
                "port": 9100,
                "direction": within,
                "sent": (20_000, 4_000_000),
                "got": (400, 900),
            },
        ),
        (
            c := round(25 * n),
            {
                "orig": agent(c),
                "resp": servers + dice.integers(2, 4, c),
                "port": 88,
                "direction": within,
                "sent": (1500, 4000),
                "got": (1500, 4000),
                "seconds": 0.2,
            },
        ),
        # Peers of one file sharer, a part of them gone; admins' SSH and scripts; backups at night.
        (
            c := round(2 * n),
            {
                "orig": agents + 77,
                "resp": v4("91.0.0.0") + dice.integers(0, 1 << 22, c),
                "port": dice.integers(1025, 65_000, c),
                "direction": out,
                "proto": 17,
                "sent": (100, 500),
                "got": (100, 900),
            },
        ),
        (
            c := round(1 * n),
            {
                "orig": agents + 77,
                "resp": v4("91.0.0.0") + dice.integers(0, 1 << 22, c),
                "port": dice.integers(1025, 65_000, c),
                "direction": out,
                "state": S0,
            },
        ),
        (
            c := round(4 * n),
            {
                "orig": servers + 9,
                "resp": servers + dice.integers(20, 90, c),
                "port": 22,
                "direction": within,
                "sent": (3000, 200_000),
                "got": (3000, 900_000),
            },
        ),
        (
            c := 60,
            {
                "orig": servers + dice.integers(20, 90, c),
                "resp": servers + 200,
                "port": 873,
                "direction": within,
                "sent": (90_000_000, 4_000_000_000),
                "got": (90_000, 900_000),
                "at": dice.uniform(3600, 9000, c),
                "seconds": 600,
            },
        ),
        # The internet's noise at our public address.
        (
            c := round(8 * n),
            {
                "orig": V4_PREFIX | dice.integers(0x0B000000, 0xDF000000, c),
                "resp": v4("192.0.2.10"),
                "port": dice.choice([22, 23, 80, 443, 445, 3389, 8080, 5060, 1433, 2323], c),
                "direction": inward,
                "state": S0,
                "at": dice.uniform(0, DAY, c),
            },
        ),
    ]
    made = [flows(dice, count, **kind) for count, kind in parts]
    # Monitoring by the minute, with five devices that are gone; updaters and telemetry by the hour.
    servers_of = {"orig": servers + 5, "direction": within}
    for interval, who, source, target, kind in (
        (60.0, 25, None, servers + 20, servers_of | {"port": 161, "proto": 17}),
        (60.0, 5, None, servers + 240, servers_of | {"port": 443, "state": S0}),
        (3600.0, 1400, agents + 10, v4("20.190.128.0"), {"port": 443, "direction": out}),
    ):
        times, callers = every(interval, who, dice)
        ends: dict[str, Any] = {"resp": target + callers}
        if source is not None:
            ends = {"orig": source + callers, "resp": target}
        made.append(flows(dice, len(times), at=times, **(kind | ends)))
    whole = np.concatenate(made)
    ordered: Flows = whole[np.argsort(whole["end"], kind="stable")]
    return ordered


class Attack(NamedTuple):
    """What is mixed in: the rule that must tell of it, and its subject, by strength."""

    rule: str
    subject: str
    make: Callable[[np.random.Generator, int], Flows]


def _probes(orig: str, resp: Any, port: Any, count: int, seconds: float) -> Callable[..., Flows]:
    def make(dice: np.random.Generator, strength: int) -> Flows:
        many = count * strength
        return flows(
            dice, many, orig=v4(orig), resp=resp(many), port=port(many),
            direction=Direction.INCOMING, state=S0, at=30_000 + np.linspace(0, seconds, many),
        )  # fmt: skip

    return make


def _from_inside(**kind: Any) -> Callable[..., Flows]:
    def make(dice: np.random.Generator, strength: int) -> Flows:
        given: dict[str, Any] = {
            name: value(strength) if callable(value) else value for name, value in kind.items()
        }
        return flows(dice, direction=Direction.OUTGOING, **given)

    return make


def _shared(dice: np.random.Generator, strength: int) -> Flows:
    many = 90 * strength
    return flows(
        dice, many, orig=v4("203.0.114.0") + np.arange(many) % (30 * strength),
        resp=v4("192.0.2.20"), port=1 + np.arange(many), direction=Direction.INCOMING, state=S0,
        at=50_000 + np.linspace(0, 300, many),
    )  # fmt: skip


def _guesses(port: int, orig: str) -> Callable[..., Flows]:
    def make(dice: np.random.Generator, strength: int) -> Flows:
        many = 24 * strength
        made = flows(
            dice, many, orig=v4(orig), resp=v4("10.30.0.89"), port=port,
            direction=Direction.INCOMING, sent=(1900, 2400), got=(1900, 2600), seconds=2.0,
            at=40_000 + np.linspace(0, 300, many),
        )  # fmt: skip
        made["orig_packets"] = made["resp_packets"] = 14
        return made

    return make


def _flood(dice: np.random.Generator, strength: int) -> Flows:
    many = 400 * strength
    return flows(
        dice, many, orig=V4_PREFIX | dice.integers(0x0B000000, 0xDF000000, many),
        resp=v4("192.0.2.30"), port=443, direction=Direction.INCOMING, state=S0,
        at=60_000 + np.linspace(0, 8, many),
    )  # fmt: skip


ATTACKS = (
    Attack(
        "port-scan",
        "203.0.113.1",
        _probes(
            "203.0.113.1",
            lambda n: np.full(n, v4("192.0.2.10")),
            lambda n: 1 + np.arange(n),
            30,
            120,
        ),
    ),
    Attack(
        "port-scan",
        "203.0.113.2",
        _probes(
            "203.0.113.2",
            lambda n: v4("192.0.2.0") + np.arange(n),
            lambda n: np.full(n, 445),
            30,
            120,
        ),
    ),
    Attack(
        "slow-scan",
        "203.0.113.3",
        _probes(
            "203.0.113.3",
            lambda n: np.full(n, v4("192.0.2.10")),
            lambda n: 1 + np.arange(n),
            48,
            40_000,
        ),
    ),
    Attack("distributed-scan", "192.0.2.20", _shared),
    Attack("password-guessing", "203.0.113.4", _guesses(22, "203.0.113.4")),
    Attack("password-guessing", "203.0.113.5", _guesses(3389, "203.0.113.5")),
    Attack("flood", "192.0.2.30", _flood),
    Attack(
        "beaconing",
        "10.20.1.5",
        _from_inside(
            count=lambda s: 24 * s,
            orig=v4("10.20.1.5"),
            resp=v4("45.9.9.9"),
            port=443,
            sent=(600, 660),
            got=(900, 1000),
            seconds=0.3,
            at=lambda s: 20_000 + np.arange(24 * s) * 600.0,
        ),
    ),
    Attack(
        "unusual-upload",
        "10.20.1.6",
        _from_inside(
            count=lambda s: 2 * s,
            orig=v4("10.20.1.6"),
            resp=v4("45.9.9.10"),
            port=443,
            sent=(70_000_000, 90_000_000),
            at=lambda s: 70_000 + np.arange(2 * s) * 60.0,
        ),
    ),
    Attack(
        "policy-bypass",
        "10.20.1.7",
        _from_inside(
            count=lambda s: s,
            orig=v4("10.20.1.7"),
            resp=v4("45.9.9.11"),
            port=1194,
            proto=17,
            sent=(90_000, 900_000),
            at=lambda s: 71_000 + np.arange(s) * 60.0,
        ),
    ),
)
