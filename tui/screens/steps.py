"""The SOPs of an incident: read them, tick their steps, sign that they were read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding

from tui import quantity
from tui.casefile import box
from tui.document import heading
from tui.fields import said
from tui.screens.page import Page
from tui.text import Piece, clean, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.binding import BindingType

    from tui.widgets.lines import Line

__all__ = ["Steps"]


class Steps(Page):
    """Steps with a cursor; Space ticks, y signs."""

    TAB = "incidents"
    HELP = (
        "The procedures that this incident goes by. Space ticks the marked step or takes the tick "
        "back, y signs that you have read the procedure. Mandatory steps hold the incident open."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("space,enter", "tick", "Tick"),
        Binding("y", "read", "Read and understood"),
    ]

    def __init__(self, incident: Mapping[str, Any], sops: list[dict[str, Any]]) -> None:
        super().__init__()
        self.incident = dict(incident)
        uses = {(one["id"], one.get("language", "en")) for one in incident.get("sops", ())}
        self.sops = [one for one in sops if (one["id"], one["language"]) in uses]
        self.cursor = 0

    def page_title(self) -> str:
        """Return whose steps they are."""
        return f"Steps of {clean(self.incident['id'])}"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tick only what is there."""
        if action in {"tick", "read"}:
            return bool(self._steps())
        return super().check_action(action, parameters)

    def _steps(self) -> list[tuple[str, str]]:
        return [(one["id"], step["id"]) for one in self.sops for step in one["step"]]

    def action_move(self, step: int) -> None:
        """Mark the next step and keep it in sight."""
        self.cursor = max(0, min(self.cursor + step, len(self._steps()) - 1))
        self.rewrite()
        lines = self.written(max(self.query_one("#paper").content_size.width, 20))
        at = next((i for i, line in enumerate(lines) if line and line[0].text == " ▸ "), 0)
        height = self.query_one("#paper").content_size.height
        self.query_one("#paper").scroll_to(y=max(at - height // 2, 0), animate=False)

    def action_tick(self) -> None:
        """Tick the marked step, or take its tick back."""
        sop, step = self._steps()[self.cursor]
        done = bool(self._ticked(sop, step).get("done"))
        action = "untick" if done else "tick"
        work = partial(
            self.house.client.act, str(self.incident["id"]), action, step=f"{sop}/{step}"
        )
        self.house.ask("change", work, self._took)

    def action_read(self) -> None:
        """Sign that the procedure of the marked step was read."""
        sop, _ = self._steps()[self.cursor]
        work = partial(self.house.client.act, str(self.incident["id"]), "read", sop=sop)
        self.house.ask("change", work, self._took)

    def _took(self, incident: dict[str, Any]) -> None:
        self.incident = incident
        if self.is_mounted:
            self.rewrite()

    def _ticked(self, sop: str, step: str) -> Mapping[str, Any]:
        for task in self.incident.get("tasks", ()):
            if (task.get("sop"), task.get("step")) == (sop, step):
                return dict(task)
        return {}

    def written(self, cells: int) -> list[Line]:
        """Return each procedure: its text, then its steps."""
        if not self.sops:
            return [[Piece(" no procedure fits this incident", "quiet")]]
        lines: list[Line] = []
        number = 0
        for sop in self.sops:
            title = f"{sop['title']} ({sop['id']} {sop['version']})"
            lines += [[], heading(title, cells), *self._signed(str(sop["id"]))]
            for step in sop["step"]:
                lines += self._step(sop, step, cells, marked=number == self.cursor)
                number += 1
            lines.append([])
            for text in str(sop["text"]).splitlines():
                lines += [[Piece(f"  {part}", "quiet")] for part in wrap(text, max(cells - 4, 10))]
        return lines[1:]

    def _signed(self, sop: str) -> list[Line]:
        uses = [one for one in self.incident.get("sops", ()) if one["id"] == sop]
        names = ", ".join(said(name) for one in uses for name in one.get("read", {}))
        return [[Piece(f" read by {names}" if names else " nobody has signed it yet", "quiet")]]

    def _step(
        self, sop: Mapping[str, Any], step: Mapping[str, Any], cells: int, *, marked: bool
    ) -> list[Line]:
        task = self._ticked(str(sop["id"]), str(step["id"]))
        done = bool(task.get("done"))
        must = "" if step.get("mandatory") else " (where it helps)"
        who = f" — {said(step['who'])}" if step.get("who") else ""
        parts = wrap(f"{said(step['text'])}{who}{must}", max(cells - 9, 10))
        look = "strong" if marked else "text"
        first = [
            Piece(" ▸ " if marked else "   ", "accent"),
            Piece(f"{box(done=done)} ", "good" if done else "warn"),
            Piece(parts[0], look),
        ]
        lines: list[Line] = [first, *([Piece(f"{'':7}{part}", look)] for part in parts[1:])]
        if done:
            when = quantity.moment(task["done"], self.house.zone)
            lines.append([Piece(f"{'':7}{said(task.get('by'))}, {when}", "quiet")])
        return lines
