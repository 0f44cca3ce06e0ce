"""An event of an incident's timeline in words: when, who, what, and what was said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tui import quantity
from tui.fields import said
from tui.text import Piece, fit, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tui.widgets.lines import Line

    Body = Mapping[str, Any]

__all__ = ["timeline"]

_LEFT: Final = 22
_WRAPPED: Final = 6
"""Lines of one text; an update or a report is read whole on the command line."""
_LINES: Final = 20
"""Lines of one event."""


def timeline(event: Mapping[str, Any], cells: int, zone: Any) -> list[Line]:
    """Return one event."""
    body = event.get("body")
    body = body if isinstance(body, dict) else {}
    time = quantity.moment(event.get("time"), zone)
    what = said(event.get("kind"))
    if body.get("action"):
        what = f"{said(body['action'])}: {said(body.get('before'))} → {said(body.get('after'))}"
    lines: list[Line] = [
        [Piece(f" {fit(time, 19)}  ", "quiet"), Piece(f"{what}  ", "strong"),
         Piece(said(event.get("actor")), "quiet")]
    ]  # fmt: skip
    for text in _words(str(event.get("kind")), body, zone):
        wrapped = wrap(text, max(cells - _LEFT - 1, 10))[:_WRAPPED]
        lines += [[Piece(f"{' ' * _LEFT}{part}")] for part in wrapped]
    return lines[:_LINES]


def _words(kind: str, body: Body, zone: Any) -> list[str]:
    """Return what an event says, each once: by its kind, then what any kind may say."""
    write = _KINDS.get(kind)
    found = list(write(body, zone)) if write else []
    found += [said(body[key]) for key in ("reason", "resolution", "title") if body.get(key)]
    found += [said(line) for line in str(body.get("text") or "").splitlines() if line.strip()]
    if body.get("count"):
        found.append(f"seen {quantity.count(body['count'])} times")
    if body.get("classification"):
        found.append(f"class {said(body['classification'])}")
    report = body.get("report")
    if isinstance(report, dict):
        found += _report(report)
    return list(dict.fromkeys(one for one in found if one))


def _report(report: Body) -> Iterator[str]:
    """Yield what somebody told us: the words, the answers to the script, the files."""
    answers = report.get("answers") or {}
    told = set(answers.values())
    words = " ".join(one for one in str(report.get("text", "")).splitlines() if one not in told)
    yield said(words)
    yield from (f"{said(name)}: {said(one)}" for name, one in answers.items())
    for one in report.get("attachments", ()):
        yield f"attached {said(one.get('name'))}, {quantity.count(one.get('bytes', 0))} bytes"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)


def _state(body: Body, _zone: Any) -> Iterator[str]:
    if body.get("second"):
        yield f"agreed to what {said(body['second'])} proposed"
    if body.get("target"):
        yield f"into {said(body['target'])}"


def _assessed(body: Body, _zone: Any) -> Iterator[str]:
    because = " and ".join(said(one) for one in body.get("because", ()))
    yield f"{said(body.get('priority'))}{f' because {because}' if because else ''}"


def _prioritised(body: Body, _zone: Any) -> Iterator[str]:
    yield said(body.get("priority")) or "by the facts again"


def _held(body: Body, _zone: Any) -> Iterator[str]:
    if not body.get("reason"):
        yield "it waits no longer"


def _feedback(body: Body, _zone: Any) -> Iterator[str]:
    yield said(body.get("verdict"))


def _step(body: Body, _zone: Any) -> Iterator[str]:
    undone = "" if body.get("done", True) else " is not done after all"
    yield f"{said(body.get('sop'))}/{said(body.get('step'))}{undone}"
    yield said(body.get("note"))


def _read(body: Body, _zone: Any) -> Iterator[str]:
    yield f"{said(body.get('sop'))} {said(body.get('version'))}"


def _proposed(body: Body, _zone: Any) -> Iterator[str]:
    one = body.get("proposal")
    if not isinstance(one, dict):
        yield "withdrawn"
        return
    yield f"{said(one.get('action'))} {said(one.get('target'))}".strip() + ": a second must agree"
    yield said(one.get("reason"))


def _obliged(body: Body, zone: Any) -> Iterator[str]:
    one = body.get("obligation") or {}
    due = f"due {quantity.moment(one['due'], zone)}" if one.get("due") else ""
    yield _joined((said(one.get("title")), said(one.get("state")), due, said(one.get("note"))))


def _told(body: Body, _zone: Any) -> Iterator[str]:
    yield from (f"{said(name)}: {said(one)}" for name, one in (body.get("fields") or {}).items())


def _noticed(body: Body, _zone: Any) -> Iterator[str]:
    one = body.get("notice") or {}
    lacks = ", ".join(said(name) for name in one.get("missing", ()))
    yield _joined((
        f"{said(one.get('stage'))} notice of {said(body.get('obligation'))}",
        said(one.get("reference")), f"without {lacks}" if lacks else "",
    ))  # fmt: skip


def _aware(body: Body, zone: Any) -> Iterator[str]:
    yield f"since {quantity.moment(body.get('at'), zone)}"


def _ways(ones: Iterable[Body]) -> str:
    """Return who is told, each by which way."""
    return ", ".join(
        f"{said(one.get('name') or one.get('person') or one.get('to'))} by "
        f"{said(one.get('channel'))}"
        for one in ones
    )


def _paged(body: Body, _zone: Any) -> Iterator[str]:
    yield _joined((_ways(body.get("pages", ())), said(body.get("cause"))))


def _posted(body: Body, _zone: Any) -> Iterator[str]:
    yield _ways(body.get("letters", ()))


def _delivered(body: Body, _zone: Any) -> Iterator[str]:
    what = f"letter {body['letter']}" if body.get("letter") else f"page {said(body.get('page'))}"
    yield _joined((f"{what} {'left' if body.get('ok') else 'failed'}", said(body.get("why"))))


def _jumped(body: Body, _zone: Any) -> Iterator[str]:
    yield f"to step {said(body.get('step'))}"


def _acked(body: Body, _zone: Any) -> Iterator[str]:
    via = said(body.get("via"))
    yield f"{said(body.get('by'))}{f' by {via}' if via else ''}"


def _absorbed(body: Body, _zone: Any) -> Iterator[str]:
    yield f"{said(body.get('incident'))} is part of it now"


def _marked(body: Body, _zone: Any) -> Iterator[str]:
    yield said(body.get("tlp"))


def _updated(body: Body, _zone: Any) -> Iterator[str]:
    words = (body.get("audience"), body.get("to"), body.get("tlp"), body.get("language"))
    yield f"{_joined(map(said, words))}, by {said(body.get('way'))}"


def _translated(body: Body, _zone: Any) -> Iterator[str]:
    yield f"report {said(body.get('report'))} into {said(body.get('language'))}"


def _watched(body: Body, _zone: Any) -> Iterator[str]:
    yield (
        f"{said(body.get('subject'))}: {quantity.count(body.get('flows', 0))} flows, "
        f"{quantity.size(body.get('bytes', 0))}, {quantity.count(body.get('peer_count', 0))} peers"
    )
    yield _joined(said(body.get(key)) for key in ("peers", "services"))


def _collected(body: Body, _zone: Any) -> Iterator[str]:
    yield ", ".join(said(one.get("name")) for one in body.get("exhibits", ()))
    for name, why in (body.get("missing") or {}).items():
        yield f"no {said(name)}: {said(why)}"


def _checked(body: Body, _zone: Any) -> Iterator[str]:
    for one in body.get("facts", ()):
        yield f"{said(one.get('claim'))} {said(one.get('said'))}: {said(one.get('fact'))}"


def _suggested(body: Body, _zone: Any) -> Iterator[str]:
    for one in body.get("duplicates", ()):
        likely = f"{quantity.number(one.get('score')):.0%}"
        yield f"like {said(one.get('id'))} ({likely}: {said(one.get('why'))})"


_KINDS: Final[Mapping[str, Callable[[Body, Any], Iterator[str]]]] = {
    "state": _state, "assessed": _assessed, "prioritised": _prioritised, "held": _held,
    "feedback": _feedback, "step": _step, "read": _read, "proposed": _proposed,
    "obliged": _obliged, "told": _told, "noticed": _noticed, "aware": _aware, "paged": _paged,
    "posted": _posted, "delivered": _delivered, "jumped": _jumped, "acked": _acked,
    "absorbed": _absorbed, "marked": _marked, "updated": _updated, "translated": _translated,
    "watched": _watched, "collected": _collected, "checked": _checked, "suggested": _suggested,
}  # fmt: skip
"""Kind of event → what it says beside a reason, a text, a count, a class and a report."""
