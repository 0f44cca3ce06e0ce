"""The questions of fact that an incident's priority follows from."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tui.fields import said
from tui.screens.form import Ask, Form, in_language

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Assess"]


class Assess(Form):
    """Each question with what was answered before."""

    def __init__(self, incident: Mapping[str, Any], assessment: Mapping[str, Any]) -> None:
        super().__init__()
        self.incident = incident
        self.assessment = assessment

    def title_text(self) -> str:
        """Return which incident it is about."""
        return f"Facts of {self.incident['id']}"

    def about(self) -> str:
        """Return what follows from the answers."""
        return "Impact, urgency and so the priority follow from these. * is needed to confirm it."

    def asks(self) -> Sequence[Ask]:
        """Return the questions."""
        facts = self.incident.get("facts") or {}
        language = str(self.incident.get("language") or "en")
        return tuple(
            Ask(
                str(one["id"]), in_language(one["text"], language), bool(one.get("required")),
                tuple(str(choice["id"]) for choice in one.get("choices", ())),
                several=one["kind"] == "choices", value=_value(facts.get(one["id"])),
            )
            for one in self.assessment["question"]
        )  # fmt: skip

    def action_send(self) -> None:
        """Send what is answered; what is open may stay open until it is confirmed."""
        fields = {ask.id: self.query_one(f"#ask-{ask.id}") for ask in self.asks()}
        given = {name: str(getattr(field, "value", "")).strip() for name, field in fields.items()}
        self.send({name: value for name, value in given.items() if value})

    def send(self, answers: dict[str, str]) -> None:
        """Send the answers."""
        work = partial(self.house.client.act, str(self.incident["id"]), "assess", answers=answers)
        self.house.ask("change", work, self.done, self.no)


def _value(fact: Any) -> str:
    """Return an answer as it is typed."""
    if fact is None:
        return ""
    if isinstance(fact, dict):
        low, high = fact.get("min", 0), fact.get("max", 0)
        return str(low) if low == high else f"{low}-{high}"
    if isinstance(fact, (list, tuple)):
        return ",".join(said(one) for one in fact)
    return said(fact)
