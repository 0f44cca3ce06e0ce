"""Tables line up, whatever is in them, and nothing in them moves the cursor."""

from __future__ import annotations

import contextlib
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from ipwatchd.cli.row_formats import cell
from ipwatchd.cli.table import (
    Column,
    ago,
    cells,
    clean,
    clean_lines,
    count,
    print_table,
    size,
    when,
)

COLUMNS = (Column("name", "NAME"), Column("bytes", "BYTES", size, right=True), Column("end", "E"))


def _printed(rows: list[dict[str, object]]) -> list[str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_table(COLUMNS, rows)
    return out.getvalue().split("\n")[:-1]


def test_columns_align() -> None:
    """Words start and numbers end under their heading."""
    lines = _printed([
        {"name": "maria", "bytes": 5, "end": "x"}, {"name": "jo", "bytes": 12_345_678, "end": "x"},
    ])  # fmt: skip
    assert lines == ["NAME     BYTES  E", "maria      5 B  x", "jo     12.3 MB  x"]


def test_wide_letters_take_two_cells() -> None:
    """A name in Chinese or with accents made of two characters keeps the columns in line."""
    lines = _printed([{"name": "客服中心", "end": "x"}, {"name": "Jose\u0301", "end": "x"}])
    assert {cell_len(line) for line in lines[1:]} == {len("客服中心") * 2 + len("  BYTES  x")}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_one_row_is_one_line(names: list[str]) -> None:
    """Any text in a cell stays in its line and in its column."""
    lines = _printed([{"name": name, "bytes": 1, "end": "x"} for name in names])
    assert len(lines) == len(names) + 1
    assert all(line.endswith("  x") for line in lines[1:])
    assert len({cells(line) for line in lines}) == 1


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_clean_leaves_nothing_that_steers(text: str) -> None:
    """No control, format or surrogate character is left, and nothing is left out."""
    shown = clean(text)
    assert len(shown) == len(text)
    assert not any(unicodedata.category(one)[0] == "C" and one != "·" for one in shown if
                   unicodedata.category(one) != "Cn")  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (size(0), "0 B"), (size(None), "0 B"), (size(999), "999 B"), (size(1000), "1.0 kB"),
        (size(5e15), "5000.0 TB"), (count(None), "0"), (count(1234567), "1,234,567"),
        (ago(-5), "0s"), (ago(59), "59s"), (ago(7200), "2h"), (ago(2e5), "2d"), (when(0), "never"),
        (when(None), "never"),
    ],
)  # fmt: skip
def test_quantities(shown: str, text: str) -> None:
    """Quantities are written as people read them."""
    assert shown == text


def test_a_time_that_no_calendar_has_is_shown_as_a_number() -> None:
    """One odd row does not take the others from the screen."""
    assert when(1e20) == "1e+20"


def test_many_lines_are_cleaned_and_stay_lines() -> None:
    """A table on a terminal can't be steered by what stands in its cells."""
    assert clean_lines("a,\x1b[2J\x9b1m\n\nb\n") == "a,·[2J·1m\n\nb\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    """Exports of rows and of incidents disarm the same beginnings."""
    assert cell(text) == f"'{text}"
    assert cell("plain") == "plain"
    assert cell(-1) == -1
