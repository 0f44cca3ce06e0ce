"""What each ipwatchctl command does: one call of the client, one way to show the answer."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Final

from ipwatchd.cli import views
from ipwatchd.cli.answer import agreed, as_json, as_rows, as_sentence
from ipwatchd.cli.table import print_table, say
from ipwatchd.records.duration import parse_duration

if TYPE_CHECKING:
    import argparse

    from ipwatchd.control.client import Client
    from ipwatchd.control.messages import Page


_SELECTORS: Final = ("country:", "asn:", "name:", "agent:")
_SHAPING: Final = re.compile(r"(?i:by|every|count):")
_TIMED: Final = re.compile(r"(?i:(?:^|\s)(?:since|until):)")


def shaped(words: str) -> bool:
    """Tell whether a filter asks for sums; the daemon says what is wrong with it."""
    return any(_SHAPING.match(word) for word in words.split())


def _page(arguments: argparse.Namespace, view: str, page: Page) -> int:
    if shaped(" ".join(getattr(arguments, "filter", ()))) and not arguments.json:
        print_table(views.sum_columns(page.rows), page.rows)
    else:
        as_rows(arguments, view, page.rows)
    if page.note:
        say(f"note: {page.note}", sys.stderr)
    if page.more:
        print(f"more than {len(page.rows)}: use --limit or a narrower filter", file=sys.stderr)
    return 0


def status(client: Client, arguments: argparse.Namespace) -> int:
    """Show the agent at a glance."""
    answer = client.status()
    if arguments.json:
        return as_json(answer)
    views.print_status(answer)
    return 0


def doctor(client: Client, arguments: argparse.Namespace) -> int:
    """Show every check; status 1 where one is not well."""
    checks = client.doctor()
    if arguments.json:
        as_json(checks)
    else:
        views.print_checks(checks)
    return 0 if all(check.ok for check in checks) else 1


def top(client: Client, arguments: argparse.Namespace) -> int:
    """Show the busiest addresses, or sums by what the filter names."""
    words = " ".join(arguments.filter)
    if shaped(words):
        timed = words if _TIMED.search(words) else f"{words} since:{arguments.since}"
        page = client.flows(timed, limit=arguments.limit, order=arguments.by)
        return _page(arguments, "flows", page)
    rows = client.top(
        by=arguments.by, since=arguments.since, limit=arguments.limit, filter=words, exact=True
    )
    as_rows(arguments, "top", rows)
    if rows and not arguments.json:
        what = "each flow" if rows[0].counted == "flows" else "whole hours"
        span = f"{views.when(rows[0].since)} to {views.when(rows[0].until)}"
        say(f"counted: {what}, {span}", sys.stderr)
    return 0


def zones(client: Client, arguments: argparse.Namespace) -> int:
    """List the zones."""
    return as_rows(arguments, "zones", client.zones())


def agents(client: Client, arguments: argparse.Namespace) -> int:
    """List who is where."""
    found = client.agents(name=arguments.name or "", everybody=arguments.all)
    return as_rows(arguments, "agents", found)


def records(client: Client, arguments: argparse.Namespace) -> int:
    """List records of one kind."""
    words = " ".join(arguments.filter)
    page = client.records(arguments.kind, words, limit=arguments.limit, offset=arguments.offset)
    return _page(arguments, arguments.kind, page)


def flows(client: Client, arguments: argparse.Namespace) -> int:
    """List flows."""
    page = client.flows(" ".join(arguments.filter), limit=arguments.limit)
    return _page(arguments, "flows", page)


def events(client: Client, arguments: argparse.Namespace) -> int:
    """List events."""
    page = client.events(" ".join(arguments.filter), limit=arguments.limit)
    return _page(arguments, "events", page)


def show(client: Client, arguments: argparse.Namespace) -> int:
    """Show one address."""
    found = client.address(arguments.address)
    if arguments.json:
        return as_json(found)
    views.print_address(found, time.time())
    return 0


def feeds(client: Client, arguments: argparse.Namespace) -> int:
    """Show the feeds; status 1 where one is in trouble."""
    rows = client.feeds()
    as_rows(arguments, "feeds", rows)
    return 1 if any(row["error"] for row in rows) else 0


def refresh_feed(client: Client, arguments: argparse.Namespace) -> int:
    """Look at a feed now."""
    done = client.refresh_feed(arguments.name, force=arguments.force)
    words = "changed" if done["changed"] else "is as it was"
    return as_sentence(arguments, done, f"{done['name']} {words}: {done['entries']} entries")


def firewall(client: Client, arguments: argparse.Namespace) -> int:
    """Show the kernel's side."""
    state = client.firewall()
    if arguments.json:
        return as_json(state)
    views.print_firewall(state)
    return 0


def firewall_mode(client: Client, arguments: argparse.Namespace) -> int:
    """Switch modes."""
    if not agreed(arguments, f"Switch the firewall to {arguments.mode}?"):
        return 1
    span = arguments.confirm
    applied = client.firewall_mode(
        arguments.mode, confirm_seconds=parse_duration(span) if span else None,
        reason=arguments.reason,
    )  # fmt: skip
    return as_sentence(arguments, applied, applied.note)


def firewall_diff(client: Client, arguments: argparse.Namespace) -> int:
    """Compare; status 1 where they differ."""
    diff = client.firewall_diff()
    if arguments.json:
        as_json(diff)
    else:
        for word in ("missing", "extra"):
            for item in diff.get(word, ()):
                say(f"{word}: {item}")
    differs = bool(diff.get("missing") or diff.get("extra"))
    if not differs and not arguments.json:
        print("the kernel holds what the lists say")
    return 1 if differs else 0


def firewall_confirm(client: Client, arguments: argparse.Namespace) -> int:
    """Keep the change."""
    applied = client.firewall_confirm()
    return as_sentence(arguments, applied, applied.note)


def firewall_rollback(client: Client, arguments: argparse.Namespace) -> int:
    """Take the change back."""
    applied = client.firewall_rollback()
    return as_sentence(arguments, applied, applied.note)


def incidents(client: Client, arguments: argparse.Namespace) -> int:
    """List incidents."""
    page = client.incidents(state=arguments.in_state, limit=arguments.limit)
    return _page(arguments, "incidents", page)


def tui(client: Client, arguments: argparse.Namespace) -> int:
    """Open the terminal UI."""
    del arguments
    from tui import main

    return main(client)
