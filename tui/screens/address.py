"""The page of one address: all that is known of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tui.document import document
from tui.fields import said
from tui.screens.page import Page
from tui.text import Piece, clean, wrap

if TYPE_CHECKING:
    from tui.widgets.lines import Line

__all__ = ["AddressPage"]

_WORDS = {"none": "PASSES", "deny": "DENIED", "allow": "ALLOWED"}
_VERDICTS = {"deny": "badge-bad", "allow": "badge-good", "management": "badge-info"}


class AddressPage(Page):
    """Who it is, where it is, what it did, what the lists say."""

    TAB = "records"
    HELP = (
        "All that is recorded of one address, and which entry decides on it. d denies it for a "
        "time, a allows it, u takes it off the deny list, Escape goes back."
    )

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.known: dict[str, Any] | None = None

    def page_title(self) -> str:
        """Return the address."""
        return clean(self.address)

    def poll(self) -> None:
        """Ask once: each look is noted in the audit log."""
        if self.known is None:
            self.reload()

    def reload(self) -> None:
        """Ask for the page again."""
        self.house.ask(
            "address", partial(self.house.client.address, self.address), self._took, self.failed
        )

    def _took(self, known: dict[str, Any]) -> None:
        if self.is_mounted:
            self.known, self.trouble = known, ""
            self.rewrite()

    def target(self) -> str:
        """Return the address."""
        return self.address

    def is_denied(self) -> bool:
        """Whether a deny entry decides."""
        return self._verdict() == "deny" or bool(self.known and self.known.get("denied"))

    def _verdict(self) -> str:
        why = (self.known or {}).get("verdict")
        return str(why.get("verdict", "")) if isinstance(why, dict) else ""

    def written(self, cells: int) -> list[Line]:
        """Return the verdict, then all that is known."""
        if self.known is None:
            return self.waiting()
        why = self.known.get("verdict")
        rest = {key: value for key, value in self.known.items() if key != "verdict"}
        if not isinstance(why, dict):
            return list(document(self.known, cells, self.context()))
        entry = why.get("decided_by")
        if isinstance(entry, dict):
            rest["decided_by"] = entry
        if why.get("also"):
            rest["also_held_by"] = why["also"]
        return [*self._said(why, cells), [], *document(rest, cells, self.context())]

    def _said(self, why: dict[str, Any], cells: int) -> list[Line]:
        verdict = self._verdict()
        badge = Piece(
            f" {_WORDS.get(verdict, clean(verdict).upper())} ", _VERDICTS.get(verdict, "quiet")
        )
        left = len(badge.text) + 2
        texts = wrap(said(why.get("text")), max(cells - left, 20)) or [""]
        lines: list[Line] = [[Piece(" "), badge, Piece(f" {texts[0]}")]]
        return [*lines, *([Piece(" " * left + text)] for text in texts[1:5])]
