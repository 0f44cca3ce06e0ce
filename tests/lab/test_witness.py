"""What nft says is read as nft means it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipwatchd.lab.witness import Kernel, kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.lab.netns import Namespace

_TABLE = """
table inet ipwatchd {
    set deny4 { type ipv4_addr; flags timeout;
        elements = { 203.0.113.66 timeout 1h, 192.0.2.13 } }
    set deny4_nets { type ipv4_addr; flags interval;
        elements = { 198.51.100.0/24, 10.9.0.1-10.9.0.7, 10.8.0.0-10.8.0.128 } }
    set allow4 { type ipv4_addr; elements = { 192.0.2.99 } }
    chain forward { type filter hook forward priority 0;
        ip saddr @deny4 counter packets 3 bytes 180 drop
        ip daddr @deny4_nets counter packets 4 bytes 240 drop
        counter packets 100 bytes 6000 accept
    }
}
"""


def test_addresses_ranges_and_dropped_packets_are_read(
    namespace: Callable[[str], Namespace],
) -> None:
    """Deny sets alone count; neighbours in one span are single addresses; drops are added up."""
    gateway = namespace("gateway")
    gateway.run(["nft", "-f", "-"], input=_TABLE)
    seen = kernel(gateway)
    singles = {"203.0.113.66", "192.0.2.13", *(f"10.9.0.{last}" for last in range(1, 8))}
    assert seen.denied == {*singles, "198.51.100.0/24", "10.8.0.0/25", "10.8.0.128"}
    assert (seen.dropped, seen.rules) == (7, 3)


def test_no_table_is_an_empty_answer(namespace: Callable[[str], Namespace]) -> None:
    """Before the daemon is up there is nothing to list."""
    assert kernel(namespace("gateway")) == Kernel(frozenset(), 0, 0)
