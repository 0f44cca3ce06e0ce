"""What people reported, word for word, as lines of `ipwatchctl incidents show`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli.table import when

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["report_lines"]

_LINES: Final = 40
"""Lines of one report that are shown: a long mail is in the archive (`incidents export`)."""


def report_lines(timeline: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return each report of a timeline: who, when, the words, answers, files, translations."""
    for event in timeline:
        body = event["body"]
        report = body.get("report")
        if event["kind"] in {"opened", "reported"} and report:
            yield from _report(report)
        elif event["kind"] == "translated":
            yield f"translated {body['report']} into {body['language']} by {event['actor']}"
            yield from _text(body["text"])


def _report(report: Mapping[str, Any]) -> Iterator[str]:
    told = f", in {report['language']}" if report.get("language") else ""
    yield (f"reported   {report['id']} by {report['reporter']}, {report['channel']}{told}, "
           f"{when(report['received'])}")  # fmt: skip
    answers = report.get("answers", {})
    # A report that has no words but its answers says them once.
    words = (line for line in report["text"].splitlines() if line not in answers.values())
    yield from _text("\n".join(words))
    for name, answer in answers.items():
        yield f"answer     {name}: {answer}"
    for one in report.get("attachments", ()):
        yield f"attached   {one['name']}: {one['bytes']:,} bytes, SHA-256 {one['sha256'][:16]}…"
    if report.get("original"):
        yield f"original   the mail as it came, SHA-256 {report['original'][:16]}…"


def _text(text: str) -> Iterator[str]:
    lines = text.splitlines()
    yield from (f"           {line}" for line in lines[:_LINES])
    if len(lines) > _LINES:
        yield f"           … {len(lines) - _LINES:,} lines more: incidents export"
