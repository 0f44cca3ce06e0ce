"""Ranges cut into prefixes, against the standard library; sets chosen by what there is much of."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.firewall.layout import distribute, plan
from ipwatchd.firewall.prefixes import prefixes
from ipwatchd.records.address import split
from ipwatchd.records.policy import RANGE

WIDTH = {4: 32, 6: 128}


@st.composite
def one_range(draw: st.DrawFn, family: int) -> tuple[int, int]:
    """Draw ends of all sizes, aligned or not; never in IPv6 what is IPv4's."""
    width = WIDTH[family]
    top = (1 << width) - 1
    low = 1 << 64 if family == 6 else 0
    first = draw(st.integers(low, top)) >> (shift := draw(st.integers(0, width - 1))) << shift
    return max(first, low), min(
        max(first, low) + draw(st.integers(0, (1 << draw(st.integers(0, width))) - 1)), top
    )


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([4, 6]))
def test_prefixes_are_the_fewest_that_make_up_the_range(data: st.DataObject, family: int) -> None:
    """Each range becomes what ipaddress.summarize_address_range gives."""
    drawn = data.draw(st.lists(one_range(family), min_size=1, max_size=5))
    make: Any = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    rows = np.array(
        [(*split(make(a)), *split(make(b)), n) for n, (a, b) in enumerate(drawn)], RANGE
    )
    cut = prefixes(rows, family)
    found: dict[int, set[tuple[int, int, int]]] = {}
    for row, length in zip(cut.ranges.tolist(), cut.length.tolist(), strict=True):
        ends = (row[0] << 64 | row[1], row[2] << 64 | row[3])
        mapped = 0xFFFF_0000_0000 if family == 4 else 0
        found.setdefault(row[4], set()).add((ends[0] - mapped, ends[1] - mapped, length))
    for number, (first, last) in enumerate(drawn):
        assert found[number] == {
            (int(one.network_address), int(one.broadcast_address), one.prefixlen)
            for one in ipaddress.summarize_address_range(make(first), make(last))
        }


@pytest.mark.parametrize("ends", [0, 5_000_000_000_000])
def test_much_of_one_length_has_a_set_of_its_own(ends: int) -> None:
    """600 times /24 and one /20: a hash set and the set of the rest; an end takes a timeout."""
    networks = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(0, 1200, 2)] + ["172.16.0.0/20"]
    parsed = [ipaddress.ip_network(one) for one in networks]
    rows = np.array(
        [(*split(one.network_address), *split(one.broadcast_address), ends) for one in parsed],
        RANGE,
    )
    specs = plan({"bulk_deny": rows})
    bulk = {spec.name: spec for spec in specs if spec.list == "bulk_deny"}
    assert set(bulk) == {"bulk4_24", "bulk4_nets"}
    assert bulk["bulk4_24"].timeout == bool(ends)
    held = distribute({"bulk_deny": rows}, specs)
    assert (len(held["bulk4_24"]), len(held["bulk4_nets"])) == (600, 1)
