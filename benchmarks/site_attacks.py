"""Attacks to mix into a site's day: at strength 1 they make 1.2 to 2.4 times what the line is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from site_day import S0, flows, v4

from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from collections.abc import Callable

    from site_day import Flows

__all__ = ["ATTACKS", "Attack"]


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
