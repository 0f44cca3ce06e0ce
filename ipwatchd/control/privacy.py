"""Calls about one person's data: what is held, erase it, who is behind a pseudonym, the audit log."""  # noqa: E501 - one line says it

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.backup import backup as write_backup
from ipwatchd.control.call import NotFoundError
from ipwatchd.history.secret import pseudonyms
from ipwatchd.history.subject import Subject, subject_of
from ipwatchd.records.filter import Filter, Term, render

if TYPE_CHECKING:
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House

__all__ = ["backup", "erase", "reveal", "subject", "verify"]

_PAGE: Final = 500
# Lines of the audit log that are searched for a subject.
_LINES: Final = 1_000_000


async def subject(house: House, call: Call) -> dict[str, Any]:
    """Answer GET subjects/{subject}: what is held, and the exports that hold the rest of it.

    Keys: subject kind totals entries incidents audit mentions sections (stream → its filter).
    """
    who = subject_of(call.names["subject"])
    history = house.stores.history
    totals: dict[str, Any] = {}
    if who.key:
        found = await history.address(who.text)
        totals = {key: value for key, value in (found or {}).items() if key not in _STREAMED}
    return {
        "subject": who.text, "kind": who.kind, "made": call.now, "totals": totals,
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
    entries = [msgspec.to_builtins(one) for one in house.stores.lists.entries(now=now)]
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

    Keys: subject removed (by table) searched (files bytes) found (file → how often, what is left
    and stays) unreadable incidents entries audit.
    """
    who = subject_of(call.names["subject"])
    reason = str(call.body.get("reason") or "").strip()
    if not reason or who.named_in(reason):
        raise ValueError("say why in --reason TEXT, without naming whom: the audit log keeps it")
    await house.exports.close()  # an open cursor would hold the log with the rows in it
    erased = await house.stores.history.erase(who, call.now)
    left = erased.left
    # The log must not keep what was erased.
    call.names["subject"] = _alias(house, who)
    kept = await _elsewhere(house, who, call.now)
    return {
        "subject": who.text, "removed": erased.removed,
        "searched": {"files": left.files, "bytes": left.bytes}, "found": left.found,
        "unreadable": left.unreadable, "incidents": kept["incidents"],
        "entries": kept["entries"], "audit": len(kept["audit"]),
    }  # fmt: skip


def _alias(house: House, who: Subject) -> str:
    names = pseudonyms(house.stores.state_dir, make=True)
    return names.address(who.text) if who.key else names.name("agent", who.text)


async def reveal(house: House, call: Call) -> dict[str, Any]:
    """Answer POST reveal: body pseudonym, reason → what it stands for."""
    pseudonym = str(call.body.get("pseudonym", "")).strip()
    if not str(call.body.get("reason") or "").strip():
        raise ValueError("revealing whom a pseudonym stands for needs a reason: --reason TEXT")
    names = pseudonyms(house.stores.state_dir, make=False)
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
    """Answer GET audit/verify: `broken` is the first line that does not fit the chain, or 0."""
    del call
    lines = await house.stores.audit.lines(1)
    return {"lines": lines[0].seq if lines else 0, "broken": await house.stores.audit.verify()}
