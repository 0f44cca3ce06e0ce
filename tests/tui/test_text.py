"""Text from the wire, made safe and cut to cells."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui.text import MOST, clean, elide, elide_middle, fit, width, wrap


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2J\x07", "␛[2J␇"),
        ("a\nb\tc", "a␊b␉c"),
        ("\x7f", "␡"),
        ("\x9b31m", "<9B>31m"),
        ("moc.\u202eelpmaxe", "moc.<202E>elpmaxe"),
        ("a\u200bb", "a<200B>b"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("caf\u0301e", "caf\u0301e"),
        ("x" + "\u0301" * 4, "x\u0301\u0301<301><301>"),
        ("a\u00a0b", "a b"),
        ("\ud800", "<D800>"),
        (17, "17"),
    ],
)
def test_controls_are_shown_not_obeyed(raw: object, shown: str) -> None:
    """Escape sequences, bidi controls, zero widths and stacked marks become visible text."""
    assert clean(raw) == shown


def test_a_name_of_megabytes_is_cut() -> None:
    """Only so much of a value is looked at."""
    assert len(clean("é" * 5_000_000)) == MOST + 1


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_nothing_unprintable_is_left(text: str) -> None:
    """Whatever comes in, what goes to the terminal has no control, format or surrogate."""
    bad = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not {unicodedata.category(character) for character in clean(text)} & bad


@given(st.text(max_size=60).map(clean), st.integers(0, 40), st.booleans())
@settings(max_examples=200, deadline=None)
def test_fit_takes_exactly_its_cells(text: str, cells: int, right: bool) -> None:
    """A cell of a table is as wide as its column, also with wide characters in it."""
    assert width(fit(text, cells, right=right)) == cells


@given(st.text(max_size=120), st.integers(4, 30))
@settings(max_examples=200, deadline=None)
def test_wrapped_lines_fit_and_lose_no_letter(text: str, cells: int) -> None:
    """Every line fits, and the letters are all there in their order."""
    lines = wrap(text, cells)
    assert all(width(line) <= cells for line in lines)
    assert "".join("".join(lines).split()) == "".join(clean(text).split())


def test_both_ends_of_an_address_stay() -> None:
    """An IPv6 address is cut in its middle, other text at its end."""
    assert elide_middle("2001:db8:85a3::8a2e:370:7334", 13) == "2001:d…0:7334"
    assert elide("a long name", 7) == "a long…"
    assert elide("short", 7) == "short"
    assert elide("short", 0) == ""
