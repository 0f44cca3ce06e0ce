"""What entries for some addresses would have touched, counted from the roll-ups.

A country is thousands of ranges: the addresses that were seen are matched in columns; a few ranges
are looked up. At most ROWS rows are read.
"""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from ipwatchd.history.rollup import pack, unpack
from ipwatchd.records.policy import contains

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from numpy.typing import NDArray

    from ipwatchd.history.sql import Where

    Ask = Callable[..., Awaitable[list[Any]]]
    """Asks a SELECT with parameters for its rows."""

__all__ = ["service_touched", "touched"]

ROWS: Final = 1_000_000
"""Rows read for one question: an admin waits for the answer, and the daemon holds its tally."""
_FEW: Final = 8
_SHOWN: Final = 20
_AGENTS: Final = 200


class _Tally:
    """Flows, bytes and last hour of each address, flows of each service."""

    def __init__(self) -> None:
        self.by_address: dict[bytes, list[float]] = {}
        self.services: dict[str, int] = {}

    def add(self, address: bytes, service: str, flows: int, octets: int, seen: float) -> None:
        row = self.by_address.setdefault(address, [0, 0, 0.0])
        row[0] += flows
        row[1] += octets
        row[2] = max(row[2], seen)
        self.services[service] = self.services.get(service, 0) + flows

    def answer(self) -> dict[str, Any]:
        busiest = nlargest(_SHOWN, self.by_address.items(), key=lambda one: one[1][1])
        services = nlargest(_SHOWN, self.services.items(), key=lambda one: one[1])
        return {
            "addresses": len(self.by_address),
            "flows": int(sum(row[0] for row in self.by_address.values())),
            "bytes": int(sum(row[1] for row in self.by_address.values())),
            "services": [{"service": name, "flows": flows} for name, flows in services],
            "busiest": [
                {"address": str(unpack(key)), "flows": int(row[0]), "bytes": int(row[1]),
                 "last_seen": row[2]}
                for key, row in busiest
            ],
        }  # fmt: skip


def _inside(keys: Sequence[bytes], ranges: NDArray[np.void]) -> NDArray[np.bool_]:
    parts = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2).astype(np.uint64)
    return contains(ranges, np.ascontiguousarray(parts[:, 0]), np.ascontiguousarray(parts[:, 1]))


def _narrowed(column: str, ranges: NDArray[np.void]) -> tuple[str, list[bytes]]:
    """Return a condition where a look-up is less than reading all, and its parameters."""
    if not 0 < len(ranges) <= _FEW:
        return "", []
    ends = [
        pack(high, low) for row in ranges.tolist() for high, low in (row[0:2], row[2:4])
    ]  # fmt: skip
    words = " OR ".join([f"{column} BETWEEN ? AND ?"] * len(ranges))
    return f" AND ({words})", ends


async def touched(rows: Ask, sums: Where, ranges: NDArray[np.void], since: float) -> dict[str, Any]:
    """Return what entries for `ranges` (merged) would have touched since then.

    `sums` is the SELECT of the span's roll-ups. Gives `addresses flows bytes`, `services` and
    `busiest` (20 at most) and the `agents` that worked from there; not `complete` where ROWS were
    not enough.
    """
    tally = _Tally()
    found = await _addresses(rows, ranges, since)
    question = (
        "SELECT s.address, t.service, sum(s.flows), sum(s.bytes_in + s.bytes_out), max(s.ts) "  # noqa: S608 (our own words)
        f"FROM ({sums.sql}) s JOIN traffic t ON t.id = s.traffic "
        "WHERE s.address IN (SELECT value FROM json_each(?)) GROUP BY 1, 2 LIMIT ?"
    )
    ids = msgspec.json.encode([*found]).decode()
    answer = await rows(question, (*sums.parameters, ids, ROWS)) if found else []
    for number, service, flows, octets, seen in answer:
        tally.add(found[number], service, flows, octets, float(seen))
    complete = len(found) < ROWS and len(answer) < ROWS
    return {
        **tally.answer(), "agents": await _agents(rows, ranges, since), "complete": complete,
    }  # fmt: skip


async def _addresses(rows: Ask, ranges: NDArray[np.void], since: float) -> dict[int, bytes]:
    """Return the addresses inside that were seen, by their number."""
    if not len(ranges):
        return {}
    words, ends = _narrowed("address", ranges)
    answer = await rows(
        f"SELECT id, address FROM address WHERE last_seen >= ?{words} "  # noqa: S608 (our own words)
        "ORDER BY last_seen DESC LIMIT ?",
        (since, *ends, ROWS),
    )
    inside = _inside([row[1] for row in answer], ranges) if answer else ()
    return {row[0]: bytes(row[1]) for row, hit in zip(answer, inside, strict=True) if hit}


async def _agents(rows: Ask, ranges: NDArray[np.void], since: float) -> list[str]:
    answer = await rows(
        "SELECT agent, address FROM agent WHERE last_seen >= ? ORDER BY last_seen DESC LIMIT ?",
        (since, ROWS),
    )
    if not answer or not len(ranges):
        return []
    inside = _inside([row[1] for row in answer], ranges)
    names = dict.fromkeys(row[0] for row, hit in zip(answer, inside, strict=True) if hit)
    return [*names][:_AGENTS]


async def service_touched(
    rows: Ask, ranges: NDArray[np.void], since: float, *, protocol: int,
    ports: Sequence[tuple[int, int]], to: NDArray[np.void], outside: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return what entries of a service would have touched: who knocked there, from `ranges`.

    With `outside` those from anywhere else: whom a service for the allowed alone would stop. Sums
    are over the time that the same address knocked at the same port, which may begin before.
    """
    tally = _Tally()
    some = " OR ".join(["i.port BETWEEN ? AND ?"] * len(ports))
    words, ends = _narrowed("s.address", ranges) if not outside else ("", [])
    question = (
        "SELECT s.address, t.address, i.service, i.count, i.bytes, i.last_seen FROM incoming i "  # noqa: S608 (our own words)
        "JOIN address s ON s.id = i.source JOIN address t ON t.id = i.target "
        f"WHERE i.last_seen >= ? AND i.proto = ? AND ({some}){words} "
        "ORDER BY i.last_seen DESC LIMIT ?"
    )
    numbers = [end for pair in ports for end in pair]
    answer = await rows(question, (since, protocol, *numbers, *ends, ROWS))
    if answer:
        hits = _inside([row[0] for row in answer], ranges) ^ outside
        if len(to):
            hits &= _inside([row[1] for row in answer], to)
        for row, hit in zip(answer, hits, strict=True):
            if hit:
                tally.add(bytes(row[0]), row[2], row[3], row[4], row[5])
    return {**tally.answer(), "agents": [], "complete": len(answer) < ROWS}
