"""The footer: the keys that do something now, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tui.house import app_of
from tui.text import Piece, width
from tui.widgets.lines import Line, Lines

if TYPE_CHECKING:
    from textual.binding import ActiveBinding
    from textual.screen import Screen

__all__ = ["Keys", "key_line", "key_name"]

_NAMES: Final = {
    "question_mark": "?", "slash": "/", "escape": "esc", "enter": "⏎", "left_square_bracket": "[",
    "right_square_bracket": "]", "delete": "del", "space": "space", "ctrl+p": "^p", "ctrl+o": "^o",
    "ctrl+z": "^z", "tab": "tab", "left": "←", "right": "→", "plus": "+",
}  # fmt: skip


def key_name(key: str) -> str:
    """Return how a key is written on the screen."""
    return _NAMES.get(key, key)


def key_line(bindings: dict[str, ActiveBinding], cells: int) -> list[Piece]:
    """Return as many keys as fit; help and quit, which come last, always do."""
    shown: list[tuple[Piece, Piece]] = []
    done: set[str] = set()
    for active in bindings.values():
        binding = active.binding
        if not binding.show or not active.enabled or binding.action in done:
            continue
        done.add(binding.action)
        action = f"app.simulate_key('{binding.key}')"
        name = binding.key_display or key_name(binding.key)
        shown.append((
            Piece(f" {name}", "key", action), Piece(f" {binding.description} ", "quiet", action)
        ))  # fmt: skip
    total = sum(width(key.text) + width(label.text) for key, label in shown)
    while total > cells and len(shown) > 3:
        key, label = shown.pop(-3)
        total -= width(key.text) + width(label.text)
    return [piece for pair in shown for piece in pair]


class Keys(Lines):
    """The line of keys at the foot of a screen."""

    DEFAULT_CSS = "Keys { dock: bottom; height: 1; background: $panel; }"
    GREYS = False

    def on_mount(self) -> None:
        """Follow what applies."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, _screen: Screen[object]) -> None:
        self.redraw()

    def build(self) -> list[Line]:
        """Return the one line."""
        return [key_line(app_of(self).screen_keys(self.screen), self.cells)]
