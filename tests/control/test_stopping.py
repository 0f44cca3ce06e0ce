"""Ctrl-C on a long question, with real processes: the command ends, and so does the question."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipwatchd.config import Config, ControlSettings, HistorySettings
from ipwatchd.control.house import House
from ipwatchd.control.server import ControlServer
from ipwatchd.stores import Stores
from tests.history.made import T0, flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# A question of minutes, were it let run: every key of a large archive in turn, or a cross product.
ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Return a house with some flows."""
    stores = await Stores.open(Config(history=HistorySettings(free_bytes=1)), tmp_path / "state")
    stores.history.add_flows(np.concatenate([flow(start=T0 + n) for n in range(50)]), T0)
    await stores.history.flush(T0 + 100)
    yield House(stores)
    await stores.close(T0 + 400)


async def test_ctrl_c_stops_the_question_in_the_daemon(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with 130; the daemon's connection is idle again and answers the next."""
    history = house.stores.history
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless(*_: object) -> list[object]:
        begun.set()
        try:
            return await history._readers.rows(ENDLESS)
        finally:
            ended.set()

    monkeypatch.setattr(history, "events", endless)
    socket = tmp_path / "control.sock"
    server = ControlServer(house, ControlSettings(socket=str(socket)), lambda: T0 + 200)
    await server.start()
    try:
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ipwatchd.cli.ipwatchctl", "--socket", str(socket), "events",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            # A shell's background job, as a test run may be, has its children ignore Ctrl-C.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        await asyncio.wait_for(begun.wait(), 30)
        command.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(command.communicate(), 30)
        assert (command.returncode, out, err) == (130, b"", b"")
        await asyncio.wait_for(ended.wait(), 30)
        rows = await asyncio.wait_for(history._readers.rows("SELECT 7"), 30)
        assert rows[0][0] == 7
        await history.flush(T0 + 300)  # nothing holds the writer up either
    finally:
        await server.stop()


async def test_a_question_to_duckdb_stops(house: House) -> None:
    """Flows that nobody waits for are interrupted in DuckDB, in a moment."""
    from ipwatchd.history import queries
    from ipwatchd.history.lake import FlowQuery

    asked = FlowQuery()
    running = asyncio.Event()
    loop = asyncio.get_running_loop()

    def question() -> None:
        loop.call_soon_threadsafe(running.set)
        asked.db.execute("SELECT count(*) FROM range(100000000) a, range(100000000) b").fetchall()

    work = asyncio.ensure_future(queries._in_thread(asked, question))
    await running.wait()
    await asyncio.sleep(0.2)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(work, 30)
    assert (await house.stores.history.held())["flows"] == 50


async def test_one_long_question_holds_up_no_other(house: House) -> None:
    """While some run, another is answered; each that is given up stops, and what fails is told."""
    readers = house.stores.history._readers
    long = [asyncio.ensure_future(readers.rows(ENDLESS)) for _ in range(3)]
    for _ in range(20):
        rows = await asyncio.wait_for(readers.rows("SELECT 1"), 30)
        assert rows[0][0] == 1
    for one in long:
        one.cancel()
    done = await asyncio.gather(*long, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done)
    asked = [readers.rows("SELECT 7") for _ in range(4)]
    rows = await asyncio.wait_for(asyncio.gather(*asked), 30)
    assert [row[0] for one in rows for row in one] == [7] * 4  # on the same connections
    with pytest.raises(sqlite3.OperationalError):
        await readers.rows("SELECT nonsense")
