"""What an address's country and time zone suggest to who has to serve its owner."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.enrich.hints import _data, hints
from ipwatchd.records.place import Place


def at(text: str) -> float:
    """Return a time of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


FRIDAY: Final = at("2026-11-20T06:00")


@pytest.mark.parametrize(
    ("country", "zone", "now", "local", "office", "awake"),
    [
        ("PH", "", FRIDAY, "Fri 14:00 (UTC+8)", "open, likely until 17:00", True),
        ("PH", "", at("2026-11-20T20:00"), "Sat 04:00 (UTC+8)", "closed, likely until Mon 09:00",
         False),
        ("SA", "", FRIDAY, "Fri 09:00 (UTC+3)", "closed, likely until Sun 09:00", True),
        ("IN", "", FRIDAY, "Fri 11:30 (UTC+5.5)", "open, likely until 17:00", True),
        ("US", "America/Chicago", FRIDAY, "Fri 00:00 (UTC-6)", "closed, likely until Fri 09:00",
         False),
    ],
)  # fmt: skip
def test_time_of_day(
    country: str, zone: str, now: float, local: str, office: str, awake: bool
) -> None:
    """Local time, office hours and weekends are the country's, the zone the address's own."""
    found = hints(Place(country=country, time_zone=zone), now)
    assert (found.local_time, found.office_hours, found.awake) == (local, office, awake)


def test_languages_and_countries_of_many_zones() -> None:
    """The most used languages come first; a wide country has two ends and no office hours."""
    assert hints(Place(country="PH"), FRIDAY).languages[:2] == ("English", "Filipino")
    wide = hints(Place(country="US"), FRIDAY)
    assert wide.languages[0] == "English"
    assert wide.local_time == "Thu 20:00 (UTC-10) to Fri 01:00 (UTC-5)"
    assert (wide.office_hours, wide.time_zone, wide.awake) == ("", "", False)


@given(
    st.text(max_size=3), st.one_of(st.just(""), st.just("Asia/Manila"), st.text(max_size=12)),
    st.floats(0, 4e9),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_place(country: str, zone: str, now: float) -> None:
    """Whatever a geo file says, there is an answer, if an empty one."""
    assert len(hints(Place(country=country, time_zone=zone), now).languages) <= 4


def test_every_country_of_the_file() -> None:
    """Each has languages that are named and zones that there are."""
    data = _data()
    assert len(data.territories) > 240
    for code, territory in data.territories.items():
        assert len(code) == 2
        assert all(language in data.names for language in territory.languages)
        assert all(ZoneInfo(zone) for zone in territory.zones)
