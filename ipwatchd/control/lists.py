"""Calls that show and change the allow and deny lists."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from ipwatchd.bindings import Bindings
from ipwatchd.control import firewall
from ipwatchd.control.call import NotFoundError
from ipwatchd.control.logins import remote_logins
from ipwatchd.control.messages import ListChange
from ipwatchd.lists import formats
from ipwatchd.records.duration import duration_text
from ipwatchd.records.entry import LISTS, network_text
from ipwatchd.records.network import canonical, is_selector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.lists import Imported
    from ipwatchd.records.entry import ListEntry

__all__ = ["add", "changed", "entries", "export", "import_entries", "remove", "why"]

Text = Annotated[str, Meta(max_length=500)]
_PAGE = 10_000
"""Entries of one answer."""
_FOREIGN = ("feed:", "central")
"""Sources that others keep: no export of our own lists has them unless asked for."""


class _Add(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    network: Annotated[str, Meta(max_length=300)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    seconds: Annotated[float, Meta(ge=0, le=10 * 366 * 86400)] = 0.0
    ticket: Annotated[str, Meta(max_length=100)] = ""
    force: bool = False
    service: Annotated[str, Meta(max_length=32)] = ""
    session: Annotated[str, Meta(max_length=200)] = ""
    """SSH_CONNECTION of who asks, as a hint: see logins.py."""


class _Import(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    format: str = ""
    seconds: Annotated[float, Meta(ge=0, le=10 * 366 * 86400)] = 0.0
    only_look: bool = False
    session: Annotated[str, Meta(max_length=200)] = ""


def _name(call: Call) -> str:
    name = call.names["name"]
    if name not in LISTS:
        raise NotFoundError(f"there is no list {name!r}: {' and '.join(LISTS)} are")
    return name


def _entry(entry: ListEntry) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(entry)
    return built


def _chosen(house: House, call: Call) -> Iterator[ListEntry]:
    """Yield the entries in force that source, service and match of the query let through."""
    source, service = call.query.get("source", ""), call.query.get("service", "")
    match, own = call.query.get("match", "").lower(), call.query.get("own", "") == "true"
    for entry in house.stores.lists.each(_name(call), now=call.now, feeds=not own):
        if (
            (not source or entry.source == source)
            and (not service or entry.scope == service)
            and (not own or not entry.source.startswith(_FOREIGN))
            and (not match or match in f"{entry.network} {entry.reason} {entry.ticket}".lower())
        ):
            yield entry


async def entries(house: House, call: Call) -> list[dict[str, Any]]:
    """Answer GET lists/NAME: the entries in force, with what those that count have met.

    A page of them (offset, limit); `source`, `service` and `match` (a part of network, reason or
    ticket) choose some.
    """
    begin, many = call.number("offset", 0), call.number("limit", _PAGE)
    found = await asyncio.to_thread(
        lambda: [*islice(_chosen(house, call), begin, begin + many)]
    )  # fmt: skip
    met = await firewall.met(house, found)
    return [
        _entry(entry) | (one._asdict() if one else {"packets": None, "bytes": None})
        for entry, one in zip(found, met, strict=True)
    ]


async def add(house: House, call: Call) -> ListChange:
    """Answer POST lists/NAME. For good, by force or to allow needs the role admin."""
    name = _name(call)
    asked = msgspec.convert(call.body, _Add)
    if name == "allow" or not asked.seconds or asked.force:
        call.need_role("admin")
    network = canonical(asked.network)[0]
    stands_for = None
    if is_selector(network):
        stands_for = await Bindings(house.stores).stands_for(network, call.now)
    change = await house.stores.lists.add(
        name, asked.network, reason=asked.reason, author=call.peer.name, now=call.now,
        expires=call.now + asked.seconds if asked.seconds else 0.0, ticket=asked.ticket,
        force=asked.force, sessions=await asyncio.to_thread(remote_logins, asked.session),
        scope=asked.service or "site", stands_for=stands_for,
    )  # fmt: skip
    await changed(house, name, change.entry, "add", call)
    span = f" for {duration_text(asked.seconds)}" if asked.seconds else ""
    past = "denied" if name == "deny" else "allowed"
    at = f" at {asked.service}" if asked.service else ""
    note = f"{past} {network_text(change.entry.network)}{at}{span}{effect(house)}"
    nobody = stands_for is not None and not len(stands_for)
    unbound = f"{network} stands for nobody yet" if nobody else ""
    return ListChange(
        entry=_entry(change.entry),
        note="; ".join(part for part in (change.note, note, unbound) if part),
        applied=_enforcing(house),
    )


async def remove(house: House, call: Call) -> ListChange:
    """Answer DELETE lists/NAME?network=NETWORK&reason=TEXT."""
    name = _name(call)
    if name == "allow":
        call.need_role("admin")
    network = call.query.get("network", "")
    reason = call.query.get("reason", "")[:500]
    if not reason:
        raise ValueError("say why: reason is missing")
    change = await house.stores.lists.remove(
        name, network, author=call.peer.name, reason=reason, now=call.now,
        scope=call.query.get("service", "") or "site",
    )  # fmt: skip
    await changed(house, name, change.entry, "remove", call)
    past = "denied" if name == "deny" else "allowed"
    note = f"released {network_text(change.entry.network)}, {past} by {change.entry.author}"
    note += f": {change.entry.reason}"
    if change.note:
        note += f"; {change.note}"
    return ListChange(entry=_entry(change.entry), note=note, applied=_enforcing(house))


async def changed(house: House, name: str, entry: ListEntry, action: str, call: Call) -> None:
    """Put a change into history and down to the kernel."""
    house.stores.history.add_list_change(
        ts=call.now, list=name, network=entry.network, action=action, author=call.peer.name,
        reason=entry.reason,
    )  # fmt: skip
    await _settle(house, call)


async def _settle(house: House, call: Call) -> None:
    if house.live and house.live.enforcement:
        await house.live.enforcement.sync(call.now)
    if house.live is None and not house.stores.read_only:
        await house.stores.history.flush(call.now)


def _enforcing(house: House) -> bool:
    live = house.live
    return bool(live and live.enforcement and not live.enforcement.note)


def effect(house: House) -> str:
    """Say in half a sentence what a change does now."""
    live = house.live
    if live is None or live.enforcement is None:
        return " (stored; no daemon runs here)"
    if live.enforcement.note:
        return f" (stored; the kernel refused: {live.enforcement.note})"
    mode = live.firewall.status().mode if live.firewall else "off"
    words = {
        "off": " (stored; the firewall is off)",
        "observe": " (observed only: counted, not dropped)",
    }
    return words.get(mode, "")


async def import_entries(house: House, call: Call) -> dict[str, Any]:
    """Answer POST lists/NAME/import: all good lines are taken, the bad ones named.

    `only_look` changes nothing and says what would come of it.
    """
    name = _name(call)
    asked = msgspec.convert(call.body, _Import)
    parsed = await asyncio.to_thread(formats.parse, asked.text, asked.format, now=call.now)
    for_other = [item for item in parsed.entries if item.list not in {"", name}]
    mine = [item._replace(list="") for item in parsed.entries if item.list in {"", name}]
    wanted = formats.entries_of(
        mine, list=name, source="import", author=call.peer.name, reason=asked.reason, now=call.now,
        expires=call.now + asked.seconds if asked.seconds else 0.0,
    )  # fmt: skip
    sessions = await asyncio.to_thread(remote_logins, asked.session)
    done = await house.stores.lists.add_all(
        wanted, now=call.now, sessions=sessions, only_look=asked.only_look
    )
    if not asked.only_look:
        await _imported(house, name, done, call)
    problems = [
        *parsed.problems,
        *(formats.Problem(mine[at].line, why) for at, why in done.refused),
    ]
    notes = [*parsed.notes]
    if for_other:
        notes.append(formats.Problem(
            for_other[0].line, f"{len(for_other)} entries are for the {for_other[0].list} list: "
            "left out"
        ))  # fmt: skip
    return {
        "added": len(done.added) + len(done.renewed),
        "renewed": len(done.renewed),
        "problems": [f"line {one.line}: {one.text}" for one in problems[:100]],
        "notes": [f"line {one.line}: {one.text}" for one in notes[:100]],
        "refused": parsed.problem_count + len(done.refused),
    }


async def _imported(house: House, name: str, done: Imported, call: Call) -> None:
    for entry in (*done.added, *done.renewed):
        house.stores.history.add_list_change(
            ts=call.now, list=name, network=entry.network, action="add", author=call.peer.name,
            reason=entry.reason,
        )  # fmt: skip
    await _settle(house, call)


async def export(house: House, call: Call) -> dict[str, Any]:
    """Answer GET lists/NAME/export?format=…: a page of the file's text, `more` where it goes on.

    Our own entries, and with `all=true` those of feeds and the centre. An nft script is of both
    lists (what passes is decided by both), and one page.
    """
    kind = call.query.get("format", "plain")
    if call.query.get("all", "") != "true":
        call.query["own"] = "true"
    if kind == "nft":
        return await _script(house, call)
    begin = call.number("offset", 0)
    page = await asyncio.to_thread(
        lambda: [*islice(_chosen(house, call), begin, begin + _PAGE + 1)]
    )
    more = len(page) > _PAGE
    text = formats.export(page[:_PAGE], kind, first=begin == 0, last=not more)
    return {"text": text, "more": more, "next": begin + _PAGE}


async def _script(house: House, call: Call) -> dict[str, Any]:
    await _bind(house, call)
    lists, config = house.stores.lists, house.stores.config
    own = call.query.get("own", "") == "true"
    policy = lists.policy("enforce", config.firewall.management, now=call.now)
    if own:
        policy = await asyncio.to_thread(lists.own_policy, policy, now=call.now)
    kept = [
        one for one in lists.each(now=call.now, feeds=not own)
        if not own or not one.source.startswith(_FOREIGN)
    ]  # fmt: skip
    text = await asyncio.to_thread(
        formats.script, policy, kept, site=config.site.name, now=call.now
    )
    return {"text": text, "more": False, "next": 0}


async def _bind(house: House, call: Call) -> None:
    """Bind the selectors where no daemon does so."""
    if house.live is None:
        await Bindings(house.stores).refresh(call.now)


async def why(house: House, call: Call) -> dict[str, Any]:
    """Answer GET why/ADDRESS: which entry decides, and every rule in the order it is asked."""
    await _bind(house, call)
    answer: dict[str, Any] = msgspec.to_builtins(
        house.stores.lists.why(
            call.names["address"], now=call.now, service=call.query.get("service", "")
        )
    )
    return answer
