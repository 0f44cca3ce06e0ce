"""Makers of columns by what they hold: addresses, times, amounts, states."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final

from tui import quantity
from tui.columns import Column, Context, Row
from tui.text import CROSS, Piece, clean

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "PRIORITY_MEANING", "address", "amount", "bar", "denied", "ends", "first", "flag", "is_address",
    "is_network",
    "moment", "number", "plain", "priority", "said", "state", "when",
]  # fmt: skip

_CHOSEN: Final = re.compile(r"(?:country|asn|name|agent):\S.*|[0-9a-fA-F.:]+ ?- ?[0-9a-fA-F.:]+")
PRIORITY_MEANING: Final = {
    "P1": "badge-bad",
    "P2": "bad",
    "P3": "warn",
    "P4": "text",
    "P5": "quiet",
}
_STATE_MEANING: Final = {
    "NEW": "strong", "TRIAGE": "info", "CONFIRMED": "warn", "CONTAINED": "good",
    "RESOLVED": "good", "REVIEW": "info",
}  # fmt: skip


def _name(key: str) -> str:
    """Return the first of the keys that a column may be under: it is the column's name."""
    return key.partition(" ")[0]


def is_address(value: Any) -> bool:
    """Whether a value is an IP address or a network."""
    if not isinstance(value, str) or not value:
        return False
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def is_network(value: str) -> bool:
    """Whether a text may be what an entry names; the daemon says where it is not."""
    return is_address(value) or _CHOSEN.fullmatch(value) is not None


def first(row: Row, keys: str) -> Any:
    """Return the first of the keys (split by spaces) that the row has something under."""
    for key in keys.split():
        value = row.get(key)
        if value not in {None, ""} if not isinstance(value, (list, dict, tuple)) else value:
            return value
    return None


def said(value: Any) -> str:
    """Return a JSON value as text: lists joined, objects as key=value, nothing for nothing."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, (list, tuple)):
        return ", ".join(said(one) for one in value[:50])
    if isinstance(value, dict):
        return " ".join(f"{clean(k)}={said(v)}" for k, v in list(value.items())[:50])
    return clean(value)


def plain(
    key: str, title: str, *, least: int = 4, most: int = 24, rank: int = 1, meaning: str = "text",
    grow: bool = False,
) -> Column:  # fmt: skip
    """Return a column of text; `key` may name several keys, the first that is there is shown."""
    return Column(
        _name(key), title, lambda row, _: Piece(said(first(row, key)), meaning),
        least=least, most=most, rank=rank, grow=grow, order=lambda row: first(row, key),
    )  # fmt: skip


def _address_order(value: Any) -> Any:
    try:
        network = ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        return None
    return (network.version << 128) + int(network.network_address)


def address(
    key: str = "address", title: str = "ADDRESS", *, least: int = 15, most: int = 39, rank: int = 0
) -> Column:
    """Return a column of addresses: both ends kept, red where the row is denied."""

    def show(row: Row, _: Context) -> Piece:
        return Piece(said(first(row, key)), "bad" if row.get("denied") else "strong")

    return Column(
        _name(key), title, show, least=least, most=most, enough=18, rank=rank,
        middle=True, order=lambda row: _address_order(first(row, key)),
    )  # fmt: skip


def denied() -> Column:
    """Return the column of one cell that marks denied rows without colour."""
    return Column(
        "denied", "", lambda row, _: Piece(CROSS if row.get("denied") else " ", "bad"),
        least=1, most=1, rank=0,
    )  # fmt: skip


def when(key: str, title: str, *, rank: int = 1) -> Column:
    """Return a column of how long ago."""
    return Column(
        _name(key), title,
        lambda row, c: Piece(quantity.age(first(row, key), c.now), "quiet"),
        least=4, most=5, rank=rank, right=True, down=True,
        order=lambda row: quantity.number(first(row, key)),
    )  # fmt: skip


def moment(key: str, title: str, *, rank: int = 1, seconds: bool = True) -> Column:
    """Return a column of dates and times."""

    def show(row: Row, context: Context) -> Piece:
        text = quantity.moment(first(row, key), context.zone)
        return Piece(text if seconds else text[5:16], "quiet")

    cells = 19 if seconds else 11
    return Column(
        _name(key), title, show, least=cells, most=cells, rank=rank, down=True,
        order=lambda row: quantity.number(first(row, key)),
    )  # fmt: skip


def ends(key: str = "expires", title: str = "UNTIL", *, rank: int = 1) -> Column:
    """Return a column of ends in time, 0 being for good."""

    def show(row: Row, context: Context) -> Piece:
        text = quantity.until(row.get(key), context.now, context.zone)
        return Piece(text.removeprefix("until "), "quiet")

    def order(row: Row) -> float:
        return quantity.number(row.get(key)) or float("inf")

    return Column(key, title, show, least=7, most=16, rank=rank, order=order)


def number(
    key: str, title: str, *, rank: int = 1, form: Callable[[Any], str] = quantity.count,
    least: int = 5,
) -> Column:  # fmt: skip
    """Return a column of numbers, right aligned, nothing for none."""

    def show(row: Row, _: Context) -> Piece:
        value = first(row, key)
        return Piece("" if value is None else form(value))

    return Column(
        _name(key), title, show, least=max(least, len(title)), most=12, rank=rank,
        right=True, down=True, order=lambda row: quantity.number(first(row, key)),
    )  # fmt: skip


def amount(key: str, title: str, *, rank: int = 1) -> Column:
    """Return a column of bytes; of several keys the sum."""

    def total(row: Row) -> float:
        return sum(quantity.number(row.get(one)) for one in key.split())

    return Column(
        _name(key), title, lambda row, _: Piece(quantity.size(total(row))),
        least=max(7, len(title)), most=12, rank=rank, right=True, down=True, order=total,
    )  # fmt: skip


def bar(key: str, *, rank: int = 2, least: int = 6, most: int = 24) -> Column:
    """Return a column of bars beside the column of the same numbers."""
    return Column(
        f"{key}-bar", "", lambda _row, _context: Piece(""), least=least, most=most, rank=rank,
        grow=True, share=lambda row: quantity.number(row.get(key)),
    )  # fmt: skip


def flag(key: str, title: str, *, rank: int = 1, meaning: str = "bad") -> Column:
    """Return a column that says yes or nothing."""
    return Column(
        key, title, lambda row, _: Piece("yes" if row.get(key) else "", meaning),
        least=max(3, len(title)), most=8, rank=rank, order=lambda row: bool(row.get(key)),
    )  # fmt: skip


def priority() -> Column:
    """Return the column of priorities, the gravest standing out."""

    def show(row: Row, _: Context) -> Piece:
        text = said(row.get("priority"))
        return Piece(text, PRIORITY_MEANING.get(text, "text"))

    return Column(
        "priority", "PR", show, least=2, most=2, rank=0, order=lambda row: row.get("priority")
    )


def state() -> Column:
    """Return the column of incident states."""

    def show(row: Row, _: Context) -> Piece:
        text = said(row.get("state"))
        return Piece(text, _STATE_MEANING.get(text, "quiet"))

    return Column(
        "state", "STATE", show, least=9, most=9, rank=1, order=lambda row: row.get("state")
    )
