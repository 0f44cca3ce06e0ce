"""Where an agent may be."""

from __future__ import annotations

import pytest

from ipwatchd.records.agent import is_among
from ipwatchd.records.place import Place

_OFFICE = Place(zone="floor-3", country="PH")


@pytest.mark.parametrize(
    ("places", "address", "place", "right"),
    [
        (("floor-3",), "10.0.0.9", _OFFICE, True),
        (("PH",), "10.0.0.9", _OFFICE, True),
        (("floor-4", "US"), "10.0.0.9", _OFFICE, False),
        (("10.0.0.0/24",), "10.0.0.9", None, True),
        (("10.0.1.0/24", "10.0.0.9"), "10.0.0.9", None, True),
        (("2001:db8::/32",), "10.0.0.9", None, False),
        (("floor-3",), "10.0.0.9", None, False),
        (("0.0.0.0/0",), "no address", None, False),
        ((), "10.0.0.9", _OFFICE, False),
    ],
)
def test_places(places: tuple[str, ...], address: str, place: Place | None, *, right: bool) -> None:
    """A zone, a country or a network holds an address; another name holds nothing."""
    assert is_among(places, address, place) is right
