"""What entries meet: counted by the kernel, an element each, and told an entry each."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.firewall import Hits, Met, Tally, codec
from ipwatchd.firewall.kernel import read_flowtables
from ipwatchd.records.address import network_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.policy import Policy


def ends(text: str) -> tuple[int, int]:
    """Return the ends of a network as numbers."""
    (first_hi, first_lo), (last_hi, last_lo) = network_range(ipaddress.ip_network(text))
    return first_hi << 64 | first_lo, last_hi << 64 | last_lo


def test_the_kernel_counts_each_entry(site: Any, policy: Callable[..., Policy]) -> None:
    """Three echo requests of a denied host and one of another: each entry has its own number."""
    for mode in ("observe", "enforce"):
        with site.firewall(kill_connections=False) as firewall:
            denied = ["203.0.113.2", "2001:db8:113::/64", "198.51.100.0/24", "240.0.0.0/4"]
            firewall.apply(policy(mode, denied, ["2001:db8:113::3"]), 1000.0)
            for _ in range(3):
                site.echo(site.outside, site.OUTSIDE[4], site.GATEWAY[4])
            site.echo(site.outside, site.OTHER[6], site.GATEWAY[6])
            tally = Tally(firewall.hits())
            asked = "denied echo requests and, where observed, the answers to them"
            found = tally.met("deny", [ends("203.0.113.2/32")])
            assert found == Met(*((3, 84) if mode == "enforce" else (6, 168))), asked
            assert tally.met("deny", [ends("198.51.100.0/24")]) == Met(0, 0)
            assert tally.met("deny", [ends("240.0.0.0/4")]) == Met(0, 0)
            assert tally.met("deny", [ends("2001:db8:113::/64")]).packets > 0
            assert tally.met("allow", [ends("2001:db8:113::3/128")]).packets > 0
            assert tally.met("deny", [ends("192.0.2.1/32")]) is None
        shown = site.nft("list", "set", "inet", "ipwatchd", "deny4")
        assert f"203.0.113.2 counter packets {found.packets} bytes {found.bytes}" in shown
        assert "counter" not in site.nft("list", "set", "inet", "ipwatchd", "management4")


ROWS = st.lists(st.integers(0, 400), max_size=40, unique=True).map(sorted)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)).map(sorted), max_size=5))
def test_a_tally_is_a_sum(points: list[int], asked: list[list[int]]) -> None:
    """What shares an address with a range counts, once, whatever the number of ranges."""
    elements = [
        Hits("deny", first, last, first + 1, 2 * last)
        for first, last in zip(points[::2], points[1::2], strict=False)
    ]
    found = Tally(elements).met("deny", [(first, last) for first, last in asked])
    shared = [
        one for one in elements
        if any(one.first <= last and first <= one.last for first, last in asked)
    ]  # fmt: skip
    wanted = Met(sum(one.packets for one in shared), sum(one.bytes for one in shared))
    assert found == (wanted if shared else None)


def test_a_flowtable_in_use_is_named(site: Any) -> None:
    """One that a rule fills by-passes ours and is named; one that nobody fills does nothing.

    The messages are as linux/netfilter/nf_tables.h has them; not every kernel is built with it.
    """

    def message(name: str, use: int, flags: int) -> memoryview:
        where = codec.text(1, "fast") + codec.text(2, name)
        return memoryview(bytes(4) + where + codec.u32(4, use) + codec.u32(7, flags))

    bodies = [message("idle", 0, 0), message("ft", 1, 0), message("card", 2, 1)]
    assert read_flowtables(bodies) == ("fast ft", "fast card (in the network card)")
    with site.firewall() as firewall:
        assert firewall.flowtables() == firewall.status().flowtables == ()
