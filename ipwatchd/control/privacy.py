"""Calls about one person's data: what is held, erase it, who is behind a pseudonym, the audit log."""  # noqa: E501 - one line says it

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.backup import backup as write_backup
from ipwatchd.control.call import NotFoundError
from ipwatchd.detect.baselines import unlearn_file
from ipwatchd.history.secret import pseudonyms
from ipwatchd.history.subject import Subject, subject_of
from ipwatchd.records.filter import Filter, Term, render

if TYPE_CHECKING:
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House

__all__ = ["backup", "drop_key", "erase", "keys", "reveal", "subject", "verify"]

_PAGE: Final = 500
# Lines of the audit log that are searched for a subject.
_LINES: Final = 1_000_000


async def subject(house: House, call: Call) -> dict[str, Any]:
    """Answer GET subjects/{subject}: what is held, and the exports that hold the rest of it.

    Keys: subject kind site made totals entries incidents audit mentions, and sections (stream → its
    filter).
    """
    who = subject_of(call.names["subject"])
    history = house.stores.history
    totals: dict[str, Any] = {}
    if who.kind == "address":
        found = await history.address(who.text)
        totals = {key: value for key, value in (found or {}).items() if key not in _STREAMED}
    return {
        "subject": who.text, "kind": who.kind, "site": house.stores.config.site.name,
        "made": call.now, "totals": totals,
        "sections": _sections(who), "mentions": await history.mentioned(who),
        **await _elsewhere(house, who, call.now),
    }  # fmt: skip


_STREAMED: Final = frozenset(
    {"places", "agents", "sessions", "incoming", "lists", "api", "events", "hours"}
)


def _sections(who: Subject) -> dict[str, str]:
    """Return the streams that hold rows about a subject, and the filter of each."""
    if who.key:
        kinds = ("incoming", "agent", "session", "list", "geo", "api", "activity", "flows")
        return dict.fromkeys(kinds, f"addr:{who.text}")
    named = {"agent": "agent", "events": "user", "api": "user", "list": "user"}
    return {
        what: render(Filter((Term(key, (who.text.replace("*", "?"),)),)))
        for what, key in named.items()
    }


async def _elsewhere(house: House, who: Subject, now: float) -> dict[str, Any]:
    """Return what other rooms hold of a subject: an erasure leaves these and names them."""
    lists = house.stores.lists
    found = [*lists.each(now=now, feeds=False)]
    if who.key:  # a feed has a million addresses and no names: asked for the one
        held = lists.why(who.text, now)
        some = (held.decided_by, *held.also)
        found += [one for one in some if one and one.source.startswith("feed:")]
    entries = [msgspec.to_builtins(one) for one in found]
    lines = await house.stores.audit.lines(_LINES)
    return {
        "entries": [one for one in entries if who.named_in(msgspec.json.encode(one).decode())],
        "incidents": await _incidents(house, who),
        "audit": [line._asdict() for line in lines if who.named_in(" ".join(map(str, line[2:])))],
    }


async def _incidents(house: House, who: Subject) -> list[str]:
    """Return the incidents whose events name a subject."""
    found: dict[str, None] = {}
    seq = 0
    while events := await house.stores.incidents.after(seq, _PAGE):
        for event in events:
            if who.named_in(msgspec.json.encode(event).decode()):
                found[event.incident] = None
        seq = events[-1].seq
    return list(found)


async def erase(house: House, call: Call) -> dict[str, Any]:
    """Answer POST subjects/{subject}/erase: body reason.

    Keys: subject kind removed (by table, and `learned` of detectors) searched (files bytes) found
    (file → how often, what is left and stays) unreadable anonymous (days) incidents entries audit
    mails (files) centre (url incidents).
    """
    who = subject_of(call.names["subject"])
    reason = str(call.body.get("reason") or "").strip()
    if not reason or who.named_in(reason):
        raise ValueError("say why in --reason TEXT, without naming whom: the audit log keeps it")
    await house.exports.close()  # an open cursor would hold the log with the rows in it
    learned = await asyncio.to_thread(_unlearn, house, who)
    erased = await house.stores.history.erase(who, call.now)
    left = erased.left
    # The log must not keep what was erased.
    call.names["subject"] = _alias(house, who)
    kept = await _elsewhere(house, who, call.now)
    return {
        "subject": who.text, "kind": who.kind,
        "removed": erased.removed | ({"learned": learned} if learned else {}),
        "searched": {"files": left.files, "bytes": left.bytes}, "found": left.found,
        "unreadable": left.unreadable, "anonymous": left.anonymous,
        "incidents": kept["incidents"], "entries": kept["entries"], "audit": len(kept["audit"]),
        "mails": await asyncio.to_thread(_mails, house, who),
        "centre": _centre(house, kept["incidents"]),
    }  # fmt: skip


def _alias(house: House, who: Subject) -> str:
    return pseudonyms(house.stores.state_dir, make=True).text("agent", who.text)


def _unlearn(house: House, who: Subject) -> int:
    """Take a subject out of what detectors learned, in memory and in the file; return how much."""
    if house.live is not None:
        return house.live.pipeline.unlearn(who.without)
    return unlearn_file(house.stores.state_dir / "baselines.bin", who.without)


def _mails(house: House, who: Subject) -> list[str]:
    """Return the mails of the drop that name a subject: originals of reports, evidence too."""
    maildir = house.stores.config.intake.maildir
    if not maildir:
        return []
    files = (path for path in sorted(Path(maildir).rglob("*")) if path.is_file())
    return [str(path) for path in files if who.hits(path.read_bytes())]


def _centre(house: House, incidents: list[str]) -> dict[str, Any]:
    """Return which incidents the centre has its own copy of: it keeps what it has committed."""
    url = house.stores.config.uplink.url
    return {"url": url, "incidents": incidents} if url and incidents else {}


async def reveal(house: House, call: Call) -> dict[str, Any]:
    """Answer POST reveal: body pseudonym, reason → what it stands for."""
    pseudonym = str(call.body.get("pseudonym", "")).strip()
    if not str(call.body.get("reason") or "").strip():
        raise ValueError("revealing whom a pseudonym stands for needs a reason: --reason TEXT")
    try:
        names = pseudonyms(house.stores.state_dir, make=False)
    except FileNotFoundError as error:
        raise NotFoundError(str(error)) from None
    call.names["pseudonym"] = pseudonym
    try:
        return {"pseudonym": pseudonym, "stands_for": names.address(pseudonym, reverse=True)}
    except ValueError:
        pass
    kind = pseudonym.partition("-")[0]
    async for name in house.stores.history.names_known():
        if names.name(kind, name) == pseudonym:
            return {"pseudonym": pseudonym, "stands_for": name}
    raise NotFoundError(
        f"no name held now has the pseudonym {pseudonym}: it was erased, has aged out, or the key "
        "is another"
    )


async def backup(house: House, call: Call) -> dict[str, Any]:
    """Answer POST backup: body folder (absolute) → files bytes made version site."""
    folder = Path(str(call.body.get("folder", "")))
    if not folder.is_absolute():
        raise ValueError("name the backup's folder from the root: /srv/backup/2026-03-01")
    stores = house.stores
    call.names["folder"] = str(folder)
    async with stores.history.still(call.now):
        made = await asyncio.to_thread(
            write_backup, stores.state_dir, folder, site=stores.config.site.name, now=call.now
        )
    return {**msgspec.to_builtins(made), "files": len(made.files)}


async def verify(house: House, call: Call) -> dict[str, Any]:
    """Answer GET audit/verify?head=SEQ:HASH.

    Keys: lines, `broken` the first line that does not fit the chain or 0, `missing` lines that are
    gone at the end by audit.head or the head given, `head` to be noted elsewhere.
    """
    return (await house.stores.audit.verify(call.query.get("head", "")))._asdict()


async def keys(house: House, call: Call) -> list[dict[str, Any]]:
    """Answer GET archive-keys: day key (its SHA-256) made dropped by."""
    del call
    listed: list[dict[str, Any]] = [
        {"dropped": 0.0, "by": "", **msgspec.to_builtins(one)}
        for one in house.stores.history.archive_keys()
    ]
    return listed


async def drop_key(house: House, call: Call) -> dict[str, Any]:
    """Answer POST archive-keys/{day}/drop: body reason.

    Keys: day key segments flows searched (files bytes) found (file → how often the key is in it).
    """
    reason = str(call.body.get("reason") or "").strip()
    if not reason:
        raise ValueError("dropping a key can't be undone and needs a reason: --reason TEXT")
    day = call.names["day"]
    if day not in {one.day for one in house.stores.history.archive_keys()}:
        # It becomes a file's name.
        raise NotFoundError(f"there is no key of {day[:40]}: `archive-keys` lists those there are")
    await house.exports.close()
    done = await house.stores.history.drop_key(day, call.now, call.peer.name)
    return {
        "day": done.day.day, "key": done.day.key, "segments": done.segments, "flows": done.flows,
        "searched": {"files": done.left.files, "bytes": done.left.bytes},
        "found": done.left.found, "unreadable": done.left.unreadable,
    }  # fmt: skip
