"""What ipwatchctl does with personal data: export, subject, erase, reveal, audit verify."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import IO, TYPE_CHECKING, Any

from ipwatchd.cli.answer import as_json, as_rows
from ipwatchd.cli.progress import Progress
from ipwatchd.cli.table import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ipwatchd.cli.dossier import Dossier
    from ipwatchd.control.client import Client

__all__ = [
    "archive_keys", "audit", "backup", "drop_key", "erase", "export", "reveal", "subject",
    "whole_file",
]  # fmt: skip


def _batches(
    client: Client, what: str, words: str, *, clear: bool, reason: str
) -> Iterator[Sequence[dict[str, Any]]]:
    """Yield an export's rows; Ctrl-C stops the query in the daemon."""
    export = client.begin_export(what, words, clear=clear, reason=reason)
    progress = Progress(what)
    ended = False
    try:
        while not (batch := client.read_export(export.id)).last:
            progress.update(batch.done, batch.total)
            if batch.rows:
                yield batch.rows
        ended = True
    finally:
        progress.close()
        if not ended:
            client.end_export(export.id)


@contextlib.contextmanager
def whole_file(path: Path | None) -> Iterator[IO[bytes]]:
    """Open a file that appears whole or not at all, for its owner alone; no path is stdout."""
    if path is None:
        yield sys.stdout.buffer
        return
    part = path.with_name(f"{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def export(client: Client, arguments: argparse.Namespace) -> int:
    """Write every row that matches, under pseudonyms unless told otherwise."""
    from ipwatchd.cli.row_formats import writer

    rows = 0
    with whole_file(arguments.output) as out:
        sink = writer(arguments.format, arguments.what, out)
        for batch in _batches(
            client, arguments.what, " ".join(arguments.filter), clear=arguments.clear,
            reason=arguments.reason,
        ):  # fmt: skip
            sink.write(batch)
            rows += len(batch)
        sink.close()
    how = "with true addresses and names" if arguments.clear else "under pseudonyms"
    say(f"{rows} rows, {how}", sys.stderr)
    return 0


def subject(client: Client, arguments: argparse.Namespace) -> int:
    """Write everything that is held on an address or agent, as JSON and as a page."""
    from ipwatchd.cli.dossier import JsonDossier
    from ipwatchd.cli.dossier_page import HtmlDossier

    found = client.subject(arguments.subject)
    with contextlib.ExitStack() as files:
        sinks: list[Dossier] = []
        if arguments.html:
            sinks.append(HtmlDossier(files.enter_context(whole_file(arguments.html))))
        if arguments.output or not arguments.html:
            sinks.append(JsonDossier(files.enter_context(whole_file(arguments.output))))
        _write(client, found, sinks)
    return 0


def _write(client: Client, found: dict[str, Any], sinks: Sequence[Dossier]) -> None:
    sections: dict[str, str] = found.pop("sections")
    at_hand = {name: found.pop(name) for name in ("mentions", "entries", "audit")}
    for sink in sinks:
        sink.head({**found, "contents": [*sections, *at_hand]})
    for name, words in sections.items():
        _section(sinks, name, _batches(client, name, words, clear=True, reason="subject access"))
    for name, rows in at_hand.items():
        _section(sinks, name, iter([rows]))
    for sink in sinks:
        sink.close()


def _section(
    sinks: Sequence[Dossier], name: str, batches: Iterator[Sequence[dict[str, Any]]]
) -> None:
    for sink in sinks:
        sink.begin(name)
    for batch in batches:
        for sink in sinks:
            sink.rows(batch)
    for sink in sinks:
        sink.end()


def erase(client: Client, arguments: argparse.Namespace) -> int:
    """Erase; status 1 where something is left that nothing names a reason for."""
    if not agreed(arguments, f"Erase everything held on {arguments.subject}, for good?"):
        return 1
    answer = client.erase(arguments.subject, reason=arguments.reason)
    if arguments.json:
        as_json(answer)
    else:
        _tell(answer)
    return 1 if _unexplained(answer) else 0


def agreed(arguments: argparse.Namespace, question: str) -> bool:
    """Ask on a terminal; a script has to say --yes, there is no way back."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise ValueError("this can't be undone: add --yes")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def _unexplained(answer: dict[str, Any]) -> list[str]:
    """Return the files that hold the subject still though no rule lets them."""
    stays = ("incidents.db", "evidence/", "audit.db", "lists.db", "effective.json", "firewall.json")
    return [name for name in answer["found"] if not name.startswith(stays)]


_REMOVED = {
    "address": "totals", "rollup": "sums by hour", "rollup_day": "sums by day",
    "session": "sessions", "geo": "places", "api": "API calls", "name": "names",
    "agent": "agents' signs", "device": "devices", "incoming": "incoming", "blocked": "blocked",
    "event": "events", "list_change": "list changes", "flows": "flows",
    "segments_rewritten": "segments written anew", "learned": "detectors that knew it",
}  # fmt: skip
"""Table → what its rows are to people."""


def _tell(answer: dict[str, Any]) -> None:
    gone = ", ".join(
        f"{count} {_REMOVED.get(table, table)}" for table, count in answer["removed"].items()
    )
    say(f"erased {answer['subject']}: {gone or 'nothing was held'}")
    searched = answer["searched"]
    say(f"searched {searched['files']} files ({searched['bytes']} bytes) for it afterwards")
    for entry in answer["entries"]:
        say(f"stays: {entry['list']} entry {entry['network']} (take it off: {entry['list']} del)")
    if answer["incidents"]:
        say(f"stays: evidence of incidents {', '.join(answer['incidents'])}")
    if answer["audit"]:
        say(f"stays: {answer['audit']} lines of the audit log, which is never changed")
    for name in answer["mails"]:
        say(f"stays: {name}, a mail as it was received: evidence of its incident")
    if answer["centre"]:
        centre = answer["centre"]
        say(
            f"{centre['url']} has its own copy of {', '.join(centre['incidents'])}: have "
            f"`ipwatch-central erase {answer['subject']} --reason …` run there"
        )
    if days := answer["anonymous"]:
        say(f"anonymous before: {len(days)} days of the archive ({days[0]} … {days[-1]})")
    for name in answer["unreadable"]:
        say(f"could not be searched: {name} (a damaged segment: remove it by hand)")
    for name in _unexplained(answer):
        say(f"still found in {name}: erase again, or remove the file")


def backup(client: Client, arguments: argparse.Namespace) -> int:
    """Back the whole state folder up."""
    answer = client.backup(str(arguments.folder.absolute()))
    if arguments.json:
        return as_json(answer)
    say(f"{answer['files']} files, {answer['bytes']} bytes in {arguments.folder}")
    return 0


def reveal(client: Client, arguments: argparse.Namespace) -> int:
    """Say whom a pseudonym stands for."""
    answer = client.reveal(arguments.pseudonym, reason=arguments.reason)
    if arguments.json:
        return as_json(answer)
    say(answer["stands_for"])
    return 0


def audit(client: Client, arguments: argparse.Namespace) -> int:
    """Show the audit log, or follow its chain; status 1 where that is broken."""
    if not arguments.verify:
        return as_rows(arguments, "audit", client.audit(limit=arguments.limit))
    answer = client.verify_audit(arguments.head)
    if arguments.json:
        as_json(answer)
    elif answer["broken"]:
        say(f"line {answer['broken']} of the audit log was changed, removed or put in", sys.stderr)
    elif answer["missing"]:
        say(f"{answer['missing']} lines at the end of the audit log are gone", sys.stderr)
    else:
        say(f"all {answer['lines']} lines of the audit log are as they were written")
        say(f"its end, to be kept elsewhere and given to --head later: {answer['head']}")
    return 1 if answer["broken"] or answer["missing"] else 0


def archive_keys(client: Client, arguments: argparse.Namespace) -> int:
    """List the keyed days."""
    return as_rows(arguments, "archive-keys", client.archive_keys())


def drop_key(client: Client, arguments: argparse.Namespace) -> int:
    """Destroy a key; status 1 where a file still holds it."""
    question = f"Make {arguments.day} anonymous, for good?"
    if not agreed(arguments, question):
        return 1
    answer = client.drop_key(arguments.day, reason=arguments.reason)
    if arguments.json:
        as_json(answer)
    else:
        searched = answer["searched"]
        say(
            f"{answer['day']} is anonymous: {answer['flows']} flows in {answer['segments']} "
            f"segments; its key was {answer['key']} (SHA-256)"
        )
        say(f"searched {searched['files']} files ({searched['bytes']} bytes) for it afterwards")
        for name in answer["found"]:
            say(f"the key is still in {name}: remove that file")
    return 1 if answer["found"] else 0
