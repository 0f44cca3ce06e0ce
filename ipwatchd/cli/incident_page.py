"""An incident as people read it on a terminal: what it is, why it was raised, what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli.table import Column, count, print_table, say, when

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ipwatchd.control.messages import IncidentDetail

__all__ = ["print_incident"]

_HEAD: Final = (
    "id", "title", "subject", "state", "priority", "severity", "class", "rule", "owner",
)  # fmt: skip
_LONG: Final = 160
"""Letters of a value: evidence holds what strangers named."""
_TARGETS: Final = 8
_EPOCH: Final = 1e8
"""Numbers from here on, in what is called a time, are seconds since 1970."""
_TIMES: Final = frozenset({"ts", "start", "end", "due", "expires", "since", "until", "time"})
_TOLD_ABOVE: Final = frozenset({
    "key", "rule", "subject", "title", "first_seen", "last_seen", "impact", "urgency", "severity",
})  # fmt: skip
"""What an event of the timeline repeats of the head."""


def print_incident(detail: IncidentDetail) -> None:
    """Print an incident and its timeline."""
    incident = detail.incident
    for key in _HEAD:
        if incident.get(key):
            say(f"{key:<10} {incident[key]}")
    say(f"{'seen':<10} {when(incident['first_seen'])} … {when(incident['last_seen'])}")
    say(f"{'count':<10} {count(incident['count'])}")
    if incident.get("targets"):
        say(f"{'targets':<10} {_words('', incident['targets'][:_TARGETS])}")
    _print_evidence(incident.get("evidence") or {})
    print()
    for event in detail.timeline:
        head = f"{when(event['time'])}  {event['actor']:<10} {event['kind']:<10}"
        say(f"{head} {'  '.join(_said(event['body']))[:200]}".rstrip())


def _print_evidence(evidence: Mapping[str, Any]) -> None:
    """Print by what a line was crossed, the other figures, and the flows or events that show it."""
    rest = dict(evidence)
    crossed = [
        f"{name} {_words(name, rest.pop(name))}"
        for name in ("value", "threshold", "baseline") if rest.get(name) is not None
    ]  # fmt: skip
    if "confidence" in rest:
        crossed.append(f"confidence {float(rest.pop('confidence')) * 100:.3g}%")
    if crossed:
        say(f"{'why':<10} {', '.join(crossed)}")
    for key, value in rest.items():
        words = "" if value is None or _is_rows(value) else _words(key, value)
        if words:
            say(f"  {key.replace('_', ' ')}: {words[:_LONG]}")
    for key, value in rest.items():
        if _is_rows(value):
            print()
            say(key.replace("_", " "))
            _print_rows(value)


def _print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print flows or events as a table, in the order in which they came."""
    names = dict.fromkeys(name for row in rows for name in row)
    shown = [{name: _words(name, row.get(name, "")) for name in names} for row in rows]
    columns = [
        Column(name, name.replace("_", " ").upper())
        for name in names if any(row[name] for row in shown)
    ]  # fmt: skip
    print_table(columns, sorted(shown, key=lambda row: row.get("ts") or row.get("start") or ""))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _words(key: str, value: Any) -> str:
    """Return a value as text; `key` tells which numbers are times."""
    if isinstance(value, list | tuple):
        return ",".join(_words("", one) for one in value)
    if isinstance(value, float):
        if value > _EPOCH and (key in _TIMES or key.endswith("_seen")):
            return when(value)
        return f"{value:g}" if abs(value) < _EPOCH else f"{value:.0f}"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _said(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an event says; of a duty or notice within it what its line has room for."""
    for key, value in body.items():
        if key in {"obligation", "notice"} and isinstance(value, dict):
            yield from (
                f"{name}={value[name]}" for name in ("id", "state", "stage") if value.get(name)
            )
            if value.get("due"):
                yield f"due={when(value['due'])}"
        elif key == "pages":
            paged = ", ".join(f"{one['person'] or '-'} by {one['channel']}" for one in value)
            yield f"pages={paged}"
        elif key == "exhibits" and _is_rows(value):
            yield ", ".join(str(one.get("name")) for one in value)
        elif isinstance(value, str | int | float) and value != "" and key not in _TOLD_ABOVE:
            yield f"{key}={_words(key, value)}"
