"""What an entry would have touched."""

from __future__ import annotations

from ipwatchd.lists import preview


def test_only_rows_inside_count_and_the_busiest_are_shown() -> None:
    """Sums are over all addresses inside the network, the rows are the busiest."""
    rows = [
        {"address": f"203.0.113.{low}", "flows": low, "bytes": 10 * low, "agent": "maria"}
        for low in range(10)
    ] + [{"address": "198.51.100.1", "flows": 1000}, {"address": "2001:db8::1", "flows": 7}]
    effect = preview("203.0.113.5/29", rows, limit=2)
    assert effect.network == "203.0.113.0/29"
    assert "host bits" in effect.note
    assert (effect.addresses, effect.flows, effect.bytes) == (8, 28, 280)
    assert [row["address"] for row in effect.rows] == ["203.0.113.7", "203.0.113.6"]
    assert effect.rows[0]["agent"] == "maria"
