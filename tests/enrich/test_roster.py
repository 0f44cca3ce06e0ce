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
    agents = load_roster(tmp_path / "r.csv")
    assert agents == load_roster(tmp_path / "r.toml")
    assert agents["maria"].places == ("agents", "PH")
    assert agents["juan"].time_zone == "UTC"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "Maria,x,,,,,\n", "r:4: Maria is in line 2 already"),
        (GOOD + "ana,x,,,,,7001\n", "r:4: extension 7001 is in line 2 already"),
        (GOOD + "ana,x,,Asia/Manilla,,,\n", "r:4: time_zone 'Asia/Manilla' is none"),
        (GOOD + "ana,x\n", "r:4: has another number of columns"),
        ("nam,team\n", "r:1: the first line names the columns"),
        ("name,teem\nana,x\n", "r:2: unknown column teem"),
        ("name,team\n ,x\n", "r:2: Object missing required field `name`"),
    ],
)
def test_faults_are_named_with_their_line(text: str, words: str) -> None:
    """A duplicate, an unknown zone, a column too few: file, line, what, the mend."""
    with pytest.raises(RosterError) as caught:
        parse_roster(text, "r", toml=False)
    assert words in str(caught.value)


def test_all_faults_at_once_and_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Two faults are told together; bytes are named with their line."""
    with pytest.raises(RosterError) as caught:
        parse_roster(GOOD + "maria,,,,,,\njuan,,,,,,\n", "r", toml=False)
    assert len(str(caught.value).splitlines()) == 2
    (tmp_path / "r.csv").write_bytes(b"name\n\xff\n")
    with pytest.raises(RosterError, match=r"r\.csv:2: is not UTF-8 text"):
        load_roster(tmp_path / "r.csv")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400), st.booleans())
def test_any_text_is_a_roster_or_a_fault(text: str, toml: bool) -> None:
    """Whatever is written, the answer is agents or RosterError."""
    with contextlib.suppress(RosterError):
        parse_roster(text, "r", toml=toml)
