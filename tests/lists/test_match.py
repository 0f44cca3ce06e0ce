"""Allow beats deny, management beats all, in whole batches."""

from __future__ import annotations

from ipwatchd.lists.compile import merge, network_ranges
from ipwatchd.lists.match import Matcher, View
from ipwatchd.records.address import address_array


def test_management_beats_allow_beats_deny() -> None:
    """Of a denied network only what is neither allowed nor management is denied."""
    view = View(
        management=merge(network_ranges(["203.0.113.8/32"])),
        allow=[Matcher(merge(network_ranges(["203.0.113.16/28", "2001:db8::/64"])))],
        deny=[Matcher(merge(network_ranges([one]))) for one in ("203.0.113.0/24", "2001:db8::/32")],
    )
    asked = address_array([
        "203.0.113.1", "203.0.113.8", "203.0.113.17", "198.51.100.1", "2001:db8::1",
        "2001:db8:1::1",
    ])  # fmt: skip
    got = view.denied(asked["hi"], asked["lo"]).tolist()
    assert got == [True, False, False, False, False, True]


def test_an_empty_batch_and_empty_lists_have_answers() -> None:
    """Nothing asked is nothing answered, and no entries deny nobody."""
    view = View(management=network_ranges([]), allow=[], deny=[])
    one = address_array(["192.0.2.1"])
    assert view.denied(one["hi"], one["lo"]).tolist() == [False]
    assert len(view.denied(one["hi"][:0], one["lo"][:0])) == 0
    assert Matcher(network_ranges([]))(one["hi"], one["lo"]).tolist() == [False]
