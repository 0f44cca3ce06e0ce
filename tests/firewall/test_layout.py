"""Policy → sets and changes, and elements → messages: pure, against plain references."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.firewall import codec
from ipwatchd.firewall.elements import ELEMENT_BYTES, Kind, element_messages, read_elements
from ipwatchd.firewall.layout import (
    LIVE,
    changes,
    columns,
    distribute,
    in_force,
    range_text,
    sizes,
)
from ipwatchd.firewall.rules import set_change
from ipwatchd.records.policy import RANGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ipwatchd.records.policy import Policy


def rows_of(pairs: list[tuple[int, int]]) -> NDArray[np.void]:
    """Return single ranges of (number, expires), sorted."""
    rows = np.zeros(len(pairs), RANGE)
    for row, (number, expires) in enumerate(sorted(pairs)):
        rows[row] = (0, number, 0, number, expires)
    return rows


PAIRS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 2)), unique_by=lambda pair: pair[0], max_size=30
)


@settings(max_examples=200, deadline=None)
@given(PAIRS, PAIRS)
def test_changes_are_the_set_difference(
    held: list[tuple[int, int]], wanted: list[tuple[int, int]]
) -> None:
    """What is added and removed is what a set of tuples says, in order."""
    more, less = changes(rows_of(held), rows_of(wanted))
    assert more["first_lo"].tolist() == sorted(n for n, _ in set(wanted) - set(held))
    assert less["first_lo"].tolist() == sorted(n for n, _ in set(held) - set(wanted))


def test_every_range_is_in_one_set(policy: Callable[..., Policy]) -> None:
    """Family, length and list decide; what has expired is in none."""
    wanted = policy(
        "enforce",
        ["192.0.2.1", "192.0.2.2-192.0.2.3", "198.51.100.1 999", "2001:db8::1 1001",
         "2001:db9::/32"],
        ["192.0.2.9"], ["10.0.0.0/8 5", "fd00::/8"],
    )  # fmt: skip
    held = distribute(in_force(wanted, 1000.0), LIVE)
    found = {name: [range_text(row) for row in rows] for name, rows in held.items()}
    assert found == {
        "management4": ["10.0.0.0/8"], "management6": ["fd00::/8"],
        "allow4": ["192.0.2.9"], "allow6": [],
        "deny4": ["192.0.2.1"], "deny4_nets": ["192.0.2.2/31"],
        "deny6": ["2001:db8::1"], "deny6_nets": ["2001:db9::/32"],
    }  # fmt: skip
    assert held["management4"]["expires"].tolist() == [0]


def test_columns_at_the_edges(ranges: Any) -> None:
    """The address after the last carries; at the top there is none; time left is rounded up."""
    rows = ranges("0.0.0.0 1000.0001", "10.255.255.255", "255.0.0.0/8 900")
    found = columns(rows, 4, 1000.0)
    assert found.first.tolist() == [[0, 0, 0, 0], [10, 255, 255, 255], [255, 0, 0, 0]]
    assert found.after.tolist() == [[0, 0, 0, 1], [11, 0, 0, 0], [0, 0, 0, 0]]
    assert found.open.tolist() == [False, False, True]
    assert found.milliseconds.tolist() == [1, 0, 1]
    six = columns(ranges("2001:db8::-2001:db8::ffff:ffff:ffff:ffff"), 6, 0.0)
    assert ipaddress.ip_address(six.after.tobytes()) == ipaddress.ip_address("2001:db8:0:1::")
    top = columns(ranges("ff00::/8"), 6, 0.0)
    assert top.open.tolist() == [True]


def test_room_is_bounded() -> None:
    """Hash sets have room to double; an absurd list is refused in a sentence."""
    assert sizes({}) == {"deny4": 1 << 14, "deny6": 1 << 14}
    assert sizes({"deny4": 100_000})["deny4"] >= 200_000
    with pytest.raises(OverflowError, match="take feeds out"):
        sizes({"deny4": (1 << 23) + 1})


@pytest.mark.parametrize("key", [4, 16])
@pytest.mark.parametrize("timeout", [False, True])
@pytest.mark.parametrize("interval", [False, True])
def test_packed_elements_equal_written_ones(key: int, timeout: bool, interval: bool) -> None:
    """Numpy's rows are, to the byte, what the attribute writer makes one by one."""
    rng = np.random.default_rng(5)
    first = rng.integers(0, 256, (7, key), np.uint8)
    after = rng.integers(0, 256, (7, key), np.uint8)
    left = rng.integers(1, 1 << 40, 7).astype(np.uint64)
    kind = Kind(key, timeout, interval)
    built = element_messages(
        "t", "s", kind, first, after if interval else None, left if timeout else None
    )
    items = []
    for row in range(7):
        value = codec.nested(1, codec.attribute(1, first[row].tobytes()))
        ends = codec.u64(4, int(left[row])) if timeout else b""
        items.append(value + ends)
        if interval:
            value = codec.nested(1, codec.attribute(1, after[row].tobytes()))
            items.append(codec.u32(3, 1) + value)
    expected = codec.message(
        codec.Nft.NEWSETELEM, codec.CREATE, codec.text(1, "t"), codec.text(2, "s"),
        codec.listed(3, iter(items)),
    )  # fmt: skip
    assert b"".join(built) == expected


@pytest.mark.parametrize("count", [1, 1259, 1260, 1261, 20_000])
def test_messages_stay_within_their_length(count: int) -> None:
    """However many elements: whole messages, none longer than nla_len, all elements there."""
    first = np.arange(count, dtype=">u4").view(np.uint8).reshape(-1, 4)
    left = np.ones(count, np.uint64)
    built = element_messages("t", "s", Kind(4, timeout=True, interval=True), first, first, left)
    bodies = [header.body for part in built for header in codec.messages(part)]
    assert all(len(body) <= ELEMENT_BYTES + 64 for body in bodies)
    found = read_elements(bodies, 4)
    assert len(found.keys) == 2 * count
    assert np.array_equal(found.keys[::2], first)
    assert found.ends.tolist() == [False, True] * count


def test_deletes_carry_no_timeouts(ranges: Any) -> None:
    """A delete names keys alone; an open-ended range is its start alone."""
    spec = next(spec for spec in LIVE if spec.name == "deny4_nets")
    rows = ranges("10.0.0.0/8 5000", "240.0.0.0/4 5000")
    parts = set_change("t", spec, rows, 1000.0, delete=True)
    found = [read_elements([h.body for h in codec.messages(memoryview(p))], 4) for p in parts]
    assert sorted(len(one.keys) for one in found) == [1, 2]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=150))
def test_hostile_elements_are_survived(data: bytes) -> None:
    """Any bytes are elements or malformed."""
    try:
        read_elements([memoryview(data)], 4)
    except codec.MalformedError:
        return
