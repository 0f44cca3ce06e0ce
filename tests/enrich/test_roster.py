"""The roster is read from CSV and TOML; every fault is named with its line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.enrich.roster import RosterError, load_roster, parse_roster

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """name,team,shift,time_zone,places,devices,extension
maria,voice,mon-fri 22:00-06:00,Asia/Manila,agents;PH,02:00:00:00:00:01,7001
juan,chat,,,,,
"""


def test_csv_and_toml_say_the_same(tmp_path: Path) -> None:
    """Both give agents by name; what is empty has its default."""
    (tmp_path / "r.csv").write_text(GOOD)
    (tmp_path / "r.toml").write_text(
        '[[agent]]\nname = "maria"\nteam = "voice"\nshift = "mon-fri 22:00-06:00"\n'
        'time_zone = "Asia/Manila"\nplaces = ["agents", "PH"]\ndevices = ["02:00:00:00:00:01"]\n'
        'extension = "7001"\n[[agent]]\nname = "juan"\nteam = "chat"\n'
    )
    told = load_roster(tmp_path / "r.csv")
    assert told == load_roster(tmp_path / "r.toml")
    assert told.faults == ()
    assert told.agents["maria"].places == ("agents", "PH")
    assert told.agents["juan"].time_zone == "UTC"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("Maria,x,,,,,", "r:4: Maria is in line 2 already: keep one"),
        ("ana,x,,Asia/Manilla,,,", "r:4: time_zone 'Asia/Manilla' is none"),
        ("ana,x,9 to 5,,,,", "r:4: '9 to 5' is no shift: write mon-fri 09:00-17:30"),
        ("ana,x,mon-fri 22:00-30:00,,,,", "is no shift"),
        ("ana,x", "r:4: has another number of columns than line 1"),
        (" ,x,,,,,", "r:4: Object missing required field `name`"),
    ],
)
def test_a_row_with_a_fault_is_left_out_and_named(row: str, words: str) -> None:
    """A duplicate, an unknown zone, a column too few: line, what, the mend; the others count."""
    told = parse_roster(GOOD + row + "\nlast,x,,,,,\n", "r", toml=False)
    assert set(told.agents) == {"maria", "juan", "last"}
    assert words in told.faults[0]
    assert told.agents["maria"].team == "voice"
    assert told.sentence().startswith("r:4: ")
    assert told.sentence().endswith("; all other rows count")


def test_a_card_is_known_by_any_spelling() -> None:
    """A device as Windows shows it is the one that DHCP and RADIUS name."""
    told = parse_roster("name,devices\nana,02-00-00-00-00-0A DESK-7\n", "r", toml=False)
    assert told.agents["ana"].devices == ("02:00:00:00:00:0a", "DESK-7")


def test_an_extension_of_two_is_nobodys() -> None:
    """Both agents count; a phone that may be either's says nothing of who is at it."""
    told = parse_roster(GOOD + "ana,x,,,,,7001\n", "r", toml=False)
    assert (told.agents["maria"].extension, told.agents["ana"].extension) == ("", "")
    (fault,) = told.faults
    assert fault.startswith("r:4: extension 7001 is in line 2 already: it counts for neither")


def test_who_has_a_fault_in_their_row_stays_as_they_were() -> None:
    """A slip in a row takes nobody out of their shift; who is not in the file any more goes."""
    before = parse_roster(GOOD + "ana,x,mon-fri 09:00-17:30,,,,\n", "r", toml=False).agents
    told = parse_roster("name,shift\nAna,nine to five\nmaria,\n", "r", toml=False)
    assert told.unsure == {"ana"}
    now = told.over(before)
    assert set(now) == {"ana", "maria"}
    assert now["ana"] == before["ana"]
    assert now["maria"].shift == ""


def test_many_faults_are_counted() -> None:
    """One sentence names the first ones and how many more there are."""
    told = parse_roster(GOOD + "maria,,,,,,\n" * 9, "r", toml=False)
    assert len(told.faults) == 9
    assert "; and 6 more: `ipwatchd check` names them; all other" in told.sentence()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nam,team\n", "r:1: the first line names the columns"),
        ("name,teem\nana,x\n", "r:1: unknown column 'teem'"),
        ("name,team\n ,x\n,y\n", "r:2: Object missing required field `name`"),
    ],
)
def test_a_file_of_which_no_row_can_be_used_is_refused(text: str, words: str) -> None:
    """Then the last good one stays: file, line, what, the mend."""
    with pytest.raises(RosterError) as caught:
        parse_roster(text, "r", toml=False)
    assert words in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are named with their line."""
    (tmp_path / "r.csv").write_bytes(b"name\n\xff\n")
    with pytest.raises(RosterError, match=r"r\.csv:2: is not UTF-8 text"):
        load_roster(tmp_path / "r.csv")


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.sampled_from(["ana,x,,,,,1", "Ana,y,,,,,2", "eva,x,,,,,1", "bad", "x,,z"])))
def test_good_rows_count_whatever_stands_between(rows: list[str]) -> None:
    """A good row counts, each name once, no extension twice, and each bad row is told of."""
    told = parse_roster(GOOD + "".join(f"{row}\n" for row in rows), "r", toml=False)
    names = [name.lower() for name in told.agents]
    assert len(names) == len(set(names))
    assert {"maria", "juan"} <= set(names)
    extensions = [one.extension for one in told.agents.values() if one.extension]
    assert len(extensions) == len(set(extensions))
    lost = len(rows) + 2 - len(told.agents)
    assert len(told.faults) >= lost


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400), st.booleans())
def test_any_text_is_a_roster_or_a_fault(text: str, toml: bool) -> None:
    """Whatever is written, the answer is agents or RosterError."""
    with contextlib.suppress(RosterError):
        parse_roster(text, "r", toml=toml)
