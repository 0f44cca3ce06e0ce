"""The command that tells those concerned how an incident stands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from ipwatchd.cli.answer import as_json, as_sentence
from ipwatchd.cli.table import say

if TYPE_CHECKING:
    import argparse

    from ipwatchd.control.client import Client

__all__ = ["WAYS", "update"]

WAYS: Final = ("mail", "phone", "post", "portal", "chat", "in person")


def update(client: Client, arguments: argparse.Namespace) -> int:
    """Print the draft; with --send send it, with --way write down that it was given."""
    if arguments.send:
        return _sent(client, arguments)
    if arguments.way:
        return _given(client, arguments)
    made = client.update(arguments.id, arguments.audience, arguments.lang)
    if arguments.json:
        return as_json(made)
    say(f"Subject: {made['subject']}")
    say(
        f"({made['tlp']}, {made['language']}; a draft: --send sends it, --way and --to write down "
        "that it was given)"
    )
    print()
    for line in made["text"].splitlines():
        say(line)
    return 0


def _sent(client: Client, arguments: argparse.Namespace) -> int:
    if arguments.way:
        raise ValueError("--send sends it, --way writes down that you did: give one of them")
    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    after = client.act(
        arguments.id, "send", audience=arguments.audience, to=arguments.to,
        language=arguments.lang, text=text,
    )  # fmt: skip
    time = max(one["time"] for one in after["letters"])
    newest = [one for one in after["letters"] if one["time"] == time]
    whom = ", ".join(f"{one['to']} by {one['channel']}" for one in newest)
    words = f"on its way to {whom}; incidents show {after['id']} says when it is there"
    return as_sentence(arguments, after, words)


def _given(client: Client, arguments: argparse.Namespace) -> int:
    if not arguments.to:
        raise ValueError("--to says who was told, as in --to 'B. Cruz, Acme'")
    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    after = client.act(
        arguments.id, "update", audience=arguments.audience, to=arguments.to, way=arguments.way,
        language=arguments.lang, text=text,
    )  # fmt: skip
    words = f"{arguments.to} was told ({arguments.way}); it stands in the timeline of {after['id']}"
    return as_sentence(arguments, after, words)
