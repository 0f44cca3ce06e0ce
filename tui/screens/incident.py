"""The page of one incident: what it is, its timeline, what can be done about it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import Binding

from tui.casefile import casefile
from tui.document import document, facts, heading
from tui.fields import PRIORITY_MEANING, is_address, said
from tui.screens.act import Act
from tui.screens.assess import Assess
from tui.screens.page import Page
from tui.screens.respond import Respond
from tui.screens.steps import Steps
from tui.screens.update import Update, on_its_way
from tui.text import Piece, clean, wrap
from tui.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.binding import BindingType

    from ipwatchd.control.messages import IncidentDetail
    from tui.widgets.lines import Line

__all__ = ["ACTIONS", "IncidentPage"]

ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "take": frozenset({"NEW"}),
    "confirm": frozenset({"TRIAGE", "CONTAINED"}),
    "contain": frozenset({"CONFIRMED"}),
    "resolve": frozenset({"CONTAINED"}),
    "review": frozenset({"RESOLVED"}),
    "close": frozenset({"REVIEW"}),
    "reject": frozenset({"NEW", "TRIAGE"}),
    "reopen": frozenset({"CLOSED", "REJECTED"}),
}
"""Action → states in which its key is offered. The daemon decides: all are in the palette, and
what it refuses it says."""

_SHOWN_APART: Final = frozenset({
    "id", "site", "key", "title", "priority", "state", "severity", "subject", "evidence", "facts",
    "because", "tasks", "sops", "obligations", "receipts", "responses", "exhibits", "paging",
    "letters", "told", "touched",
})  # fmt: skip
_LAST: Final = 500
"""Events of a timeline that are written out, the newest."""


class IncidentPage(Page):
    """One incident."""

    TAB = "incidents"
    HELP = (
        "One incident: what was seen, and everything that was done about it since. The keys below "
        "move it on; the palette (^p) has all actions, also those its state does not offer."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "act('take')", "Take"),
        Binding("c", "act('confirm')", "Confirm"),
        Binding("n", "act('contain')", "Contain"),
        Binding("o", "act('resolve')", "Resolve"),
        Binding("v", "act('review')", "Review"),
        Binding("x", "act('close')", "Close"),
        Binding("e", "act('reject')", "Reject"),
        Binding("p", "act('reopen')", "Reopen"),
        Binding("s", "steps", "Steps", tooltip="Its procedures: read, tick, sign"),
        Binding("f", "assess", "Facts", tooltip="Answer the questions its priority follows from"),
        Binding("w", "respond", "Respond", tooltip="Carry out a response that fits"),
        Binding("z", "undo", "Undo response", tooltip="Take the newest response back"),
        Binding("l", "update", "Tell", tooltip="Tell those concerned how it stands"),
        Binding("m", "act('note')", "Note"),
    ]

    def __init__(self, identity: str) -> None:
        super().__init__()
        self.identity = identity
        self.detail: IncidentDetail | None = None
        self._denied = False
        self._left = False

    def page_title(self) -> str:
        """Return the incident's number."""
        return f"Incident {clean(self.identity)}"

    def poll(self) -> None:
        """Ask once: each look is noted in the audit log."""
        if self.detail is None:
            self.reload()

    def reload(self) -> None:
        """Ask for it again."""
        work = partial(self.house.client.incident, self.identity)
        self.house.ask("incident", work, self._took, self.failed)

    def _took(self, detail: IncidentDetail) -> None:
        if self.is_mounted:
            self.detail, self.trouble = detail, ""
            self.rewrite()
            if self.target() and "/" not in self.target():
                work = partial(self.house.client.why, self.target())
                self.house.ask("why", work, self._took_why, lambda _error: None)

    def _took_why(self, why: dict[str, Any]) -> None:
        self._denied = why.get("verdict") == "deny"
        if self.is_mounted:
            self.refresh_bindings()

    def _incident(self) -> dict[str, Any]:
        return self.detail.incident if self.detail is not None else {}

    def target(self) -> str:
        """Return the subject where it is an address."""
        subject = self._incident().get("subject")
        return str(subject) if is_address(subject) else ""

    def is_denied(self) -> bool:
        """Whether a deny entry decides on the subject."""
        return self._denied

    def why_prefill(self) -> str:
        """Name the incident."""
        incident = self._incident()
        return clean(f"{incident.get('title', '')} ({self.identity})")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the keys that the state allows."""
        if action == "act" and parameters:
            states = ACTIONS.get(str(parameters[0]))
            return states is None or self._incident().get("state") in states
        if action == "undo":
            return any(not one.get("undone") for one in self._incident().get("receipts", ()))
        if action == "steps":
            return bool(self._incident().get("sops"))
        return super().check_action(action, parameters)

    def action_act(self, action: str) -> None:
        """Do it: taking at once, the rest with a word on why."""
        if action == "take":
            work = partial(self.house.client.act, self.identity, action)
            self.house.ask("change", work, self._acted)
            return
        title = clean(self._incident().get("title", ""))
        self.app.push_screen(Act(self.identity, action, title), self._acted)

    def action_steps(self) -> None:
        """Show its procedures."""
        self.house.ask("policy", self.house.client.policy, self._show_steps)

    def _show_steps(self, policy: dict[str, Any]) -> None:
        self.app.push_screen(Steps(self._incident(), policy["sops"]))

    def action_assess(self) -> None:
        """Ask for the facts."""
        self.house.ask("policy", self.house.client.policy, self._ask_facts)

    def _ask_facts(self, policy: dict[str, Any]) -> None:
        self.app.push_screen(Assess(self._incident(), policy["assessment"]), self._acted)

    def action_respond(self) -> None:
        """Offer what fits."""
        work = partial(self.house.client.proposals, self.identity)
        self.house.ask("proposals", work, self._offer)

    def _offer(self, offers: list[dict[str, Any]]) -> None:
        self.app.push_screen(Respond(self.identity, offers), self._responded)

    def _responded(self, incident: dict[str, Any] | None) -> None:
        if incident is not None:
            self.house.tell(f"{said(incident['receipts'][-1].get('text'))}; z takes it back")
            self.reload()

    def action_update(self) -> None:
        """Ask whom to tell."""
        self.house.ask("policy", self.house.client.policy, self._ask_whom)

    def _ask_whom(self, policy: dict[str, Any]) -> None:
        if self.detail is not None:
            self.app.push_screen(Update(self._incident(), policy), self._told)

    def _told(self, incident: dict[str, Any] | None) -> None:
        if incident is not None:
            self.house.tell(on_its_way(self._incident(), incident))
            self.reload()

    def action_undo(self) -> None:
        """Take the newest response back."""
        work = partial(self.house.client.act, self.identity, "undo", receipt="")
        self.house.ask("change", work, self._undone)

    def _undone(self, incident: dict[str, Any]) -> None:
        gone = max(incident["receipts"], key=lambda one: one.get("undone", 0.0))
        self.house.tell(f"taken back: {said(gone.get('text'))}")
        self.reload()

    def on_screen_resume(self) -> None:
        """Ask again on coming back from the steps, where ticks were set."""
        super().on_screen_resume()
        if self.detail is not None and self._left:
            self._left = False
            self.reload()

    def on_screen_suspend(self) -> None:
        """Note that something else is on top."""
        self._left = True

    def _acted(self, incident: dict[str, Any] | None) -> None:
        if incident is not None:
            stands = f"{said(incident.get('state'))}, {said(incident.get('priority'))}"
            self.house.tell(f"{clean(self.identity)} is now {stands}")
            self.reload()

    def written(self, cells: int) -> list[Line]:
        """Return what it is, then its timeline, the newest first."""
        if self.detail is None:
            return self.waiting()
        incident = self.detail.incident
        lines = [*_head(incident, cells), []]
        rest = {k: v for k, v in incident.items() if k not in _SHOWN_APART}
        lines += facts(rest, cells, self.context())
        lines += casefile(incident, cells, self.context())
        evidence = incident.get("evidence")
        if isinstance(evidence, dict) and evidence:
            lines += [[], heading("why it was found", cells)]
            lines += document(evidence, cells, self.context())
        lines += [[], heading("timeline, the newest first", cells)]
        for event in list(self.detail.timeline)[: -_LAST - 1 : -1]:
            lines += timeline(event, cells, self.house.zone)
        return lines


def _head(incident: Mapping[str, Any], cells: int) -> list[Line]:
    priority = said(incident.get("priority"))
    line = [
        Piece(" "),
        Piece(f" {priority} ", PRIORITY_MEANING.get(priority, "text")),
        Piece(f"  {said(incident.get('state'))}  ", "accent"),
        Piece(said(incident.get("subject")), "strong"),
        Piece(f"  {said(incident.get('severity'))}", "quiet"),
    ]
    title = wrap(said(incident.get("title")), max(cells - 2, 10))[:4]
    return [line, *([Piece(f" {part}", "strong")] for part in title)]
