"""What an event says, in words for who reads the case later: a sentence for each kind. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ipwatchd.records.incident import IncidentEvent, Obligation

__all__ = ["duty_of", "is_told", "said_of"]

_QUIET: Final = frozenset({"grown", "collected", "suggested", "checked", "read", "delivered"})
"""Kinds of events that a reader of the case can do without; the archive of the case has all."""
_UNDECIDED: Final = frozenset({"possible", "void", "waits"})
"""States of duties that come and go with each answer; the table of duties says how they ended."""


def is_told(event: IncidentEvent) -> bool:
    """Tell whether an event stands in the timeline of a report."""
    if event.kind == "delivered":
        return not event.body.get("ok") or bool(event.body.get("letter"))
    if event.kind == "obliged":
        return event.body["obligation"].get("state", "") not in _UNDECIDED
    return event.kind not in _QUIET


def said_of(event: IncidentEvent, moment: Callable[[float], str] = str) -> str:
    """Return in words what an event says; `moment` writes a time."""
    words = _SAID.get(event.kind)
    return words(event.body, moment) if words else _plain(event.body)


def duty_of(one: Obligation, moment: Callable[[float], str]) -> tuple[str, str]:
    """Return how a duty ended, and "good", "bad" or "quiet": how a reader should take it."""
    if one.state == "void":
        return "does not apply", "quiet"
    if one.state == "waived":
        return _joined("; ", f"waived by {' and '.join(one.by)}", one.note), "quiet"
    if one.state == "waits":
        return "waits for another", "quiet"
    if one.state == "possible":
        return f"open: {', '.join(one.asks)} not answered", "bad"
    if not one.done:
        return "not yet", "bad"
    lacks = f"; still lacks {', '.join(one.open)}" if one.open else ""
    late = bool(one.due) and one.done > one.due and not one.aim
    word = "late" if late else "in time" if one.due else "sent"
    return f"{moment(one.done)} {word}{lacks}", "bad" if late or lacks else "good"


def _plain(body: Mapping[str, Any]) -> str:
    return _joined("; ", *(body.get(name) for name in ("reason", "resolution", "text")))


def _joined(mark: str, *parts: object) -> str:
    return mark.join(dict.fromkeys(str(one).strip() for one in parts if one))


def _opened(body: Mapping[str, Any], _moment: object) -> str:
    report = body.get("report") or {}
    lines = str(report.get("text") or "").splitlines()
    who = f"{report['reporter']} by {report['channel']}" if report else f"detector {body['rule']}"
    first = f"{who}: {body['title']}, {body['priority']}"
    return _joined("; ", first, *(one for one in lines if one.strip() != body["title"]))


def _reported(body: Mapping[str, Any], _moment: object) -> str:
    report = body["report"]
    text = _joined("; ", *str(report["text"]).splitlines())
    return f"{report['reporter']} by {report['channel']}: {text}"


def _state(body: Mapping[str, Any], _moment: object) -> str:
    move = f"{body['action']}: {body['before']} → {body['after']}"
    second = f"proposed by {body['second']}" if body.get("second") else ""
    return _joined("; ", move, body.get("target"), _plain(body), second)


def _assessed(body: Mapping[str, Any], _moment: object) -> str:
    facts = ", ".join(f"{name} {_value(value)}" for name, value in body["facts"].items())
    because = " and ".join(body.get("because", ()))
    return f"{facts}; {body['priority']}{f' because {because}' if because else ''}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        low, high = value.get("min"), value.get("max")
        return f"{low}" if low == high else f"{low} to {high}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _proposed(body: Mapping[str, Any], _moment: object) -> str:
    one = body.get("proposal")
    return _joined(" ", one["action"], one.get("target"), f"({one['reason']})") if one else (
        "withdrawn"
    )  # fmt: skip


def _obliged(body: Mapping[str, Any], moment: Callable[[float], str]) -> str:
    one = body["obligation"]
    if one.get("state") == "waived":
        by = " and ".join(one.get("by", ()))
        return f"{one['title']}: waived by {by}: {one.get('note', '')}"
    return f"{one['title']}{': due ' + moment(one['due']) if one.get('due') else ''}"


def _noticed(body: Mapping[str, Any], _moment: object) -> str:
    sent = body["notice"]
    lacks = f"lacks {', '.join(sent['missing'])}" if sent.get("missing") else ""
    return _joined("; ", f"{body['obligation']}: {sent['stage']} notice", sent.get("reference"),
                   lacks)  # fmt: skip


def _paged(body: Mapping[str, Any], _moment: object) -> str:
    pages: Sequence[Mapping[str, Any]] = body["pages"]
    who = ", ".join(
        f"{one['person']} by {one['channel']}" if one["person"] else str(one["channel"])
        for one in pages
    )
    instead = "instead of what failed" if any(one.get("instead") for one in pages) else ""
    return _joined("; ", f"step {body['step'] + 1}: {who}", body.get("cause"), instead)


def _delivered(body: Mapping[str, Any], _moment: object) -> str:
    one = f"letter {body['letter']}" if body.get("letter") else f"page {body['page']}"
    return f"{one} is there" if body["ok"] else f"{one} did not leave: {body.get('why', '')}"


def _letters(body: Mapping[str, Any]) -> list[str]:
    return [
        f"letter {one['number']} to {one.get('name') or one.get('to')} by {one['channel']}"
        for one in body.get("letters", ())
    ]


def _updated(body: Mapping[str, Any], _moment: object) -> str:
    head = f"the {body['audience']} ({body['to']}) by {body['way']}, {body['tlp']}"
    return f"{_joined('; ', head, *_letters(body))}: {body['text']}"


_SAID: Final[dict[str, Callable[[dict[str, Any], Any], str]]] = {
    "opened": _opened, "reported": _reported, "state": _state, "assessed": _assessed,
    "classified": lambda body, _: _joined("; ", body["classification"], body.get("reason")),
    "prioritised": lambda body, _: _joined("; ", body["priority"] or "as the facts have it",
                                           body.get("reason")),
    "held": lambda body, _: f"waits: {body['reason']}" if body.get("reason") else "goes on",
    "feedback": lambda body, _: _joined(": ", body.get("verdict"), body["text"]),
    "step": lambda body, _: _joined("; ", f"{'done' if body.get('done', True) else 'not done'}: "
                                    f"{body['sop']}/{body['step']}", body.get("note")),
    "proposed": _proposed, "obliged": _obliged, "noticed": _noticed, "paged": _paged,
    "aware": lambda body, moment: _joined("; ", f"since {moment(body['at'])}", body.get("reason")),
    "told": lambda body, _: _joined("; ", *(f"{name}: {text}" for name, text
                                            in body["fields"].items())),
    "delivered": _delivered,
    "posted": lambda body, _: _joined("; ", "by another way", *_letters(body)),
    "jumped": lambda body, _: f"step {body['step'] + 1} asked for; {body['reason']}",
    "acked": lambda body, _: _joined(" ", "is on it", f"(by {body['via']})" if body.get("via")
                                     else ""),
    "absorbed": lambda body, _: _joined("; ", body["incident"], body.get("reason")),
    "marked": lambda body, _: _joined("; ", body["tlp"], body.get("reason")),
    "updated": _updated,
    "undone": lambda body, _: _joined("; ", body["receipt"], body.get("reason")),
    "translated": lambda body, _: f"{body['language']}: {body['text']}",
    "watched": lambda body, _: (
        f"{body['subject']}: {body['flows']:,} flows, {body['bytes']:,} bytes, "
        f"{body['peer_count']} peers"
    ),
}  # fmt: skip
