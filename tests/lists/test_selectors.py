"""Ranges, countries, operators, names and agents as entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipwatchd.lists import Lists
from ipwatchd.lists.compile import merge, network_ranges
from ipwatchd.records.address import address_array
from ipwatchd.records.network import canonical

if TYPE_CHECKING:
    from pathlib import Path


def denied(lists: Lists, *addresses: str) -> list[bool]:
    """Ask the evaluator."""
    asked = address_array(addresses)
    found: list[bool] = lists.denied(asked["hi"], asked["lo"]).tolist()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.7-203.0.113.20", "203.0.113.7-203.0.113.20"),
        ("203.0.113.0 - 203.0.113.255", "203.0.113.0/24"),
        ("2001:db8::1-2001:db8::9", "2001:db8::1-2001:db8::9"),
        ("country:ru", "country:RU"),
        ("ASN:AS64500", "asn:64500"),
        ("name:VPN.Example.COM.", "name:vpn.example.com"),
        ("name:bücher.example", "name:xn--bcher-kva.example"),
        ("agent:maria", "agent:maria"),
    ],
)
def test_one_way_to_write_each(text: str, expected: str) -> None:
    """What people type becomes one canonical text, which stays as it is."""
    assert canonical(text)[0] == expected
    assert canonical(expected)[0] == expected


@pytest.mark.parametrize(
    "text",
    ["203.0.113.20-203.0.113.7", "203.0.113.7-2001:db8::1", "a-b", "country:russia", "country:",
     "asn:x", "asn:4294967296", "name:", "name:localhost", "name:a b.example", "agent:", "-"],
)  # fmt: skip
def test_what_chooses_nobody_is_refused_in_a_sentence(text: str) -> None:
    """Slips are named, never guessed at."""
    with pytest.raises(ValueError, match=r"\w"):
        canonical(text)


async def test_a_range_is_an_entry(tmp_path: Path) -> None:
    """It denies its ends and what is between, says why, and comes off again."""
    lists = await Lists.open(tmp_path, management=["203.0.113.50"])
    await lists.add("deny", "203.0.113.7-203.0.113.20", reason="x", author="maria", now=1.0)
    assert denied(lists, "203.0.113.6", "203.0.113.7", "203.0.113.20", "203.0.113.21") == [
        False, True, True, False,
    ]  # fmt: skip
    found = lists.why("203.0.113.9", 2.0)
    assert found.decided_by is not None
    assert found.decided_by.network == "203.0.113.7-203.0.113.20"
    with pytest.raises(ValueError, match="management"):
        await lists.add("deny", "203.0.113.40-203.0.113.60", reason="x", author="m", now=1.0)
    await lists.close()
    again = await Lists.open(tmp_path)
    assert denied(again, "203.0.113.9") == [True]
    await again.remove("deny", "203.0.113.7-203.0.113.20", author="m", reason="over", now=3.0)
    assert denied(again, "203.0.113.9") == [False]
    await again.close()


async def test_a_selector_stands_for_what_it_is_bound_to(tmp_path: Path) -> None:
    """Nobody until bound, then its networks, then others; a restart begins with nobody."""
    lists = await Lists.open(tmp_path)
    await lists.add("deny", "country:ru", reason="x", author="maria", now=1.0)
    await lists.add("allow", "asn:64500", reason="partner", author="maria", now=1.0)
    assert lists.selectors() == {"country:RU", "asn:64500"}
    assert denied(lists, "198.51.100.1") == [False]
    bound = {
        "country:RU": merge(network_ranges(["198.51.100.0/24", "2001:db8::/32"])),
        "asn:64500": network_ranges(["198.51.100.64/26"]),
    }
    assert await lists.bind(bound)
    assert not await lists.bind(bound)
    assert denied(lists, "198.51.100.1", "2001:db8::1", "198.51.100.65") == [True, True, False]
    assert lists.why("198.51.100.1", 2.0).text.startswith("198.51.100.1 is denied: country:RU")
    assert len(lists.policy("enforce", (), now=2.0).deny) == 2
    await lists.bind({"country:RU": network_ranges(["192.0.2.0/24"])})
    assert denied(lists, "198.51.100.1", "192.0.2.1") == [False, True]
    await lists.close()
    again = await Lists.open(tmp_path)
    assert denied(again, "192.0.2.1", "::") == [False, False]
    await again.bind({"country:RU": network_ranges(["192.0.2.0/24"])})
    assert denied(again, "192.0.2.1") == [True]
    await again.remove("deny", "country:RU", author="m", reason="over", now=3.0)
    assert denied(again, "192.0.2.1") == [False]
    assert again.selectors() == {"asn:64500"}
    await again.close()
