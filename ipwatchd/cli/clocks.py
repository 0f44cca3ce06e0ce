"""What the commands about legal clocks do, and their command line."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli.answer import as_json, as_sentence
from ipwatchd.cli.table import Column, print_table, say, when
from ipwatchd.records.duration import duration_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from ipwatchd.cli.commands import Commands
    from ipwatchd.control.client import Client

__all__ = ["add_clocks", "add_duties"]


def _due(seconds: Any) -> str:
    return when(seconds) if seconds else "no time set"


_COLUMNS: Final = (
    Column("obligation", "OBLIGATION"), Column("standing", "STATE"), Column("due", "DUE", _due),
    Column("left_text", "LEFT"), Column("to", "TO"), Column("cite", "UNDER"),
)  # fmt: skip


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    left = float(row["left"])
    span = duration_text(abs(left))
    standing = str(row["state"])
    if row.get("aim") and standing == "pending":
        standing = "aimed at" if left >= 0 else "past aim"
    if row.get("asks"):
        standing += f" (answer {', '.join(row['asks'])})"
    if row.get("open"):
        standing += f" (still lacks {', '.join(row['open'])})"
    elif row.get("missing"):
        standing += f" (lacks {', '.join(row['missing'])})"
    text = "" if not row["due"] or row.get("done") else span if left >= 0 else f"{span} over"
    return {**row, "obligation": row["id"], "standing": standing, "left_text": text}


def clocks(client: Client, arguments: argparse.Namespace) -> int:
    """Show the duties of one incident, or of all, the first that is due first."""
    if not arguments.id:
        rows = client.all_clocks(limit=arguments.limit)
        if arguments.json:
            return as_json(rows)
        print_table(
            [Column("incident", "INCIDENT"), Column("priority", "PRIO"), *_COLUMNS],
            [_shown(row) for row in rows],
        )
        return 0
    answer = client.clocks(arguments.id)
    if arguments.json:
        return as_json(answer)
    said = "" if answer["stated"] else " (assumed: the opening; incidents aware says otherwise)"
    say(f"{answer['incident']}: aware since {when(answer['aware'])}{said}")
    if answer["on_hold"]:
        say("on hold: no clock stops for that")
    print_table(list(_COLUMNS), [_shown(row) for row in answer["rows"]])
    return 0


def pages(client: Client, arguments: argparse.Namespace) -> int:
    """List the incidents whose pages wait for an answer."""
    rows = client.pages()
    if arguments.json:
        return as_json(rows)
    shown = [
        {**row, "whom": ", ".join(
            f"{one['person'] or one['channel']} {one.get('state') or 'on its way'}"
            for one in row["pages"])}
        for row in rows
    ]  # fmt: skip
    columns = [
        Column("incident", "INCIDENT"), Column("priority", "PRIO"), Column("cause", "WHY"),
        Column("begun", "SINCE", when), Column("policy", "POLICY"), Column("whom", "PAGED"),
    ]  # fmt: skip
    print_table(columns, shown)
    return 0


def regimes(client: Client, arguments: argparse.Namespace) -> int:
    """List the laws, standards and contracts on file."""
    rows = client.regimes()
    if arguments.json:
        return as_json(rows)
    shown = [
        {**row, "duties": ", ".join(duty["id"] for duty in row["duty"]),
         "force": row["not_in_force"].partition(": ")[2] or f"since {row['valid_from']}"}
        for row in rows
    ]  # fmt: skip
    columns = [
        Column("id", "REGIME"), Column("kind", "KIND"), Column("force", "IN FORCE"),
        Column("checked", "CHECKED"), Column("duties", "DUTIES"), Column("source", "SOURCE"),
    ]  # fmt: skip
    print_table(columns, shown)
    return 0


def aware(client: Client, arguments: argparse.Namespace) -> int:
    """State, or with a reason correct, when somebody became aware."""
    after = client.act(arguments.id, "aware", reason=arguments.reason, at=_at(arguments.at))
    return as_sentence(
        arguments, after,
        f"{after['id']}: aware since {when(after['aware'])}; {_pending(after['obligations'])}"
        if after.get("obligations") else f"{after['id']}: aware since {when(after['aware'])}",
    )  # fmt: skip


def _pending(obligations: Sequence[Mapping[str, Any]]) -> str:
    due = [one for one in obligations if not one.get("done") and one.get("due")]
    first = min(due, key=lambda one: one["due"], default=None)
    return f"next due: {first['id']} at {when(first['due'])}" if first else "nothing has a time"


def notice(client: Client, arguments: argparse.Namespace) -> int:
    """Show the draft of a notice, write its fields, or note that it went out."""
    fields = {}
    for word in arguments.set:
        name, mark, text = word.partition("=")
        if not mark:
            raise ValueError(f"{word!r} is no field: write FIELD=TEXT, as consequences='…'")
        fields[name] = text
    if fields:
        client.act(arguments.id, "tell", fields=fields)
    if arguments.sent:
        after = client.act(
            arguments.id, "notice", obligation=arguments.obligation, at=_at(arguments.at),
            stage=arguments.stage, reference=arguments.reference,
        )  # fmt: skip
        one = next(one for one in after["obligations"] if one["id"] == arguments.obligation.lower())
        lacks = f"; still lacks {', '.join(one['open'])}" if one.get("open") else ""
        sent = one["notices"][-1]
        return as_sentence(
            arguments, after, f"{one['id']}: {sent['stage']} notice of {when(sent['time'])}{lacks}"
        )
    made = client.notice(arguments.id, arguments.obligation)
    if arguments.json:
        return as_json(made)
    for line in made["text"].splitlines():
        say(line)
    if made["missing"]:
        say(f"missing: {', '.join(made['missing'])}  (--set FIELD=TEXT)")
    return 0


def request(client: Client, arguments: argparse.Namespace) -> int:
    """Note that an authority asked for a report."""
    after = client.act(
        arguments.id, "request", obligation=arguments.obligation, at=_at(arguments.at)
    )
    return as_sentence(arguments, after, _pending(after["obligations"]))


def waive(client: Client, arguments: argparse.Namespace) -> int:
    """Propose that a duty does not bind here, or agree as the second person."""
    after = client.act(
        arguments.id, "waive", reason=arguments.reason, obligation=arguments.obligation
    )
    one = next(one for one in after["obligations"] if one["id"] == arguments.obligation.lower())
    done = one.get("state") == "waived"
    text = (
        f"{one['id']} is waived: {one['note']} ({' and '.join(one['by'])})"
        if done else f"proposed: {one['id']} is waived once a second person agrees"
    )  # fmt: skip
    return as_sentence(arguments, after, text)


def _at(text: str) -> float:
    """Return a time as epoch seconds, 0 for now; without a zone it is this machine's."""
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = dt.datetime.fromisoformat(text).timestamp()
        except ValueError:
            raise ValueError(
                f"{text!r} is no time: write 2026-03-01T09:30+08:00 or epoch seconds"
            ) from None
    if not 0 < seconds <= time.time() + 60:
        raise ValueError(f"{text!r} lies in the future: write when it was")
    return seconds


def add_clocks(commands: Commands) -> None:
    """Add `clocks` and `regimes`."""
    every = commands.add(
        "clocks", "list what laws and contracts want told, the first due first", "clocks --json",
        clocks,
    )  # fmt: skip
    every.add_argument("--limit", type=int, default=1000)
    every.set_defaults(id="")
    commands.add("pages", "list incidents whose pages wait for an answer", "pages", pages)
    commands.add("regimes", "list laws, standards and contracts on file", "regimes", regimes)


def add_duties(inner: Commands) -> None:
    """Add `incidents clocks|aware|notice|request|waive`."""
    one = inner.add(
        "clocks", "show what laws and contracts want told of it, and by when",
        "incidents clocks site-000001", clocks,
    )  # fmt: skip
    one.add_argument("id")
    stated = inner.add(
        "aware", "say when you became aware: legal clocks start then",
        "incidents aware site-000001 --at 2026-03-01T09:30+08:00 --reason 'the call was earlier'",
        aware,
    )  # fmt: skip
    stated.add_argument("id")
    stated.add_argument("--reason", default="", metavar="TEXT", help="due where you correct it")
    _time(stated)
    note = inner.add(
        "notice", "draft the notice that a duty asks for, or note that it went out",
        "incidents notice site-000001 gdpr.authority --sent --reference AEPD-2026-1", notice,
    )  # fmt: skip
    _duty(note)
    mode = note.add_mutually_exclusive_group()
    mode.add_argument("--draft", action="store_true", help="show it (the default)")
    mode.add_argument("--sent", action="store_true", help="it went out")
    note.add_argument("--set", action="append", default=[], metavar="FIELD=TEXT")
    note.add_argument("--stage", default="", help="initial, intermediate or final")
    note.add_argument("--reference", default="", help="the other side's file number")
    _time(note)
    asked = inner.add(
        "request", "an authority asked for a report that is owed on request",
        "incidents request site-000001 nis2.intermediate", request,
    )  # fmt: skip
    _duty(asked)
    _time(asked)
    gone = inner.add(
        "waive", "say why a duty does not bind here; a second person must agree",
        "incidents waive site-000001 gdpr.authority --reason 'the disk was encrypted'", waive,
    )  # fmt: skip
    _duty(gone)
    gone.add_argument("--reason", default="", metavar="TEXT")


def _duty(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id")
    parser.add_argument("obligation", help="as `incidents clocks ID` lists it")


def _time(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", default="", metavar="TIME", help="default: now")
