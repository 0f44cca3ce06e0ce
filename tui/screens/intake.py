"""A report from a person: who tells, of what kind, then the questions of that kind's script."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tui.screens.form import Ask, Form, in_language

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NewReport", "Questions", "begin"]

_CHANNELS: Final = ("call", "e-mail", "chat", "web form")
_ROLES: Final = ("customer", "employee", "client", "system")
_SCRIPTED: Final = ("kind", "language", "channel", "reporter", "role", "subject")


class NewReport(Form):
    """What is asked of every report."""

    def __init__(self, scripts: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.scripts = {str(one["kind"]): one for one in scripts}

    def title_text(self) -> str:
        """Return what it is."""
        return "New report"

    def about(self) -> str:
        """Return how it goes on."""
        return "What somebody tells us is kept word for word. The kind decides what is asked next."

    def asks(self) -> Sequence[Ask]:
        """Return the questions of every report."""
        kinds = tuple(self.scripts)
        spoken = sorted({code for one in self.scripts.values() for code in one["title"]})
        languages = ("en", *(code for code in spoken if code != "en"))
        return (
            Ask("kind", "What is it about?", True, kinds),
            Ask("language", "In which language is it told?", True, languages, value="en"),
            Ask("channel", "How does it reach us?", True, _CHANNELS, value="call"),
            Ask("role", "Who is it from?", False, _ROLES, value="employee"),
            Ask("reporter", "Their name, login or number"),
            Ask("subject", "Which address, login or device is it about, if known?"),
        )

    def send(self, answers: dict[str, str]) -> None:
        """Hand the answers on to the questions of the kind."""
        if answers["kind"] not in self.scripts:
            self.no(ValueError(f"{answers['kind']!r} is no kind: {', '.join(self.scripts)}"))
        else:
            self.done(dict(answers))


class Questions(Form):
    """The questions of one kind's script, in the language it is told in."""

    def __init__(self, script: Mapping[str, Any], head: Mapping[str, str]) -> None:
        super().__init__()
        self.script = script
        self.head = head

    def title_text(self) -> str:
        """Return the script's title."""
        return in_language(self.script["title"], self.head["language"])

    def about(self) -> str:
        """Return how it is to be written down."""
        return "In the words of who tells it. No passwords, no card numbers."

    def asks(self) -> Sequence[Ask]:
        """Return the script's questions, and room for what they say besides."""
        language = self.head["language"]
        scripted = [
            Ask(str(one["id"]), in_language(one["text"], language), bool(one.get("required")))
            for one in self.script["question"]
        ]
        return (*scripted, Ask("_text", "Anything else, in their own words"))

    def send(self, answers: dict[str, str]) -> None:
        """Hand the report in."""
        head = {name: self.head.get(name, "") for name in _SCRIPTED}
        text = answers.pop("_text", "")
        work = partial(self.house.client.report, text, answers=answers, **head)
        self.house.ask("change", work, self.done, self.no)


def begin(screen: Any) -> None:
    """Ask for the scripts, then everything, then say which incident it became."""
    house = screen.house

    def kept(incident: dict[str, Any] | None) -> None:
        if incident is not None:
            house.tell(f"kept; incident {incident['id']} ({incident['priority']})")
            house.open_row(incident)

    def headed(scripts: Mapping[str, Any], head: dict[str, Any] | None) -> None:
        if head is not None:
            house.push_screen(Questions(scripts[head["kind"]], head), kept)

    def took(policy: dict[str, Any]) -> None:
        form = NewReport(policy["scripts"])
        house.push_screen(form, partial(headed, form.scripts))

    house.ask("policy", house.client.policy, took)
