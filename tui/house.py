"""What screens and widgets ask of the app: the daemon, what is known of it, the other screens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from textual.binding import ActiveBinding
    from textual.screen import Screen
    from textual.widget import Widget

    from ipwatchd.control.client import Client
    from tui.columns import Row
    from tui.model import Model

__all__ = ["House", "app_of"]


class House(Protocol):
    """The app (`app.IpwatchApp`), as its screens know it."""

    client: Client
    model: Model
    zone: tzinfo | None
    window: str
    theme: str

    def here(self) -> float:
        """Return this machine's time."""

    def now(self) -> float:
        """Return the daemon's time."""

    def ask(
        self, kind: str, work: Callable[[], Any], then: Callable[[Any], None],
        otherwise: Callable[[Exception], None] | None = None,
    ) -> None:  # fmt: skip
        """Call the daemon off the loop."""

    def tell(self, sentence: str, *, wrong: bool = False) -> None:
        """Say a sentence for a while."""

    def open_row(self, row: Row) -> None:
        """Open the page of a row."""

    def open_address(self, address: str) -> None:
        """Open the page of an address."""

    def show_fields(self, kind: str, row: Row) -> None:
        """Show all fields of a row."""

    def edit_list(self, name: str, network: str, reason: str = "") -> None:
        """Open the dialog that puts an address on a list."""

    def remove_entry(self, name: str, network: str) -> None:
        """Open the dialog that takes an address off a list."""

    def screen_keys(self, screen: Screen[Any]) -> dict[str, ActiveBinding]:
        """Return the keys that do something now."""

    def push_screen(self, screen: Screen[Any], callback: Any = None) -> Any:
        """Put a screen on top (Textual's)."""


def app_of(widget: Widget) -> House:
    """Return our app, typed as its screens know it."""
    return cast("House", widget.app)
