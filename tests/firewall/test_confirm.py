"""A mode that waits to be confirmed ends in the kernel, whoever lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.policy import Policy


@pytest.mark.parametrize("confirmed", [False, True])
def test_the_kernel_itself_rolls_back_when_the_daemon_is_gone(
    site: Any, policy: Callable[..., Policy], confirmed: bool
) -> None:
    """Closed (as after kill -9) it goes on dropping until its time, then no more; confirmed, on."""
    outside, inside = site.OUTSIDE[4], site.INSIDE[4]
    with site.listener(site.inside, inside):
        with site.firewall() as firewall:
            now = time.time()
            waiting = policy("enforce", [outside])._replace(enforce_until=now + 1.0)
            firewall.apply(waiting, now)
            assert not site.connects(site.outside, outside, inside)
            if confirmed:
                done = firewall.apply(waiting._replace(enforce_until=0.0), now)
                assert not done.rebuilt
        until = time.monotonic() + 5
        while not confirmed and time.monotonic() < until:
            if site.connects(site.outside, outside, inside):
                break
        else:
            time.sleep(1.2 if confirmed else 0)
        assert site.connects(site.outside, outside, inside) != confirmed
        assert ("elements" in site.nft("list", "set", "inet", "ipwatchd", "enforcing")) == confirmed


def test_a_mode_is_two_elements(site: Any, policy: Callable[..., Policy]) -> None:
    """Observe to enforce and back sends three messages at most, whatever the lists hold."""
    many = [f"198.51.{one >> 8}.{one & 255}" for one in range(2000)]
    with site.firewall(kill_connections=False) as firewall:
        firewall.apply(policy("observe", many), 1000.0)
        for mode in ("enforce", "observe", "enforce"):
            done = firewall.apply(policy(mode, many), 1000.0)
            assert (done.rebuilt, done.messages <= 3, done.bytes < 500) == (False, True, True)
            assert firewall.status().mode == mode
            assert firewall.check(1000.0)
        site.nft("flush", "set", "inet", "ipwatchd", "enforcing")
        assert not firewall.check(1000.0)
        assert firewall.status().drift == "the table does not enforce"


@pytest.mark.parametrize("confirmed", [False, True])
def test_the_kernel_itself_drops_again_when_the_daemon_is_gone(
    site: Any, policy: Callable[..., Policy], confirmed: bool
) -> None:
    """A pause that nobody confirms ends by itself, in the kernel; a confirmed one does not."""
    outside, inside = site.OUTSIDE[4], site.INSIDE[4]
    with site.listener(site.inside, inside):
        with site.firewall() as firewall:
            now = time.time()
            firewall.apply(policy("enforce", [outside]), now)
            assert not site.connects(site.outside, outside, inside)
            waiting = policy("enforce", [outside])._replace(enforce_from=now + 1.0)
            assert not firewall.apply(waiting, now).rebuilt
            assert firewall.status().mode == "observe"
            assert firewall.check(now)
            assert not firewall.diff(waiting, now)
            assert site.connects(site.outside, outside, inside)
            if confirmed:
                assert not firewall.apply(policy("observe", [outside]), now).rebuilt
        time.sleep(max(now + 1.3 - time.time(), 0))
        assert site.connects(site.outside, outside, inside) == confirmed
