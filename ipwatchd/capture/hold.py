"""Segments that overtook the beginning of their message: held a while, tapped behind it.

What a stream is can be told by its first segment alone. Where the network put that behind the next
ones, these were seen when nothing was known. So the first few segments of a direction whose SYN was
seen, that begin nothing known, are copied to a place that the flow's hash picks; when the beginning
comes, those that follow it are tapped. The places are few, and the last who needs one has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.content import STREAM_TRIES, put
from ipwatchd.capture.jit import compiled, i64
from ipwatchd.capture.table import HELD_OCTETS, HELD_PLACES, Table
from ipwatchd.capture.tcp import SYN

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["hold", "release"]

_EACH: Final = 4
"""Places of a direction of a flow; its first segment can be overtaken by as many."""
_WINDOW: Final = 8192
"""How far behind a beginning a segment may lie: what the readers of streams hold."""


@compiled
def _place(row: Any, side: int, number: int) -> int:
    """Return which place a segment of a direction has: the hash picks two groups of four."""
    return ((i64(row["hash"]) * 2 + side) * _EACH + (number & (_EACH - 1))) & (HELD_PLACES - 1)


@compiled
def hold(table: Table, row: Any, side: int, header: Any, data: Octets) -> None:
    """Keep a segment in which nothing was known, where it is one of the first behind a SYN."""
    at = i64(header["at"])
    size = i64(header["end"]) - at
    number = STREAM_TRIES - i64(row["left"][side]) - 1
    if number >= _EACH or size > HELD_OCTETS or row["flags"][side] & SYN == 0:
        return
    if len(table.held) == 0:
        return
    place = _place(row, side, number)
    held = table.held[place]
    held["hash"] = row["hash"]
    held["a_port"] = row["a_port"]
    held["b_port"] = row["b_port"]
    held["side"] = side
    held["seq"] = header["seq"]
    held["length"] = size
    to = place * HELD_OCTETS
    for i in range(size):
        table.held_data[to + i] = data[at + i]


@compiled
def release(table: Table, packet: Any, header: Any, place: int, side: int, kind: int) -> None:
    """Tap what is held of a direction and follows the segment in `header`, which began a `kind`.

    `header` is then the last one's.
    """
    if len(table.held) == 0:
        return
    row = table.rows[place]
    begun = i64(header["seq"])
    for number in range(_EACH):
        slot = _place(row, side, number)
        held = table.held[slot]
        distance = (i64(held["seq"]) - begun) & 0xFFFFFFFF
        if (
            held["length"] > 0
            and held["hash"] == row["hash"]
            and held["a_port"] == row["a_port"]
            and held["b_port"] == row["b_port"]
            and held["side"] == side
            and 0 < distance < _WINDOW
        ):
            header["at"] = slot * HELD_OCTETS
            header["end"] = slot * HELD_OCTETS + i64(held["length"])
            header["seq"] = held["seq"]
            held["length"] = 0
            put(table, packet, header, place, side, kind, table.held_data)
