"""One card has one name, however a system writes it."""

from __future__ import annotations

import pytest

from ipwatchd.records.mac import plain_mac


@pytest.mark.parametrize(
    "text",
    ["02:00:00:00:00:AB", "02-00-00-00-00-ab", "0200.0000.00ab", "02:00:00:00:00:ab"],
)
def test_spellings(text: str) -> None:
    """Linux, Windows, RADIUS and Cisco mean the same card."""
    assert plain_mac(text) == "02:00:00:00:00:ab"


@pytest.mark.parametrize(
    "text", ["", "DESK-12", "02:00-00:00:00:01", "020000000001", "02:00:00:00:00", "cafe.beef.inc"]
)
def test_other_names_stay(text: str) -> None:
    """What is no MAC stays as it is; twelve digits may be a serial number."""
    assert plain_mac(text) == text
