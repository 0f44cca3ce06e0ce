"""Calls that show and change what the kernel does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from ipwatchd.control.call import UnavailableError
from ipwatchd.control.messages import Applied, FirewallState
from ipwatchd.lists.compile import network_ranges
from ipwatchd.lists.tier import is_bulk
from ipwatchd.records.duration import duration_text
from ipwatchd.records.network import is_selector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.enforcement import Choice, Enforcement
    from ipwatchd.firewall import Met, Tally
    from ipwatchd.records.entry import ListEntry

__all__ = ["confirm", "diff", "firewall_state", "met", "rollback", "set_mode", "state"]


class _Mode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: str
    confirm_seconds: Annotated[float, Meta(ge=0, le=86400)] | None = None
    """None: as [firewall] confirm_seconds says; 0: for good."""
    reason: Annotated[str, Meta(max_length=500)] = ""


def _enforcement(house: House) -> Enforcement:
    if house.live is None or house.live.enforcement is None:
        raise UnavailableError("no firewall runs here: this needs the daemon")
    return house.live.enforcement


def firewall_state(house: House, now: float) -> FirewallState:
    """Return the kernel's side as it is known now."""
    live = house.live
    if live is None or live.enforcement is None or live.firewall is None:
        return FirewallState(mode="off", note="no firewall runs here")
    choice = live.enforcement.choice(now)
    kernel = live.firewall.status()
    return FirewallState(
        mode=choice.mode,
        present=kernel.present,
        in_sync=not live.enforcement.note,
        deny=kernel.deny,
        allow=kernel.allow,
        packets=kernel.packets,
        bytes=kernel.bytes,
        confirm_by=choice.confirm_by,
        note=live.enforcement.note or live.enforcement.bypass,
        repairs=live.enforcement.repairs,
        changed_by=live.enforcement.changed_by,
    )


async def met(house: House, entries: Sequence[ListEntry]) -> list[Met | None]:
    """Return what each entry has met in the kernel; None where that is not counted.

    What people and responses entered is; what comes in masses is not.
    """
    live = house.live
    if live is None or live.enforcement is None:
        return [None] * len(entries)
    tally = await live.enforcement.tally()
    return [_met(tally, entry) for entry in entries]


def _met(tally: Tally, entry: ListEntry) -> Met | None:
    if is_bulk(entry.source) or is_selector(entry.network):
        return None
    [(first_hi, first_lo, last_hi, last_lo, _)] = network_ranges([entry.network]).tolist()
    name = entry.list if entry.scope == "site" else f"on-{entry.scope}-{entry.list}"
    return tally.met(name, [(first_hi << 64 | first_lo, last_hi << 64 | last_lo)])


async def state(house: House, call: Call) -> FirewallState:
    """Answer GET firewall."""
    return firewall_state(house, call.now)


async def diff(house: House, call: Call) -> dict[str, Any]:
    """Answer GET firewall/diff: stored against kernel."""
    enforcement = _enforcement(house)
    return (await enforcement.diff(call.now))._asdict()


async def set_mode(house: House, call: Call) -> Applied:
    """Answer POST firewall/mode."""
    asked = msgspec.convert(call.body, _Mode)
    enforcement = _enforcement(house)
    seconds = asked.confirm_seconds
    if seconds is None:
        seconds = enforcement.settings.confirm_seconds
    return _applied(await enforcement.set_mode(asked.mode, seconds, call.now), call.now)


async def confirm(house: House, call: Call) -> Applied:
    """Answer POST firewall/confirm."""
    return _applied(await _enforcement(house).confirm(call.now), call.now)


async def rollback(house: House, call: Call) -> Applied:
    """Answer POST firewall/rollback."""
    return _applied(await _enforcement(house).rollback(call.now), call.now)


def _applied(choice: Choice, now: float) -> Applied:
    note = f"firewall: {choice.mode}"
    if choice.confirm_by:
        left = duration_text(choice.confirm_by - now)
        note += (
            f"; back to {choice.previous} in {left} unless confirmed (ipwatchctl firewall confirm)"
        )
    return Applied(mode=choice.mode, note=note, confirm_by=choice.confirm_by)
