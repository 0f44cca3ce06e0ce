"""Sums: both stores count as plain Python does, and a keyed archive as one in clear."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.history.archive import Names, table
from ipwatchd.history.lake import CLEAR, FLOWS, Shadow, read_flows
from ipwatchd.history.sql import Where, compile_filter
from ipwatchd.history.sums import FlowSums
from ipwatchd.records.event import Auth, Dns
from ipwatchd.records.filter import FilterError, Shape, parse
from tests.history.made import T0, ZONES, flow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.history.made import Open

ADDRESSES = ("10.20.0.5", "10.20.0.6", "203.0.113.9", "2001:db8::1")
_batches = st.lists(
    st.builds(
        flow,
        st.sampled_from(ADDRESSES),
        st.sampled_from(ADDRESSES),
        start=st.integers(-9000, 9000).map(lambda offset: T0 + offset),
        port=st.sampled_from([22, 443]),
        service=st.sampled_from(["", "tls", "ssh"]),
        direction=st.sampled_from(["incoming", "outgoing"]),
        zones=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    ),
    min_size=1,
    max_size=10,
).map(np.concatenate)
_fields = st.lists(
    st.sampled_from(["addr", "orig", "resp", "port", "service", "direction", "zone"]),
    max_size=2,
    unique=True,
)
_shapes = st.builds(
    Shape, _fields.map(tuple), st.sampled_from([0, 1, 60, 3600, 86400]),
    st.sampled_from([(), ("orig",), ("service", "resp")]),
)  # fmt: skip
_KEYS = {"port": "resp_port"}


def views(row: dict[str, Any], shape: Shape) -> Iterable[dict[str, Any]]:
    """Return a flow as the sums see it: once, or once for each end."""
    far = "orig" if row["direction"] == "incoming" else "resp"
    seen = {**row, "port": row["resp_port"], "zone": row[f"{far}_zone"]}
    if "addr" not in shape.by:
        return [seen]
    return [{**seen, "addr": row["orig"]}, {**seen, "addr": row["resp"]}]


def naive(rows: Iterable[dict[str, Any]], shape: Shape) -> list[dict[str, Any]]:
    """Sum up by the definition."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in (view for one in rows for view in views(one, shape)):
        bucket = int(row["start"] // shape.every * shape.every) if shape.every else 0
        groups[(bucket, *(row[name] for name in shape.by))].append(row)
    return [
        {
            **({"ts": key[0]} if shape.every else {}),
            **dict(zip(shape.by, key[1:], strict=True)),
            "flows": len(some),
            "packets": sum(row["orig_packets"] + row["resp_packets"] for row in some),
            "bytes": sum(row["orig_bytes"] + row["resp_bytes"] for row in some),
            "first_seen": min(row["start"] for row in some),
            "last_seen": max(row["end"] for row in some),
            **{f"distinct_{name}": len({row[name] for row in some}) for name in shape.distinct},
        }
        for key, some in groups.items()
    ]


@settings(max_examples=100, deadline=None)
@given(_batches, _shapes, st.sampled_from(["", "port:22", "addr:10.20.0.5", "!service:tls"]))
def test_sums_of_flows(flows: np.ndarray, shape: Shape, words: str) -> None:
    """DuckDB's sums are those of plain Python, the greatest first within each bucket."""
    live = table(flows, Names(ZONES, (), {}))
    where = [compile_filter(parse(words, T0), FLOWS, "flows")]
    rows = read_flows([], live, where, 100).rows
    sums = FlowSums(shape, "bytes")
    found = sums.ask([], live, {CLEAR: Shadow(where)}, 1000).rows
    sums.close()
    assert sorted(map(str, found)) == sorted(map(str, naive(rows, shape)))
    order = [(-row.get("ts", 0), -row["bytes"]) for row in found]
    assert order == sorted(order)


_events = st.lists(
    st.one_of(
        st.builds(
            Dns, ts=st.integers(-9000, 9000).map(lambda offset: T0 + offset),
            orig=st.sampled_from(ADDRESSES), name=st.sampled_from(["a.example", "b.example"]),
        ),
        st.builds(
            Auth, ts=st.integers(-9000, 9000).map(lambda offset: T0 + offset),
            orig=st.sampled_from(ADDRESSES), user=st.sampled_from(["maria", "juan"]),
            result=st.just("failure"), service=st.just("ssh"),
        ),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@pytest.mark.parametrize(
    "words", ["by:kind", "by:orig,user every:1h count:name", "count:orig,user"]
)
async def test_sums_of_events(open_history: Open, words: str) -> None:
    """SQLite's sums are those of plain Python."""
    shape = parse(words, T0).shape()
    assert shape is not None
    drawn: list[Any] = []

    @settings(max_examples=20, deadline=None, database=None)
    @given(_events)
    def draw(events: list[Any]) -> None:
        drawn.append(events)

    draw()
    async with open_history() as history:
        history.add_events([event for events in drawn for event in events], T0)
        await history.flush(T0)
        found = await history.events(parse(words, T0), 10_000)
        rows = await history.events(parse("", T0), 100_000)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        bucket = int(row["ts"] // shape.every * shape.every) if shape.every else 0
        groups[(bucket, *(row.get(name, "") for name in shape.by))].append(row)
    expected = [
        {
            **({"ts": key[0]} if shape.every else {}),
            **dict(zip(shape.by, key[1:], strict=True)),
            "events": len(some),
            "first_seen": min(row["ts"] for row in some),
            "last_seen": max(row["ts"] for row in some),
            **{
                f"distinct_{name}": len({row.get(name, "") for row in some})
                for name in shape.distinct
            },
        }
        for key, some in groups.items()
    ]
    assert sorted(map(str, found)) == sorted(map(str, expected))


async def test_sums_of_what_is_not_there(open_history: Open) -> None:
    """A field that flows, events or records do not have is refused with those there are."""
    async with open_history() as history:
        with pytest.raises(FilterError, match="by: flows have no user; use addr, orig"):
            await history.flows(parse("by:user", T0), 10)
        with pytest.raises(FilterError, match="count: events have no vlan; use orig"):
            await history.events(parse("count:vlan", T0), 10)
        with pytest.raises(FilterError, match="by: says nothing about geo records"):
            await history.records("geo", parse("by:country", T0), 10)
        with pytest.raises(ValueError, match="none of bytes, packets, flows"):
            await history.flows(parse("by:port", T0), 10, "zone; DROP TABLE event")
        assert await history.flows(parse("by:port", T0), 10) == []
        assert await history.flows(parse("count:orig", T0), 10) == []


def test_everything_at_once() -> None:
    """No bucket and no field is one sum of all."""
    live = table(np.concatenate([flow(), flow("10.20.0.6")]), Names(ZONES, (), {}))
    sums = FlowSums(Shape((), 0, ("orig", "resp")), "flows")
    found = sums.ask([], live, {CLEAR: Shadow([Where("1 = 1")])}, 10).rows
    sums.close()
    assert [(row["flows"], row["distinct_orig"], row["distinct_resp"]) for row in found] == [
        (2, 2, 1)
    ]
