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
    """Print the draft; with --way write down that it was given, and to whom."""
    if arguments.way:
        return _given(client, arguments)
    made = client.update(arguments.id, arguments.audience, arguments.lang)
    if arguments.json:
        return as_json(made)
    say(f"Subject: {made['subject']}")
    say(
        f"({made['tlp']}, {made['language']}; a draft: --way and --to write down that it was given)"
    )
    print()
    for line in made["text"].splitlines():
        say(line)
    return 0


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
