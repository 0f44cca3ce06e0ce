"""What each command of ipwatch-central does; exit status 0 done, 1 the answer is no."""

from __future__ import annotations

import getpass
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.cli.answer import as_json
from ipwatchd.cli.reviews import print_trends, write_page
from ipwatchd.cli.table import Column, clean, count, print_table, say, when

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Sequence

    from ipwatchd.central.store import Store
    from ipwatchd.config.settings import ReportSettings
    from ipwatchd.incidents.review import Trends

__all__ = [
    "incidents", "lists_add", "lists_del", "lists_list", "report", "run", "sites", "token_add",
    "token_list", "token_revoke", "trends", "verify",
]  # fmt: skip

DONE, NO = 0, 1


def _time(value: Any) -> str:
    return when(value) if value else "-"


def _text(value: Any) -> str:
    return "-" if value is None or value == "" else str(value)


_SHOWN: Final[dict[str, tuple[Callable[[Any], str], bool]]] = {
    "created": (_time, False), "revoked": (_time, False), "expires": (_time, False),
    "last_contact": (_time, False), "silent_since": (_time, False), "last_seen": (_time, False),
    "seq": (count, True), "waiting": (count, True), "open_incidents": (count, True),
    "count": (count, True), "events": (count, True),
}  # fmt: skip


def _show(
    options: argparse.Namespace, rows: Sequence[dict[str, Any]], columns: Sequence[str]
) -> None:
    """Print rows: all their fields as JSON, or some in columns."""
    if options.json:
        as_json(rows)
        return
    table = [
        Column(name, name.replace("_", " "), *_SHOWN.get(name, (_text, False))) for name in columns
    ]
    print_table(table, rows)


def run(options: argparse.Namespace) -> int:
    """Collect until stopped."""
    import asyncio

    from ipwatchd.central.serve import serve
    from ipwatchd.config import CentralSettings

    if not 0 <= options.port <= 65535:
        raise ValueError(f"--port {options.port} is no port: write 0 to 65535")
    if options.certificate and options.key:
        for path in (options.certificate, options.key):
            Path(path).open("rb").close()  # what ssl can't read it does not name
    settings = CentralSettings(
        state_dir=options.state, host=options.host, port=options.port,
        certificate=options.certificate, key=options.key, escalation=options.escalation,
        acks=options.acks, link=options.link, reports=_reports(options), zone=options.zone,
    )  # fmt: skip
    asyncio.run(serve(settings, lambda line: print(clean(line), flush=True)))
    return DONE


def _reports(options: argparse.Namespace) -> ReportSettings:
    """Return when reports are made; ValueError for what is no time or marking."""
    from ipwatchd.config.settings import ReportSettings
    from ipwatchd.incidents.legal.periods import zone

    zone(options.zone)
    asked = {"weekly": options.weekly, "monthly": options.monthly, "tlp": _marking(options.tlp),
             "folder": str(options.reports.absolute()) if options.reports else "",
             "mail": options.mail}  # fmt: skip
    try:
        return msgspec.convert(asked, ReportSettings)
    except msgspec.ValidationError as error:
        raise ValueError(
            f"reports: {error}: write --weekly 'mon 07:00', --monthly '1 07:00'"
        ) from error


def trends(options: argparse.Namespace) -> int:
    """Print a period's numbers over all sites."""

    async def show(store: Store) -> int:
        found: dict[str, Any] = msgspec.to_builtins(await _looked_back(store, options))
        if options.json:
            as_json(found)
        else:
            print_trends(found, options.by)
        return DONE

    return _with_store(options, show)


def report(options: argparse.Namespace) -> int:
    """Write the report of a period over all sites."""
    from ipwatchd.incidents.legal.periods import zone
    from ipwatchd.incidents.review.pages import period_page

    async def write(store: Store) -> int:
        found = await _looked_back(store, options)
        html = period_page(
            found, "all sites", zone(options.zone), time.time(), marking=_marking(options.tlp)
        )
        print(f"{options.output}: {write_page(html, options.output):,} bytes")
        return DONE

    return _with_store(options, write)


def _marking(word: str) -> str:
    from ipwatchd.incidents.updates import MARKINGS

    if word.upper() not in MARKINGS:
        raise ValueError(f"{word!r} is no marking of TLP 2.0: {', '.join(MARKINGS)}")
    return word.upper()


async def _looked_back(store: Store, options: argparse.Namespace) -> Trends:
    from ipwatchd.central.reviews import courses
    from ipwatchd.incidents.legal.periods import zone
    from ipwatchd.incidents.review import trends as measured
    from ipwatchd.records.duration import parse_duration

    now = time.time()
    since, until = (now - parse_duration(span) for span in (options.since, options.until))
    if until <= since:
        raise ValueError("the period ends before it begins: --since is the longer span of the two")
    return measured(await courses(store, since), since, until, zone(options.zone))


def token_add(options: argparse.Namespace) -> int:
    """Print a new token."""
    from ipwatchd.central.tokens import SITE, digest, new_token

    if not SITE.fullmatch(options.site):
        raise ValueError(
            f"{options.site!r} is no site: small letters, digits and hyphens, as in the site's "
            "[site] name"
        )
    token = new_token()

    async def add(store: Store) -> int:
        await store.add_token(options.site, digest(token), time.time())
        return DONE

    _with_store(options, add, make=True)
    print(token)
    print(f"write it to the file of {options.site}'s [uplink] token_file", file=sys.stderr)
    return DONE


def token_list(options: argparse.Namespace) -> int:
    """List the tokens."""

    async def show(store: Store) -> int:
        rows = [msgspec.to_builtins(row) for row in await store.tokens()]
        _show(options, rows, ("id", "site", "created", "revoked"))
        return DONE

    return _with_store(options, show)


def token_revoke(options: argparse.Namespace) -> int:
    """Revoke a site's tokens."""

    async def revoke(store: Store) -> int:
        count = await store.revoke(options.site, time.time())
        if not count:
            print(f"{options.site} has no valid token", file=sys.stderr)
            return NO
        print(f"{options.site} can't deliver any more: {count} revoked", file=sys.stderr)
        return DONE

    return _with_store(options, revoke)


def sites(options: argparse.Namespace) -> int:
    """List the sites."""

    async def show(store: Store) -> int:
        rows = [msgspec.to_builtins(row) for row in await store.sites(time.time())]
        columns = (
            "site", "seq", "waiting", "open_incidents", "last_contact", "silent_since", "key",
        )  # fmt: skip
        _show(options, rows, columns)
        for row in rows:
            if row["conflict"]:
                say(f"{row['site']}: {row['conflict']}", sys.stderr)
        return DONE

    return _with_store(options, show)


def incidents(options: argparse.Namespace) -> int:
    """List incidents."""
    states = _states(options.word)

    async def show(store: Store) -> int:
        found = await store.incidents(site=options.site, states=states, limit=options.limit)
        rows = [msgspec.to_builtins(incident) for incident in found]
        columns = ("id", "priority", "state", "rule", "subject", "count", "last_seen")
        _show(options, rows, columns)
        return DONE

    return _with_store(options, show)


def _states(word: str) -> tuple[str, ...]:
    from ipwatchd.records.incident import OPEN_STATES, STATES

    if word in {"open", "all"}:
        return OPEN_STATES if word == "open" else STATES
    if word.upper() in STATES:
        return (word.upper(),)
    raise ValueError(f"{word!r} is no state: write open, all or one of {', '.join(STATES)}")


def verify(options: argparse.Namespace) -> int:
    """Check every chain."""

    async def check(store: Store) -> int:
        verdicts = await store.verify()
        rows = [
            {"site": site, **msgspec.to_builtins(verdict)} for site, verdict in verdicts.items()
        ]
        _show(options, rows, ("site", "events", "first_bad_seq", "why"))
        return NO if any(row["first_bad_seq"] is not None for row in rows) else DONE

    return _with_store(options, check)


def lists_add(options: argparse.Namespace) -> int:
    """Add a list entry."""
    from ipwatchd.records.duration import parse_duration
    from ipwatchd.records.entry import ListEntry
    from ipwatchd.records.network import canonical

    network, note = canonical(options.network)
    if not options.reason.strip():
        raise ValueError("--reason is empty: say why, the sites' admins will read it")
    now = time.time()
    entry = ListEntry(
        id=0, list=options.list, network=network, reason=options.reason, author=getpass.getuser(),
        created=now, expires=now + parse_duration(options.span) if options.span else 0.0,
        source="central", ticket=options.ticket,
    )  # fmt: skip

    async def add(store: Store) -> int:
        await store.expire(now)
        await store.add_entry(options.site, entry)
        if note:
            print(note, file=sys.stderr)
        where = options.site or "every site"
        print(f"{options.list} {network} at {where}, from its next contact on", file=sys.stderr)
        return DONE

    return _with_store(options, add)


def lists_del(options: argparse.Namespace) -> int:
    """Remove a list entry."""
    from ipwatchd.records.network import canonical

    network, _ = canonical(options.network)

    async def remove(store: Store) -> int:
        if await store.remove_entry(options.site, options.list, network):
            return DONE
        where = options.site or "every site"
        print(f"there is no {options.list} entry {network} for {where}", file=sys.stderr)
        return NO

    return _with_store(options, remove)


def lists_list(options: argparse.Namespace) -> int:
    """List the entries in force."""

    async def show(store: Store) -> int:
        rows = [
            {"site": row.site} | msgspec.to_builtins(row.entry)
            for row in await store.entries(time.time())
        ]
        _show(options, rows, ("list", "network", "site", "author", "created", "expires", "reason"))
        return DONE

    return _with_store(options, show)


def _with_store(
    options: argparse.Namespace, work: Callable[[Store], Awaitable[int]], *, make: bool = False
) -> int:
    """Do something with the store beside a running collector; SQLite lets both in."""
    import asyncio

    from ipwatchd.central.store import FILE, Store

    folder = Path(options.state)
    if not make and not (folder / FILE).exists():
        raise ValueError(
            f"there is no {FILE} in {folder}: name the collector's folder with --state"
        )

    async def run() -> int:
        store = await Store.open(folder)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())
