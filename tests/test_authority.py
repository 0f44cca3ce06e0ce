"""Whether somebody may be where they were, by the roster's file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ipwatchd.authority import Authority
from ipwatchd.records.place import Place

if TYPE_CHECKING:
    from pathlib import Path

_ROSTER = """name,places,devices,extension
maria,10.0.0.0/24;PH,desk-12,2044
amit,,,
"""


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    """Return a roster of two."""
    path = tmp_path / "roster.csv"
    path.write_text(_ROSTER)
    return path


def _place(address: str) -> Place | None:
    return Place(country="PH") if address.startswith("203.0.113.") else None


@pytest.mark.parametrize(
    ("agent", "address", "devices", "answer"),
    [
        ("maria", "10.0.0.9", [], "yes"),
        ("ACME\\Maria", "10.0.0.9", ["DESK-12"], "yes"),
        ("maria@acme.example", "203.0.113.9", [""], "yes"),
        ("2044", "10.0.0.9", [], "yes"),
        ("maria", "10.0.0.9", ["desk-13"], "no"),
        ("maria", "198.51.100.9", [], "no"),
        ("amit", "198.51.100.9", ["any"], "yes"),
        ("eve", "10.0.0.9", [], "no"),
    ],
)
def test_answers(roster: Path, agent: str, address: str, devices: list[str], answer: str) -> None:
    """Place and device of the roster decide; one person has many names; strangers may not."""
    assert Authority(str(roster), _place)(agent, address, devices) == answer


def test_without_a_roster_nothing_is_said() -> None:
    """Where no roster is configured the record's column stays empty."""
    assert Authority("", _place)("maria", "10.0.0.9", []) == ""


def test_changed_file_counts_and_a_broken_one_does_not(roster: Path) -> None:
    """A new roster is read at the next question; of one that is no text the last good one stays."""
    authority = Authority(str(roster), _place)
    assert authority("eve", "10.0.0.9", []) == "no"
    roster.write_text("name\neve\n")
    os.utime(roster, ns=(1, 1))
    assert authority("eve", "10.0.0.9", []) == "yes"
    roster.write_bytes(b"\xff\xfe\x00")
    os.utime(roster, ns=(2, 2))
    assert authority("eve", "10.0.0.9", []) == "yes"


def test_of_whom_the_row_has_a_fault_nothing_is_said(roster: Path) -> None:
    """A slip of the pen makes nobody a stranger: they stay as they were, or unknown."""
    authority = Authority(str(roster), _place)
    assert authority("maria", "198.51.100.9", []) == "no"
    roster.write_text(_ROSTER.replace("maria,", "maria,too,many,").replace("amit", "ana") + "eve\n")
    os.utime(roster, ns=(3, 3))
    assert authority("maria", "10.0.0.9", []) == "yes"
    assert authority("eve", "10.0.0.9", []) == ""
    assert authority("amit", "10.0.0.9", []) == "no"
