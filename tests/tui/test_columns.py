"""Which columns fit, how wide, in which order rows go."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given, settings
from hypothesis import strategies as st

from tui.columns import Context, bar, fit_cell, layout, sort_key
from tui.records import ENTRIES, INCIDENTS, KINDS, TOP, address_of, columns_for, identify
from tui.text import width

CONTEXT = Context(1_763_730_000.0, UTC, 100.0)
ROW = {
    "address": "203.0.113.7", "zone": "internet", "country": "RU", "flows": 9, "bytes": 50,
    "last_seen": 1_763_729_990.0, "denied": True,
}  # fmt: skip
ALL = [TOP, INCIDENTS, ENTRIES, *KINDS.values()]


@given(st.integers(20, 250), st.sampled_from(ALL))
@settings(max_examples=200, deadline=None)
def test_columns_never_take_more_than_there_is(cells: int, columns: tuple) -> None:
    """On any terminal from narrow to wide the shown columns and their gaps fit."""
    laid = layout(columns, [ROW] * 3, cells, CONTEXT)
    least = sum(c.least + 1 for c in columns if c.rank == 0)
    assert sum(one.width + 1 for one in laid) - 1 <= max(cells, least)
    for one in laid:
        assert width(fit_cell(one, ROW, CONTEXT).text) == one.width


def test_the_least_needed_goes_first() -> None:
    """At 80 columns zone and agent are there, packets are not; at 160 all are."""
    narrow = [one.column.key for one in layout(TOP, [ROW], 78, CONTEXT)]
    assert narrow == [
        "denied", "address", "zone", "country", "agent", "flows", "packets", "bytes", "bytes-bar",
        "last_seen",
    ] or "packets" not in narrow  # fmt: skip
    tight = [one.column.key for one in layout(TOP, [ROW], 40, CONTEXT)]
    assert tight[:2] == ["denied", "address"]
    assert "agent" not in tight
    assert len(layout(TOP, [ROW], 158, CONTEXT)) == len(TOP)


def test_bars() -> None:
    """A bar is as long as its share, and something is never nothing."""
    assert [bar(share, 4) for share in (0, 0.001, 0.5, 1, 7)] == ["", "╸", "━━", "━━━━", "━━━━"]


def test_any_values_can_be_sorted() -> None:
    """Rows with missing, mixed and nested values have an order; addresses go by number."""
    address = next(one for one in TOP if one.key == "address")
    rows = [{"address": a} for a in ("10.0.0.10", "10.0.0.9", "2001:db8::1", None, "x", ["y"])]
    done = [row["address"] for row in sorted(rows, key=sort_key(address))]
    assert done[-3:] == ["10.0.0.9", "10.0.0.10", "2001:db8::1"]
    zone = next(one for one in TOP if one.key == "zone")
    sorted([{"zone": 3}, {"zone": "a"}, {}, {"zone": True}, {"zone": [1]}], key=sort_key(zone))


def test_unknown_keys_become_columns() -> None:
    """A newer daemon's keys are shown to the right; empty and nested ones are not."""
    rows = [{"address": "10.0.0.1", "reputation": 7, "note": "", "deep": {"a": 1}, "vlan": 0}]
    keys = [column.key for column in columns_for("geo", rows)]
    assert keys[-1] == "reputation"
    assert not {"note", "deep", "vlan"} & set(keys)
    assert [c.key for c in columns_for("quite-new", rows)] == ["address", "reputation"]


def test_times_beside_the_table_read_as_times() -> None:
    """Build dates have their year, logins and logouts are times, a change's time stands once."""
    (built,) = (one for one in columns_for("geo", [{"built": 1_763_730_000}]) if one.key == "built")
    assert built.show({"built": 1_763_730_000}, CONTEXT).text == "2025-11-21 13:00:00"
    rows = [{"login": 1_763_730_000.0, "logout": 1_763_733_600.0}, {"login": 0, "logout": 0}]
    shown = {one.key: one for one in columns_for("session", rows)}
    assert shown["login"].show(rows[0], CONTEXT).text == "11-21 13:00"
    assert shown["logout"].show(rows[1], CONTEXT).text == ""
    assert "ts" not in {one.key for one in columns_for("list", [{"ts": 1_763_730_000.0}])}


def test_a_row_of_thousands_of_keys_is_bounded() -> None:
    """A hostile row can't make thousands of columns."""
    assert len(columns_for("geo", [{f"k{i}": i + 1 for i in range(5000)}])) < 40


def test_rows_are_told_apart() -> None:
    """Two flows that differ in a port are two rows; an id settles it."""
    one = {"start": 1, "orig": "10.0.0.1", "orig_port": 1}
    assert identify(one) == identify(dict(one))
    assert identify(one) != identify({**one, "orig_port": 2})
    assert identify({"id": 7, "a": 1}) == identify({"id": 7, "a": 2})


def test_the_address_of_a_row() -> None:
    """What a row is about is its address, network, subject or originator, if it is one."""
    assert address_of({"subject": "203.0.113.7"}) == "203.0.113.7"
    assert address_of({"subject": "maria.santos"}) == ""
    assert address_of({"orig": "10.0.0.1", "resp": "10.0.0.2"}) == "10.0.0.1"
    assert address_of({"network": "198.18.0.0/15"}) == "198.18.0.0/15"
