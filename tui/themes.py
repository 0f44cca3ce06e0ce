"""Colours by meaning. Widgets name what a piece of text means; a palette says how that looks.

Three themes: dark and light for terminals of 256 colours and more, and `terminal`, which uses
the terminal's own 16 colours (and none with NO_COLOR: then bold and reverse carry the meaning,
and every coloured thing also has its word or sign).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rich.style import Style
from textual.theme import Theme

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MEANINGS", "THEMES", "choose", "style"]

MEANINGS: Final = (
    "text", "strong", "quiet", "faint", "heading", "accent", "key",
    "good", "warn", "bad", "info", "traffic",
    "badge-good", "badge-warn", "badge-bad", "badge-info", "cursor", "marked", "stale",
)  # fmt: skip

_DARK: Final[Mapping[str, str]] = {
    "text": "#c6d0da", "strong": "bold #eef3f7", "quiet": "#7f8c99", "faint": "#4a5663",
    "heading": "#9fb0c0", "accent": "bold #6cb6ff", "key": "#6cb6ff",
    "good": "#7bc98f", "warn": "#e3b75e", "bad": "#f0736a", "info": "#6cb6ff",
    "traffic": "#4f9fb5",
    "badge-good": "bold #0f1418 on #7bc98f", "badge-warn": "bold #0f1418 on #e3b75e",
    "badge-bad": "bold #0f1418 on #f0736a", "badge-info": "bold #0f1418 on #6cb6ff",
    "cursor": "on #25405c", "marked": "on #1c2731", "stale": "#5a6672",
}  # fmt: skip
_LIGHT: Final[Mapping[str, str]] = {
    "text": "#2b333b", "strong": "bold #0b0f13", "quiet": "#66727e", "faint": "#b4bec8",
    "heading": "#4a5a69", "accent": "bold #0b5cad", "key": "#0b5cad",
    "good": "#1c7c3c", "warn": "#8f5b00", "bad": "#b3261e", "info": "#0b5cad",
    "traffic": "#2f7f96",
    "badge-good": "bold #ffffff on #1c7c3c", "badge-warn": "bold #ffffff on #8f5b00",
    "badge-bad": "bold #ffffff on #b3261e", "badge-info": "bold #ffffff on #0b5cad",
    "cursor": "on #c5dcf3", "marked": "on #e6ecf1", "stale": "#98a3ad",
}  # fmt: skip
_TERMINAL: Final[Mapping[str, str]] = {
    "text": "default", "strong": "bold default", "quiet": "dim", "faint": "dim",
    "heading": "default", "accent": "bold cyan", "key": "cyan",
    "good": "green", "warn": "yellow", "bad": "red", "info": "cyan", "traffic": "cyan",
    "badge-good": "bold reverse green", "badge-warn": "bold reverse yellow",
    "badge-bad": "bold reverse red", "badge-info": "bold reverse cyan",
    "cursor": "reverse", "marked": "", "stale": "dim",
}  # fmt: skip
_PALETTES: Final = {"dark": _DARK, "light": _LIGHT, "terminal": _TERMINAL}

_QUIET_UI: Final = {
    "block-cursor-text-style": "none",
    "footer-background": "transparent",
    "scrollbar-background": "transparent",
}

THEMES: Final = (
    Theme(
        name="dark", dark=True, primary="#6cb6ff", secondary="#4f9fb5", accent="#6cb6ff",
        warning="#e3b75e", error="#f0736a", success="#7bc98f", foreground="#c6d0da",
        background="#0f1418", surface="#141b21", panel="#1b242c",
        variables=_QUIET_UI | {
            "rule": "#33404c", "block-cursor-background": "#25405c",
            "block-cursor-foreground": "#eef3f7", "scrollbar": "#33404c",
            "scrollbar-background": "#0f1418", "quiet": "#7f8c99",
        },
    ),
    Theme(
        name="light", dark=False, primary="#0b5cad", secondary="#2f7f96", accent="#0b5cad",
        warning="#8f5b00", error="#b3261e", success="#1c7c3c", foreground="#2b333b",
        background="#f7f9fb", surface="#eef2f5", panel="#e4eaef",
        variables=_QUIET_UI | {
            "rule": "#c3ccd5", "block-cursor-background": "#c5dcf3",
            "block-cursor-foreground": "#0b0f13", "scrollbar": "#c3ccd5",
            "scrollbar-background": "#f7f9fb", "quiet": "#66727e",
        },
    ),
    Theme(
        name="terminal", ansi=True, primary="ansi_cyan", secondary="ansi_cyan",
        accent="ansi_cyan", warning="ansi_yellow", error="ansi_red", success="ansi_green",
        foreground="ansi_default", background="ansi_default", surface="ansi_default",
        panel="ansi_default", boost="ansi_default",
        variables={
            "ansi-background": "ansi_default", "ansi-foreground": "ansi_default",
            "rule": "ansi_bright_black", "quiet": "ansi_bright_black",
            "block-cursor-background": "ansi_default", "block-cursor-foreground": "ansi_default",
            "block-cursor-text-style": "reverse", "input-cursor-text-style": "reverse",
            "input-cursor-background": "ansi_default", "input-cursor-foreground": "ansi_default",
            "input-selection-background": "ansi_bright_blue",
            "scrollbar": "ansi_bright_black", "scrollbar-background": "ansi_default",
        },
    ),
)  # fmt: skip


def choose(environment: Mapping[str, str], color_system: str | None) -> str:
    """Return the theme to start with: what the person asks for, else what the terminal can.

    COLORFGBG ("15;0": foreground;background) is how several terminals tell light from dark.
    """
    asked = environment.get("IPWATCHD_THEME", "").lower()
    if asked in _PALETTES:
        return asked
    if "NO_COLOR" in environment or color_system in {None, "standard"}:
        return "terminal"
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return "light" if background in {"7", "15"} else "dark"


def no_color() -> bool:
    """Tell whether the person wants no colours (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


@lru_cache(512)
def style(theme: str, meaning: str) -> Style:
    """Return how a meaning looks; several are joined with spaces, the later wins."""
    palette = _PALETTES.get(theme, _DARK)
    combined = Style.null()
    for word in meaning.split() or ["text"]:
        combined += Style.parse(palette[word])
    return combined
