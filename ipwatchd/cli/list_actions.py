"""What `ipwatchctl deny` and `ipwatchctl allow` do."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli.answer import agreed, as_json, as_rows, as_sentence
from ipwatchd.cli.table import Column, count, print_table, say, size, when
from ipwatchd.records.duration import parse_duration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ipwatchd.control.client import Client

_MOST: Final = 6 << 20
"""Bytes of an imported file: the daemon takes 8 MB a call, and JSON makes text longer."""


def _session() -> str:
    """Return what SSH says of this terminal, or "" (sudo takes it away)."""
    return os.environ.get("SSH_CONNECTION", "")


@contextlib.contextmanager
def _looking(words: str) -> Iterator[None]:
    """Say what takes long, on a terminal, once it has taken a second."""
    if not sys.stderr.isatty():
        yield
        return
    import threading  # on a terminal alone

    timer = threading.Timer(1.0, lambda: print(f"{words} …", file=sys.stderr))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _asks(arguments: argparse.Namespace) -> bool:
    return sys.stdin.isatty() and not arguments.yes


def add(client: Client, arguments: argparse.Namespace) -> int:
    """Put a network on a list, after showing what it would touch where someone can answer."""
    seconds = parse_duration(arguments.span) if arguments.span else 0.0
    if _asks(arguments) and arguments.list == "deny":
        with _looking("looking through the last 24 hours"):
            before = client.preview(
                "deny", arguments.network, service=arguments.service, session=_session()
            )
        for flag in before["flags"]:
            say(flag, sys.stderr)
        touched = f"{before['addresses']} addresses of the last 24 h would be denied. Go on?"
        if (before["addresses"] or before["flags"]) and not agreed(arguments, touched):
            return 1
    if arguments.force and not agreed(
        arguments, f"--force denies {arguments.network} even where you come from. Really?"
    ):
        return 1
    change = client.add_entry(
        arguments.list, arguments.network, reason=arguments.reason, seconds=seconds,
        ticket=arguments.ticket, force=arguments.force, service=arguments.service,
        session=_session(),
    )  # fmt: skip
    return as_sentence(arguments, change, change.note)


def remove(client: Client, arguments: argparse.Namespace) -> int:
    """Take a network off a list."""
    change = client.remove_entry(
        arguments.list, arguments.network, reason=arguments.reason, service=arguments.service
    )
    return as_sentence(arguments, change, change.note)


def entries(client: Client, arguments: argparse.Namespace) -> int:
    """List entries."""
    rows = client.entries(
        arguments.list, source=arguments.source, service=arguments.service, match=arguments.match,
        limit=arguments.limit + 1, offset=arguments.offset,
    )  # fmt: skip
    as_rows(arguments, "entries", rows[: arguments.limit])
    if len(rows) > arguments.limit:
        print(
            f"more than {arguments.limit}: use --limit, --offset, --source or a part of the text",
            file=sys.stderr,
        )
    return 0


def _text(file: Path) -> str:
    """Return a file's text; what no import can be is refused before it is sent."""
    if str(file) == "-":
        data = sys.stdin.buffer.read(_MOST + 1)
    else:
        with file.open("rb") as opened:
            data = opened.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError(
            f"{file} is over {_MOST} bytes: split it, or let the daemon keep it as a feed "
            "([feeds.NAME] file = …)"
        )
    return data.decode("utf-8-sig", errors="replace")


def import_entries(client: Client, arguments: argparse.Namespace) -> int:
    """Put many networks on a list; status 1 where lines were refused."""
    text = _text(arguments.file)
    seconds = parse_duration(arguments.span) if arguments.span else 0.0

    def send(*, only_look: bool) -> dict[str, Any]:
        with _looking("reading the lines"):
            return client.import_entries(
                arguments.list, text, reason=arguments.reason, format=arguments.format,
                seconds=seconds, only_look=only_look, session=_session(),
            )  # fmt: skip

    if arguments.dry_run or _asks(arguments):
        answer = send(only_look=True)
        if not arguments.dry_run and not agreed(
            arguments, f"{_counted(answer)}. Put them on the {arguments.list} list?"
        ):
            return 1
    if not arguments.dry_run:
        answer = send(only_look=False)
    for line in (*answer["notes"], *answer["problems"]):
        say(line, sys.stderr)
    as_sentence(arguments, answer, _counted(answer))
    return 1 if answer["refused"] else 0


def _counted(answer: dict[str, Any]) -> str:
    again = f" ({answer['renewed']} were there already)" if answer["renewed"] else ""
    return f"{answer['added']} entries{again}, {answer['refused']} lines refused"


def export_entries(client: Client, arguments: argparse.Namespace) -> int:
    """Write the entries in a format that import reads."""
    kind = "json" if arguments.json else arguments.format
    for part in client.export_entries(arguments.list, kind, everything=arguments.all):
        for line in part.splitlines():
            say(line)
    return 0


def preview(client: Client, arguments: argparse.Namespace) -> int:
    """Show what an entry would have touched."""
    with _looking("looking through history"):
        answer = client.preview(
            arguments.list, arguments.network, since=arguments.since, service=arguments.service,
            session=_session(),
        )  # fmt: skip
    if arguments.json:
        return as_json(answer)
    _print_preview(answer, arguments.since)
    return 0


def _print_preview(answer: dict[str, Any], since: str) -> None:
    at = f" at {answer['service']}" if answer["service"] else ""
    say(f"{answer['network']}{at}: in the last {since}")
    say(
        f"  {answer['addresses']} addresses, {answer['flows']} connections, {size(answer['bytes'])}"
    )
    if answer["agents"]:
        say(f"  agents: {_some(answer['agents'])}")
    if answer["services"]:
        named = [f"{one['service'] or '?'} {one['flows']}" for one in answer["services"]]
        say(f"  services: {_some(named)}")
    for line in (answer["note"], *answer["flags"]):
        if line:
            say(f"  ! {line}")
    if not answer["complete"]:
        say("  ! there was more than could be counted: ask for less time")
    if answer["busiest"]:
        say("")
        print_table(
            [Column("address", "ADDRESS"), Column("flows", "CONNECTIONS", count, right=True),
             Column("bytes", "BYTES", size, right=True),
             Column("last_seen", "LAST SEEN", when)],
            answer["busiest"],
        )  # fmt: skip


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")


def why(client: Client, arguments: argparse.Namespace) -> int:
    """Show which entry decides, and every rule in the order it is asked."""
    answer = client.why(arguments.address, arguments.service)
    if arguments.json:
        return as_json(answer)
    say(answer["text"])
    say("")
    wide = max(len(rule["rule"]) for rule in answer["rules"])
    for number, rule in enumerate(answer["rules"], 1):
        say(f"{number}. {rule['rule']:<{wide}}  {rule['verdict']:<7}  {rule['text']}")
    return 0
