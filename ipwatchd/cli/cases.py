"""What the commands about incidents do beyond listing and showing them."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli.answer import as_json, as_sentence
from ipwatchd.cli.incident_page import print_incident
from ipwatchd.cli.reported import report_lines
from ipwatchd.cli.table import Column, print_table, say, when
from ipwatchd.records.duration import duration_text, parse_duration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from ipwatchd.control.client import Client

__all__ = [
    "act", "assess", "classes", "classify", "import_cases", "questions", "report", "respond",
    "show", "sops", "undo", "verify",
]  # fmt: skip

_ATTACHED: Final = 5_000_000
"""Bytes of a file handed in: the daemon takes 8 MB a request."""
_LATEST: Final = 4e9
"""Epoch seconds that the daemon takes for the time of an old case."""
_SHOWN: Final = 10
"""Pages that an incident is shown with: the newest."""
_DETAILS: Final = ("priority", "sop", "step", "target", "tlp", "report", "language")


def act(client: Client, arguments: argparse.Namespace) -> int:
    """Do something about an incident and say how it stands."""
    details = {name: getattr(arguments, name) for name in _DETAILS if hasattr(arguments, name)}
    return _acted(client, arguments, arguments.reason, details)


def show(client: Client, arguments: argparse.Namespace) -> int:
    """Show an incident: what it is, what is to be done, what was done, its timeline."""
    detail = client.incident(arguments.id)
    if arguments.json:
        return as_json(detail)
    print_incident(detail)
    for line in _case_lines(detail.incident, detail.timeline):
        say(line)
    return 0


def _case_lines(
    incident: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Return the lines about reports, facts, steps, receipts, claims and duplicates."""
    yield ""
    yield _standing(incident)
    yield from report_lines(timeline)
    for name, value in incident.get("facts", {}).items():
        yield f"fact       {name} = {_fact(value)}"
    for event in timeline:
        for one in event["body"].get("facts", ()) if event["kind"] == "checked" else ():
            yield f"checked    {one['claim']} {one['said']}: {one['fact']}"
        for one in event["body"].get("duplicates", ()) if event["kind"] == "suggested" else ():
            yield f"like       {one['id']} ({one['score']:.0%}: {', '.join(one['why'])})"
    for one in incident.get("tasks", ()):
        done = f"{when(one['done'])} by {one['by']}" if one.get("done") else "open"
        must = " (mandatory)" if one.get("mandatory") else ""
        yield f"step       {one['sop']}/{one['step']}{must}: {done}"
    yield from _duty_lines(incident)
    for one in incident.get("receipts", ()):
        undone = f", taken back {when(one['undone'])}" if one.get("undone") else ""
        yield f"response   {one['id']}: {one['text']} by {one['by']}{undone}"
    for one in incident.get("exhibits", ()):
        yield f"evidence   {one['name']}: {one.get('rows', 0)} rows, SHA-256 {one['sha256'][:16]}…"


def _duty_lines(incident: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines about what laws and contracts want told, and who was paged."""
    for one in incident.get("obligations", ()):
        due = f", due {when(one['due'])}" if one.get("due") else ""
        met = f", met {when(one['done'])}" if one.get("done") else ""
        yield f"duty       {one['id']}: {one.get('state') or 'pending'}{due}{met}"
    paging = incident.get("paging") or {}
    for one in paging.get("pages", ())[-_SHOWN:]:
        how = one.get("state") or "on its way"
        yield f"paged      {one['person'] or '-'} by {one['channel']} {when(one['time'])}: {how}"
    if paging.get("acks"):
        yield f"answered   {', '.join(paging['acks'])}"
    for one in incident.get("letters", ()):
        state = one.get("state") or "on its way"
        about = "update" if one["about"] == "update" else "notice"
        why = f" ({one['why']})" if one.get("why") else ""
        yield f"{about}     {one.get('name') or one['to']} by {one['channel']}: {state}{why}"


def _fact(value: Any) -> str:
    """Return an answer as a person would give it."""
    if isinstance(value, dict):
        low, high = value.get("min"), value.get("max")
        return f"{low}" if low == high else f"{low}-{high}"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def classify(client: Client, arguments: argparse.Namespace) -> int:
    """Name the class of an incident."""
    reason = f"{arguments.type}: {arguments.reason}" if arguments.reason else arguments.type
    return _acted(client, arguments, reason, {})


def assess(client: Client, arguments: argparse.Namespace) -> int:
    """Answer questions of fact, those named or, on a terminal, those that are open."""
    answers: dict[str, Any] = {}
    for word in arguments.answers:
        name, mark, value = word.partition("=")
        if not mark:
            raise ValueError(f"{word!r} is no answer: write QUESTION=ANSWER, as spread=one")
        answers[name] = value
    if not answers and sys.stdin.isatty():
        facts = client.incident(arguments.id).incident.get("facts", {})
        answers = _asked(client.policy()["assessment"]["question"], facts, arguments.lang)
    return _acted(client, arguments, "", {"answers": answers})


def _acted(
    client: Client, arguments: argparse.Namespace, reason: str, details: Mapping[str, Any]
) -> int:
    after = client.act(arguments.id, arguments.act, reason=reason, **details)
    return as_sentence(arguments, after, _standing(after))


def _standing(after: Mapping[str, Any]) -> str:
    parts = [f"{after['id']} is {after['state']}, {after['priority']}"]
    why = " and ".join(after.get("because", ()))
    if after.get("override"):
        parts.append(f"set by hand{f', though {why}' if why else ''}")
    elif why:
        parts.append(f"because {why}")
    proposal = after.get("proposal")
    if proposal:
        parts.append(
            f"{proposal['actor']} proposed to {proposal['action']} it: a second person must agree"
        )
    if after.get("on_hold"):
        parts.append(f"on hold: {after['on_hold']}")
    if after.get("merged_into"):
        parts.append(f"merged into {after['merged_into']}")
    return "; ".join(parts)


def _asked(
    questions: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], language: str
) -> dict[str, str]:
    """Ask what is open; an empty answer leaves a question open."""
    answers = {}
    for question in questions:
        if question["id"] in facts:
            continue
        text = question["text"].get(language) or question["text"]["en"]
        choices = [choice["id"] for choice in question.get("choices", ())]
        say(f"{text}{f' [{chr(47).join(choices)}]' if choices else ''}", sys.stderr)
        value = input("> ").strip()
        if value:
            answers[str(question["id"])] = value
    return answers


def verify(client: Client, arguments: argparse.Namespace) -> int:
    """Check the chain and the signatures; status 1 where something does not hold."""
    found = client.verify(whole=arguments.whole)
    bad, whole = found.get("first_bad_seq"), found.get("whole")
    text = f"{found['events']:,} events hold together, signed with {found['key'] or 'no key'}"
    lines = [text if bad is None else f"event {bad} does not hold: {found['why']}"]
    if whole:
        what = f"{whole['incidents']:,} incidents and {whole['files']:,} files"
        wrong = f"{whole['bad']:,} of {what} are not what the log says:"
        lines.append(wrong if whole["bad"] else f"{what} are what the log says")
        lines += whole["faults"]
    if arguments.json:
        as_json(found)
    else:
        for line in lines:
            say(line)
    return 0 if bad is None and not (whole and whole["bad"]) else 1


def report(client: Client, arguments: argparse.Namespace) -> int:
    """Hand in a report: in one text, or led by the script of its kind."""
    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    answers: dict[str, str] = {}
    for word in arguments.answer:
        name, _, value = word.partition("=")
        answers[name] = value
    if arguments.kind and not answers and sys.stdin.isatty():
        answers = _interviewed(client, arguments.kind, arguments.language or "en")
    after = client.report(
        text, subject=arguments.subject, reporter=arguments.reporter, channel=arguments.channel,
        language=arguments.language, kind=arguments.kind, role=arguments.role, answers=answers,
        attachments=[_attached(Path(name)) for name in arguments.attach],
    )  # fmt: skip
    words = f"kept; incident {after['id']} ({after['priority']}, {after['state']})"
    if after.get("sops") and not arguments.json:
        words += f"; what to do: incidents sops {after['id']}"
    return as_sentence(arguments, after, words)


def _interviewed(client: Client, kind: str, language: str) -> dict[str, str]:
    script = next((one for one in client.policy()["scripts"] if one["kind"] == kind), None)
    if script is None:
        return {}
    say(script["title"].get(language) or script["title"]["en"], sys.stderr)
    answers = {}
    for question in script["question"]:
        text = question["text"].get(language) or question["text"]["en"]
        while not (value := input(f"{text} ").strip()) and question["required"]:
            pass
        if value:
            answers[str(question["id"])] = value
    return answers


def _attached(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    if len(data) > _ATTACHED:
        raise ValueError(f"{path} has {len(data):,} bytes, at most {_ATTACHED:,} can be attached")
    return {"name": path.name, "data": base64.b64encode(data).decode()}


def import_cases(client: Client, arguments: argparse.Namespace) -> int:
    """Put old cases in from a CSV file."""
    with arguments.file.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = [_case(number, row) for number, row in enumerate(csv.DictReader(file), 2)]
    answer = client.import_cases(rows)
    return as_sentence(arguments, answer, f"{answer['imported']} cases imported")


def _case(line: int, row: Mapping[str, Any]) -> dict[str, Any]:
    title, opened = str(row.get("title") or "").strip(), str(row.get("opened") or "").strip()
    if not title or not opened:
        raise ValueError(f"line {line}: needs title and opened (2026-03-01T09:30 or epoch seconds)")
    try:
        seconds = float(opened)
    except ValueError:
        try:
            seconds = dt.datetime.fromisoformat(opened).timestamp()
        except ValueError:
            raise ValueError(f"line {line}: opened {opened!r} is no time") from None
    if not 0 <= seconds <= _LATEST:
        raise ValueError(f"line {line}: opened {opened!r} is no time from 1970 to 2096")
    texts = {
        name: str(row.get(name) or "")
        for name in ("text", "subject", "reporter", "language", "resolution")
    }
    state = str(row.get("state") or "").strip().lower()
    return {"title": title, "opened": seconds, "closed": state == "closed", **texts}


def _span(seconds: Any) -> str:
    return duration_text(float(seconds)) if seconds else "good"


def respond(client: Client, arguments: argparse.Namespace) -> int:
    """Carry a response out, or show which fit."""
    if not arguments.kind:
        offers = client.proposals(arguments.id)
        if arguments.json:
            return as_json(offers)
        columns = [Column("kind", "RESPONSE"), Column("subject", "SUBJECT"),
                   Column("seconds", "FOR", _span), Column("why", "WHY")]  # fmt: skip
        print_table(columns, offers)
        return 0
    after = client.act(
        arguments.id, "respond", reason=arguments.reason, kind=arguments.kind,
        seconds=parse_duration(arguments.span) if arguments.span else 3600.0,
        subject=arguments.subject,
    )  # fmt: skip
    newest = after["receipts"][-1]
    return as_sentence(arguments, after, f"{newest['text']}; undo: incidents undo {after['id']}")


def undo(client: Client, arguments: argparse.Namespace) -> int:
    """Take the newest response back, or the one named."""
    after = client.act(arguments.id, "undo", reason=arguments.reason, receipt=arguments.receipt)
    gone = max(after["receipts"], key=lambda one: one.get("undone", 0.0))
    return as_sentence(arguments, after, f"taken back: {gone['text']}")


def classes(client: Client, arguments: argparse.Namespace) -> int:
    """List the classes and types of the taxonomy."""
    taxonomy = client.policy()["taxonomy"]
    if arguments.json:
        return as_json(taxonomy)
    rows = [
        {"type": one["id"], "class": group["name"], "name": one["name"]}
        for group in taxonomy["class"]
        for one in group["type"]
    ]
    print_table([Column("type", "TYPE"), Column("class", "CLASS"), Column("name", "NAME")], rows)
    print(f"{taxonomy['title']} {taxonomy['version']}, {taxonomy['licence']}", file=sys.stderr)
    return 0


def questions(client: Client, arguments: argparse.Namespace) -> int:
    """List the questions that impact and urgency follow from."""
    assessment = client.policy()["assessment"]
    if arguments.json:
        return as_json(assessment)
    rows = [
        {
            "id": one["id"],
            "due": "required" if one["required"] else "",
            "answers": "/".join(choice["id"] for choice in one["choices"]) or one["kind"],
            "text": one["text"].get(arguments.lang) or one["text"]["en"],
        }
        for one in assessment["question"]
    ]
    columns = [
        Column("id", "QUESTION"), Column("due", ""), Column("answers", "ANSWERS"),
        Column("text", "MEANING"),
    ]  # fmt: skip
    print_table(columns, rows)
    return 0


def sops(client: Client, arguments: argparse.Namespace) -> int:
    """List the SOPs, or print one: with an incident's id, those that it goes by."""
    every = client.policy()["sops"]
    if not arguments.name:
        if arguments.json:
            return as_json(every)
        columns = [
            Column("id", "SOP"), Column("language", "LANG"), Column("version", "VERSION"),
            Column("title", "TITLE"),
        ]  # fmt: skip
        print_table(columns, every)
        return 0
    held = [one for one in every if one["id"] == arguments.name]
    tasks: dict[str, Any] = {}
    if not held:
        incident = client.incident(arguments.name).incident
        uses = {(one["id"], one.get("language", "en")) for one in incident.get("sops", ())}
        held = [one for one in every if (one["id"], one["language"]) in uses]
        tasks = {f"{one['sop']}/{one['step']}": one for one in incident.get("tasks", ())}
    elif arguments.lang:
        held = [one for one in held if one["language"] == arguments.lang] or held[:1]
    if arguments.json:
        return as_json(held)
    for one in held:
        _print_sop(one, tasks)
    return 0


def _print_sop(sop: Mapping[str, Any], tasks: Mapping[str, Any]) -> None:
    say(f"{sop['title']}  ({sop['id']}, version {sop['version']}, {sop['language']})")
    print()
    for line in sop["text"].splitlines():
        say(line)
    print()
    for step in sop["step"]:
        task = tasks.get(f"{sop['id']}/{step['id']}", {})
        mark = "x" if task.get("done") else " "
        must = "" if step.get("mandatory") else " (where it helps)"
        who = f" — {step['who']}" if step.get("who") else ""
        by = f"  [{task['by']}]" if task.get("by") else ""
        say(f"  [{mark}] {step['id']}: {step['text']}{who}{must}{by}")
    print()
