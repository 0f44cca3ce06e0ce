"""Migrations: a folder of an earlier release is brought up to date with everything in it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from ipwatchd.history.rollup import pack
from ipwatchd.history.schema import MIGRATIONS
from ipwatchd.records.address import split
from ipwatchd.records.filter import Filter, parse
from tests.history.made import T0, flow

if TYPE_CHECKING:
    from pathlib import Path

    from tests.history.made import Open

HOUR = T0 // 3600 * 3600
INSIDE, OUTSIDE = pack(*split("10.20.0.5")), pack(*split("203.0.113.9"))


def second_schema(path: Path) -> None:
    """Make history.db as the release with schema 2 did, and put a little into it."""
    db = sqlite3.connect(path)
    for script in MIGRATIONS[:2]:
        db.executescript(script)
    db.execute("PRAGMA user_version = 2")
    db.execute(
        "INSERT INTO address VALUES (?, 'agents', '', 0, ?, ?, 3, 30, 300)", (INSIDE, T0, T0 + 5)
    )
    for service, flows in (("tls", 2), ("dns", 1)):
        db.execute(
            "INSERT INTO rollup VALUES (?, ?, 'outgoing', 'internet', ?, ?, 10, 20, 100, 200)",
            (HOUR, INSIDE, service, flows),
        )
    db.execute(
        "INSERT INTO incoming VALUES (?, ?, 6, 22, 'ssh', ?, ?, 4, 3, 999, 1)",
        (OUTSIDE, INSIDE, T0, T0 + 9),
    )
    db.execute(
        "INSERT INTO session VALUES (7, ?, ?, ?, 3, 30, 300, 'dns,tls', 6, 1)", (INSIDE, T0, T0 + 5)
    )
    db.commit()
    db.close()


async def test_schema_2_becomes_the_newest(open_history: Open, tmp_path: Path) -> None:
    """Roll-ups, sessions and visits are the same records afterwards, and grow on."""
    second_schema(tmp_path / "history.db")
    everything = Filter()
    async with open_history() as history:
        traffic = await history.records("activity", everything, 10)
        assert {(row["service"], row["flows"], row["bytes_out"]) for row in traffic} == {
            ("tls", 2, 200), ("dns", 1, 200),
        }  # fmt: skip
        (visit,) = await history.records("incoming", parse("addr:203.0.113.9", T0), 10)
        assert (visit["target"], visit["count"], visit["denied"]) == ("10.20.0.5", 4, 1)
        (session,) = await history.records("session", everything, 10)
        assert (session["address"], session["services"], session["open"]) == (
            "10.20.0.5", "dns,tls", True,
        )  # fmt: skip
        history.add_flows(flow(start=T0 + 10), T0 + 10)
        await history.flush(T0 + 10)
        (session,) = await history.records("session", parse("addr:10.20.0.5", T0), 10)
        assert (session["start"], session["end"], session["flows"]) == (T0, T0 + 11, 4)
        (busiest,) = await history.top(T0, T0 + 10, 1)
        assert (busiest["address"], busiest["flows"]) == ("10.20.0.5", 4)
