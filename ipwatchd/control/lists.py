"""Calls that show and change the allow and deny lists."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from ipwatchd.control import firewall
from ipwatchd.control.call import NotFoundError
from ipwatchd.control.messages import ListChange
from ipwatchd.lists import formats
from ipwatchd.records.duration import duration_text
from ipwatchd.records.entry import LISTS, network_text, parse_network

if TYPE_CHECKING:
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.records.entry import ListEntry

__all__ = ["add", "entries", "import_entries", "preview", "remove", "why"]

Text = Annotated[str, Meta(max_length=500)]


class _Add(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    network: Annotated[str, Meta(max_length=128)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    seconds: Annotated[float, Meta(ge=0, le=10 * 366 * 86400)] = 0.0
    ticket: Annotated[str, Meta(max_length=100)] = ""
    force: bool = False
    service: Annotated[str, Meta(max_length=32)] = ""
    session: Annotated[str, Meta(max_length=64)] = ""
    """Where the person who asks comes from (SSH): a deny that would cut the branch they sit on
    needs force as well."""


class _Import(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    format: str = "plain"


def _name(call: Call) -> str:
    name = call.names["name"]
    if name not in LISTS:
        raise NotFoundError(f"there is no list {name!r}: {' and '.join(LISTS)} are")
    return name


def _entry(entry: ListEntry) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(entry)
    return built


async def entries(house: House, call: Call) -> list[dict[str, Any]]:
    """Answer GET lists/NAME: the entries in force, with what those that count have met."""
    found = house.stores.lists.entries(_name(call), now=call.now)
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
    management = [*house.stores.config.firewall.management]
    if asked.session:
        management.append(str(ipaddress.ip_address(asked.session.partition("%")[0])))
    change = await house.stores.lists.add(
        name, asked.network, reason=asked.reason, author=call.peer.name, now=call.now,
        expires=call.now + asked.seconds if asked.seconds else 0.0, ticket=asked.ticket,
        force=asked.force, management=management, scope=asked.service or "site",
    )  # fmt: skip
    await changed(house, name, change.entry, "add", call)
    span = f" for {duration_text(asked.seconds)}" if asked.seconds else ""
    past = "denied" if name == "deny" else "allowed"
    note = f"{past} {network_text(change.entry.network)}{span}{effect(house)}"
    return ListChange(
        entry=_entry(change.entry),
        note="; ".join(part for part in (change.note, note) if part),
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
    return ListChange(entry=_entry(change.entry), note=note, applied=_enforcing(house))


async def changed(house: House, name: str, entry: ListEntry, action: str, call: Call) -> None:
    """Put a change into history and down to the kernel."""
    house.stores.history.add_list_change(
        ts=call.now, list=name, network=entry.network, action=action, author=call.peer.name,
        reason=entry.reason,
    )  # fmt: skip
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
    """Answer POST lists/NAME/import: all good lines are taken, the bad ones named."""
    name = _name(call)
    asked = msgspec.convert(call.body, _Import)
    parsed = await asyncio.to_thread(formats.parse, asked.text, asked.format, now=call.now)
    problems = [f"line {problem.line}: {problem.text}" for problem in parsed.problems]
    wanted = formats.entries_of(
        [item._replace(list="") for item in parsed.entries], list=name, source="import",
        author=call.peer.name, reason=asked.reason, now=call.now,
    )  # fmt: skip
    done = await house.stores.lists.add_all(wanted, now=call.now)
    problems += [f"line {parsed.entries[place].line}: {why}" for place, why in done.refused]
    for entry in (*done.added, *done.renewed):
        house.stores.history.add_list_change(
            ts=call.now, list=name, network=entry.network, action="add", author=call.peer.name,
            reason=entry.reason,
        )  # fmt: skip
    if house.live and house.live.enforcement:
        await house.live.enforcement.sync(call.now)
    return {
        "added": len(done.added) + len(done.renewed),
        "problems": problems[:100],
        "refused": parsed.problem_count + len(done.refused),
    }


async def preview(house: House, call: Call) -> dict[str, Any]:
    """Answer GET lists/NAME/preview?network=…: what the entry would have touched since then."""
    _name(call)
    network, note = parse_network(call.query.get("network", ""))
    found = await house.stores.history.touched(network, call.since("24h"))
    return {"network": network, "note": note, **found}


async def why(house: House, call: Call) -> dict[str, Any]:
    """Answer GET why/ADDRESS: which entry decides."""
    answer: dict[str, Any] = msgspec.to_builtins(
        house.stores.lists.why(
            call.names["address"], now=call.now, service=call.query.get("service", "")
        )
    )
    return answer
