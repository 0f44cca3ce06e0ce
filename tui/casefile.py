"""What an incident's page says of the work on it: facts, steps, duties, responses, evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tui import quantity
from tui.document import facts, heading
from tui.fields import said
from tui.text import CROSS, Piece, fit, width, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tui.columns import Context
    from tui.widgets.lines import Line

__all__ = ["SECTIONS", "box", "casefile"]

_DONE: Final = "✓"
_DUTY: Final = {
    "pending": "warn", "possible": "warn", "late": "bad", "met": "good", "met-late": "bad",
}  # fmt: skip
"""State of a duty → what it means; the others are quiet."""
_HASH: Final = 16
"""Digits of a hash that are shown: enough to tell two exhibits apart."""


def box(*, done: bool) -> str:
    """Return the box before a step."""
    return f"[{_DONE}]" if done else "[ ]"


def casefile(incident: Mapping[str, Any], cells: int, context: Context) -> list[Line]:
    """Return a section for each part of the work that there is."""
    lines: list[Line] = []
    for name, write in SECTIONS.items():
        written = list(write(incident, cells, context))
        if written:
            lines += [[], heading(name, cells), *written]
    return lines


def _judged(incident: Mapping[str, Any], cells: int, context: Context) -> Iterator[Line]:
    answers = incident.get("facts") or {}
    if isinstance(answers, dict) and answers:
        because = " and ".join(said(one) for one in incident.get("because", ()))
        known = {name: _answer(one) for name, one in answers.items()}
        known["priority"] = f"because {because}" if because else ""
        yield from facts(known, cells, context)


def _answer(fact: Any) -> Any:
    """Return a range as a person writes it, any other answer as it is."""
    if not isinstance(fact, dict):
        return fact
    low, high = (f"{quantity.number(fact.get(end)):,.0f}" for end in ("min", "max"))
    return low if low == high else f"{low} to {high}"


def _steps(incident: Mapping[str, Any], cells: int, context: Context) -> Iterator[Line]:
    for task in incident.get("tasks", ()):
        done = bool(task.get("done"))
        by = f"{said(task.get('by'))} {quantity.moment(task['done'], context.zone)}" if done else ""
        must = "" if task.get("mandatory") else "where it helps"
        yield [
            Piece(f" {box(done=done)} ", "good" if done else "warn" if not must else "quiet"),
            Piece(fit(f"{said(task.get('sop'))}/{said(task.get('step'))}", max(cells // 2, 20))),
            Piece(by or must, "quiet"),
        ]
    for sop in incident.get("sops", ()):
        read = ", ".join(said(name) for name in sop.get("read", {}))
        if read:
            yield [Piece(f" {said(sop.get('id'))} was read by {read}", "quiet")]


def _duties(incident: Mapping[str, Any], cells: int, context: Context) -> Iterator[Line]:
    for duty in incident.get("obligations", ()):
        due, done = duty.get("due", 0.0), duty.get("done", 0.0)
        state = said(duty.get("state")) or ("met" if done else "pending")
        if state == "pending" and due and context.now > due:
            state = "late"
        meaning = _DUTY.get(state, "quiet")
        moment = quantity.moment(done or due, context.zone) if done or due else "no time set"
        left = f" (in {quantity.age(context.now, due)})" if state == "pending" and due else ""
        sign = CROSS if meaning == "bad" else _DONE if meaning == "good" else "·"
        yield [
            Piece(f" {sign} {fit(state, 9)} ", meaning),
            Piece(fit(said(duty.get("title") or duty.get("id")), max(cells // 2, 20))),
            Piece(f" {moment}{left}", "quiet"),
        ]


def _pages(incident: Mapping[str, Any], cells: int, context: Context) -> Iterator[Line]:
    del cells
    paging = incident.get("paging") or {}
    for page in paging.get("pages", ()):
        state = said(page.get("state")) or "on its way"
        meaning = {"delivered": "good", "failed": "bad"}.get(state, "warn")
        why = f"  {said(page.get('why'))}" if page.get("why") else ""
        yield [
            Piece(f" {fit(state, 10)} ", meaning),
            Piece(f"{said(page.get('person'))} by {said(page.get('channel'))}"),
            Piece(f"  {quantity.moment(page.get('time'), context.zone)}{why}", "quiet"),
        ]
    if paging.get("acks"):
        names = ", ".join(said(name) for name in paging["acks"])
        yield [Piece(f" acknowledged by {names}", "good")]
    elif paging.get("pages") and not paging.get("over"):
        yield [Piece(" nobody has acknowledged it yet", "warn")]
    yield from _letters(incident, context)


def _letters(incident: Mapping[str, Any], context: Context) -> Iterator[Line]:
    for one in incident.get("letters", ()):
        state = said(one.get("state")) or "on its way"
        meaning = {"delivered": "good", "failed": "bad"}.get(state, "warn")
        about = "update to" if one.get("about") == "update" else "told"
        why = f"  {said(one.get('why'))}" if one.get("why") else ""
        yield [
            Piece(f" {fit(state, 10)} ", meaning),
            Piece(
                f"{about} {said(one.get('name') or one.get('to'))} by {said(one.get('channel'))}"
            ),
            Piece(f"  {quantity.moment(one.get('time'), context.zone)}{why}", "quiet"),
        ]


def _responses(incident: Mapping[str, Any], cells: int, context: Context) -> Iterator[Line]:
    for receipt in incident.get("receipts", ()):
        undone, expires = receipt.get("undone", 0.0), receipt.get("expires", 0.0)
        over = bool(expires) and expires <= context.now
        state = "undone" if undone else "over" if over else "stands"
        text = f"{said(receipt.get('text'))}  by {said(receipt.get('by'))}"
        for index, part in enumerate(wrap(text, max(cells - 10, 10))[:3]):
            yield [Piece(f" {fit(state if not index else '', 7)} ", "quiet"), Piece(part)]


def _taken(incident: Mapping[str, Any], cells: int, context: Context) -> Iterator[Line]:
    del context
    exhibits: Sequence[Mapping[str, Any]] = incident.get("exhibits", ())
    left = max((width(said(one.get("name"))) for one in exhibits), default=0)
    for one in exhibits:
        rows = one.get("rows", 0)
        size = f"{quantity.count(rows)} rows, {quantity.size(one.get('bytes', 0))}"
        digest = said(one.get("sha256"))[:_HASH]
        yield [
            Piece(f" {fit(said(one.get('name')), min(left, cells // 3))}  "),
            Piece(f"{fit(size, 24)}SHA-256 {digest}…  {said(one.get('note'))}".rstrip(), "quiet"),
        ]


SECTIONS: Final[Mapping[str, Callable[[Mapping[str, Any], int, Context], Iterator[Line]]]] = {
    "what is known": _judged, "steps": _steps, "duties and their clocks": _duties,
    "pages": _pages,
    "responses": _responses, "evidence taken": _taken,
}  # fmt: skip
"""Title → what writes it, in the order of the page."""
