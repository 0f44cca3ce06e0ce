"""What the commands about incidents do beyond listing and showing them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli.actions import _json, _sentence
from ipwatchd.cli.table import Column, print_table, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from ipwatchd.control.client import Client

__all__ = ["act", "assess", "classes", "classify", "questions", "sops", "verify"]

_DETAILS: Final = ("priority", "sop", "step", "target")


def act(client: Client, arguments: argparse.Namespace) -> int:
    """Do something about an incident and say how it stands."""
    details = {name: getattr(arguments, name) for name in _DETAILS if hasattr(arguments, name)}
    return _acted(client, arguments, arguments.reason, details)


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
    return _sentence(arguments, after, _standing(after))


def _standing(after: Mapping[str, Any]) -> str:
    parts = [f"{after['id']} is {after['state']}, {after['priority']}"]
    if after.get("because"):
        parts.append(f"because {' and '.join(after['because'])}")
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
    """Check the chain and the signatures; status 1 where a link does not hold."""
    found = client.verify()
    bad = found.get("first_bad_seq")
    text = f"{found['events']:,} events hold together, signed with {found['key'] or 'no key'}"
    _sentence(
        arguments, found, text if bad is None else f"event {bad} does not hold: {found['why']}"
    )
    return 0 if bad is None else 1


def classes(client: Client, arguments: argparse.Namespace) -> int:
    """List the classes and types of the taxonomy."""
    taxonomy = client.policy()["taxonomy"]
    if arguments.json:
        return _json(taxonomy)
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
        return _json(assessment)
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
            return _json(every)
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
        return _json(held)
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
