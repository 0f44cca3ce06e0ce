"""The health panel: what is wrong first, with the mend; what is well in few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui import quantity
from tui.house import app_of
from tui.text import CROSS, Piece, clean, elide, wrap
from tui.widgets.lines import Line, Lines, sum_width

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from ipwatchd.control.messages import Check, FirewallState, Status, UplinkState
    from tui.model import InterfaceRate, Model

__all__ = ["Health", "health_lines"]

_GOOD = Piece(" ● ", "good")
_WARN = Piece(" ! ", "warn")
_ABOVE = ("capture ", "firewall", "uplink")
"""Checks whose good side the lines above say better."""
_BAD = Piece(f" {CROSS} ", "bad")


def health_lines(
    model: Model, now: float, cells: int, rows: int, zone: tzinfo | None
) -> list[Line]:
    """Return at most `rows` lines: faults, what was shed, interfaces, firewall, uplink, checks."""
    status = model.status
    if status is None:
        return [[Piece(" no answer yet", "quiet")]]
    said = {check.name for check in status.health if not check.ok}
    faults = [line for check in status.health if not check.ok for line in _fault(check, cells)]
    parts: list[Line] = []
    parts += [
        _interface(one, cells) for one in model.interfaces
        if one.state.state == "up" or f"capture {one.state.name}" not in said
    ]  # fmt: skip
    if "firewall" not in said and status.live:
        parts += _firewall(status.firewall, now, cells, zone)
    if "uplink" not in said:
        parts += _uplink(status.uplink, now, cells)
    parts += _shed(status.shed, cells)
    bad = [line for line in parts if line[0] != _GOOD]
    good = [line for line in parts if line[0] == _GOOD]
    well = [c for c in status.health if c.ok and not c.name.startswith(_ABOVE)]
    lines = [*faults, *bad, *good]
    room = rows - len(lines)
    if len(well) <= room:
        lines += [_well(check, cells) for check in well]
    elif well:
        lines.append([_GOOD, Piece(f"{len(well)} checks ok", "quiet")])
    lines += _memory(status, rows - len(lines))
    if len(lines) > rows > 1:
        hidden = len(lines) - rows + 1
        lines = [*lines[: rows - 1], [Piece(f"   {hidden} more: h shows all", "quiet")]]
    return lines


def _fault(check: Check, cells: int) -> list[Line]:
    text = f"{check.name}: {check.note}" if check.note else check.name
    wrapped = wrap(text, cells - 4)[:3]
    return [[_BAD if i == 0 else Piece("   "), Piece(t, "bad")] for i, t in enumerate(wrapped)]


def _well(check: Check, cells: int) -> Line:
    name = clean(check.name)
    note = elide(clean(check.note), max(cells - len(name) - 5, 0))
    return [_GOOD, Piece(f"{name} "), Piece(note, "quiet")]


def _interface(one: InterfaceRate, cells: int) -> Line:
    state = one.state
    up = state.state == "up"
    name = elide(clean(state.name), 12)
    if not up:
        return [_BAD, Piece(f"{name} {clean(state.state)}", "bad")]
    rate = "" if one.packets is None else f" {quantity.rate(one.packets, 'pkt')}"
    line = [_WARN if one.drops else _GOOD, Piece(f"{name} "), Piece(f"up{rate}", "quiet")]
    if one.drops:
        room = max(cells - sum_width(line) - 2, 4)
        line.append(Piece(f", {elide(f'{quantity.count(one.drops)} dropped', room)}", "warn"))
    return line


def _firewall(state: FirewallState, now: float, cells: int, zone: tzinfo | None) -> list[Line]:
    lines: list[Line] = []
    if state.confirm_by > now:
        text = f"mode rolls back {quantity.clock(state.confirm_by, zone)} unless confirmed (^p)"
        for sign, part in zip((_WARN, Piece("   ")), wrap(text, cells - 4), strict=False):
            lines.append([sign, Piece(part, "warn")])
    if state.mode.lower() == "off":
        return [*lines, [_WARN, Piece("firewall "), Piece("off: nothing is held back", "warn")]]
    note = clean(state.note)
    if not state.present:
        text = elide(note or "its table is not in the kernel", cells - 14)
        return [*lines, [_BAD, Piece("firewall "), Piece(text, "bad")]]
    if not state.in_sync:
        text = elide(note or "differs from the lists", cells - 14)
        return [*lines, [_BAD, Piece("firewall "), Piece(text, "bad")]]
    verb = "dropped" if state.mode.lower() == "enforce" else "would drop"
    text = f"in sync, {quantity.count(state.deny)} denied"
    more = f", {verb} {quantity.count(state.packets)}"
    if len(text) + len(more) + 12 <= cells:
        text += more
    else:
        lines.append([_GOOD, Piece("firewall "), Piece(text, "quiet")])
        return [
            *lines,
            [_GOOD, Piece(f"{verb} "), Piece(f"{quantity.count(state.packets)} packets", "quiet")],
        ]
    return [*lines, [_GOOD, Piece("firewall "), Piece(text, "quiet")]]


def _uplink(state: UplinkState, now: float, cells: int) -> list[Line]:
    if not state.url:
        return []
    waiting = f"{quantity.count(state.waiting)} waiting"
    if state.reachable:
        return [[_GOOD, Piece("uplink "), Piece(f"ok, {waiting}", "quiet")]]
    last = quantity.age(state.last_success, now)
    why = clean(state.error) or "unreachable"
    text = f"{waiting}{f', last ok {last} ago' if last else ''}: {why}"
    return [[_WARN, Piece("uplink "), Piece(elide(text, cells - 11), "warn")]]


def _shed(shed: dict[str, int], cells: int) -> Sequence[Line]:
    return [
        [_WARN, Piece(elide(f"{clean(name)} shed {quantity.count(number)}", cells - 4), "warn")]
        for name, number in sorted(shed.items()) if number
    ][:8]  # fmt: skip


def _memory(status: Status, room: int) -> list[Line]:
    if room < 1 or not status.memory_bytes:
        return []
    flows = f", {quantity.count(status.flows_live)} flows live"
    return [[_GOOD, Piece("memory "), Piece(quantity.size(status.memory_bytes) + flows, "quiet")]]


class Health(Lines):
    """The panel of health."""

    def build(self) -> list[Line]:
        """Return as many lines as there is room for."""
        app = app_of(self)
        return health_lines(app.model, app.now(), self.cells, self.rows, app.zone)
