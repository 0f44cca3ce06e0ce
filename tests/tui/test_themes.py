"""Colours by meaning, on every terminal."""

from __future__ import annotations

import pytest

from tui.themes import MEANINGS, THEMES, choose, style


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
def test_every_meaning_has_a_look(theme: str) -> None:
    """No theme lacks a meaning."""
    for meaning in MEANINGS:
        style(theme, meaning)
    assert style(theme, "bad") != style(theme, "good")


@pytest.mark.parametrize(
    ("environment", "colours", "theme"),
    [
        ({}, "truecolor", "dark"),
        ({}, "256", "dark"),
        ({"COLORFGBG": "0;15"}, "256", "light"),
        ({"COLORFGBG": "15;0"}, "256", "dark"),
        ({}, "standard", "terminal"),
        ({}, None, "terminal"),
        ({"NO_COLOR": "1"}, "truecolor", "terminal"),
        ({"IPWATCHD_THEME": "light", "NO_COLOR": "1"}, "standard", "light"),
        ({"IPWATCHD_THEME": "pink"}, "256", "dark"),
    ],
)
def test_the_theme_fits_the_terminal(
    environment: dict[str, str], colours: str | None, theme: str
) -> None:
    """Sixteen colours or none use the terminal's own; what the person asks for wins."""
    assert choose(environment, colours) == theme


def test_without_colours_the_gravest_still_stands_out() -> None:
    """In the terminal's theme a badge is reversed, so that its meaning is not colour alone."""
    assert style("terminal", "badge-bad").reverse
    assert style("terminal", "cursor").reverse
