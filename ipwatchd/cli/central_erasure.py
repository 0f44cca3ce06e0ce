"""`ipwatch-central erase`: what can go of one address, network or name, and what stays, by name.

The sites' event logs are hash-chained and signed, and each site holds the same: nothing in them is
changed. What the centre itself wrote about an address, its list entries, goes.
"""

from __future__ import annotations

import contextlib
import getpass
import ipaddress
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.cli.answer import as_json
from ipwatchd.cli.table import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from ipwatchd.central.rows import Entry
    from ipwatchd.central.store import Store
    from ipwatchd.history.subject import Subject

__all__ = ["erase"]

_PAGE: Final = 1000
_STAYS: Final = ("central.db", "incidents.db")
"""Files whose chained logs may name the subject; `incidents.db` is the centre's own log."""


def erase(options: argparse.Namespace) -> int:
    """Erase; status 1 where something is left that nothing names a reason for."""
    import asyncio

    from ipwatchd.central.store import FILE
    from ipwatchd.history.subject import subject_of

    folder = Path(options.state)
    if not (folder / FILE).exists():
        raise ValueError(
            f"there is no {FILE} in {folder}: name the collector's folder with --state"
        )
    who = subject_of(options.subject)
    if not options.reason.strip() or who.named_in(options.reason):
        raise ValueError("say why in --reason TEXT, without naming whom: the audit log keeps it")
    if not _agreed(options, who):
        return 1
    answer = asyncio.run(_erase(folder, who, options.reason.strip()))
    if options.json:
        as_json(answer)
    else:
        _tell(answer)
    return 1 if answer["unexplained"] or answer["unreadable"] else 0


def _agreed(options: argparse.Namespace, who: Subject) -> bool:
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise ValueError("this can't be undone: add --yes")
    question = f"Erase {who.text} at the centre and take its list entries off every site? [y/N] "
    return input(question).strip().lower() in {"y", "yes"}


async def _erase(folder: Path, who: Subject, reason: str) -> dict[str, Any]:
    from ipwatchd.central.store import FILE, Store
    from ipwatchd.history.traces import search

    store = await Store.open(folder)
    try:
        removed = await store.erase_entries(lambda network: _within(network, who))
        entries = [one for one in await store.all_entries() if who.named_in(_text(one))]
        sites = await _naming(store, who)
        if not (sites or entries) and who.hits((folder / FILE).read_bytes()):
            await store.write_anew()
    finally:
        await store.close()
    own = await _own(folder, who)
    left = search(folder, who, {})
    chained = zip(_STAYS, (sites or entries, own), strict=True)
    evidence = {name for name, held in chained if held}
    await _write_down(folder, who, reason)
    return {
        "subject": who.text, "kind": who.kind, "removed": [_plain(one) for one in removed],
        "searched": {"files": left.files, "bytes": left.bytes}, "found": left.found,
        "unreadable": left.unreadable, "incidents": sites, "own_incidents": own,
        "entries": [_plain(one) for one in entries],
        "unexplained": [
            name for name in left.found if name.removesuffix("-wal") not in evidence
        ],
    }  # fmt: skip


def _within(network: str, who: Subject) -> bool:
    """Tell whether a list entry is about the subject and nobody beside it."""
    if not who.key:
        return False
    held, whole = ipaddress.ip_network(network), who.network()
    return held.version == whole.version and held.subnet_of(whole)  # type: ignore[arg-type]  # one version


def _plain(one: Entry) -> dict[str, Any]:
    return {"site": one.site, **msgspec.to_builtins(one.entry)}


def _text(one: Entry) -> str:
    return msgspec.json.encode(one.entry).decode()


async def _naming(store: Store, who: Subject) -> dict[str, list[str]]:
    """Return site → its incidents that name the subject."""
    found: dict[str, dict[str, None]] = {}
    for state in await store.sites(0.0):
        seq = 0
        while events := await store.events(state.site, seq, _PAGE):
            for event in events:
                if who.named_in(msgspec.json.encode(event).decode()):
                    found.setdefault(state.site, {})[event.incident] = None
            seq = events[-1].seq
    return {site: list(names) for site, names in found.items()}


async def _own(folder: Path, who: Subject) -> list[str]:
    """Return the incidents of the centre's own log that name the subject."""
    from ipwatchd.incidents.store import FILE

    if not (folder / FILE).exists():
        return []
    found: dict[str, None] = {}
    async with _log(folder) as log:
        seq = 0
        while events := await log.after(seq, _PAGE):
            for event in events:
                if who.named_in(msgspec.json.encode(event).decode()):
                    found[event.incident] = None
            seq = events[-1].seq
    return list(found)


@contextlib.asynccontextmanager
async def _log(folder: Path) -> AsyncIterator[Any]:
    from ipwatchd.central.watch import SITE
    from ipwatchd.config import IncidentSettings
    from ipwatchd.incidents import Incidents

    log = await Incidents.open(folder, SITE, IncidentSettings())
    try:
        yield log
    finally:
        await log.close()


async def _write_down(folder: Path, who: Subject, reason: str) -> None:
    """Add a line to the centre's audit log, under the pseudonym: it must not keep whom."""
    from ipwatchd.audit import Audit
    from ipwatchd.history.secret import pseudonyms

    alias = pseudonyms(folder, make=True).text("agent", who.text)
    log = await Audit.open(folder)
    try:
        await log.write(getpass.getuser(), "erase", alias, now=time.time(), detail=reason)
    finally:
        await log.close()


def _tell(answer: dict[str, Any]) -> None:
    gone = len(answer["removed"])
    say(f"erased {answer['subject']}: {gone} list entries" if gone else (
        f"erased {answer['subject']}: the centre had no list entry of it"
    ))  # fmt: skip
    for one in answer["removed"]:
        where = one["site"] or "every site"
        say(f"goes at {where} with its next contact: {one['list']} entry {one['network']}")
    searched = answer["searched"]
    say(f"searched {searched['files']} files ({searched['bytes']} bytes) for it afterwards")
    for site, names in answer["incidents"].items():
        say(f"stays: evidence of incidents {', '.join(names)} of {site}, chained and signed there")
    if answer["own_incidents"]:
        say(f"stays: evidence of the centre's own {', '.join(answer['own_incidents'])}")
    for one in answer["entries"]:
        say(f"stays: {one['list']} entry {one['network']}, whose text names it (lists del)")
    for name in answer["unreadable"]:
        say(f"could not be searched: {name}")
    for name in answer["unexplained"]:
        say(f"still found in {name}: erase again, or remove the file")
