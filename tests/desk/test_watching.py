"""A watch that stands tells on the timeline what its subject does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipwatchd.config import Config
from ipwatchd.desk.watching import EVERY, Watching
from ipwatchd.records.incident import Receipt, Report
from ipwatchd.stores import Stores
from tests.history.made import flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW = 1_763_730_000.0


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """Return the stores of a site."""
    made = await Stores.open(Config(), tmp_path / "state")
    yield made
    await made.close(NOW + 10_000)


async def watch(stores: Stores, subject: str, expires: float = 0.0) -> str:
    """Open an incident whose subject is watched; return its id."""
    report = Report(
        id=f"r-{subject}", received=NOW, channel="call", reporter="a", text="x", subject=subject
    )
    incident = await stores.incidents.report(report, NOW)
    receipt = Receipt(
        id="r1", kind="watch", subject=subject, time=NOW, by="ana", expires=expires, text="watch"
    )
    await stores.incidents.act(
        incident.id, "response", actor="ana", reason="watch", now=NOW, details={"receipt": receipt}
    )
    return incident.id


async def seen(stores: Stores, identity: str) -> list[dict[str, object]]:
    """Return what the watch has told of an incident."""
    found = await stores.incidents.show(identity)
    assert found is not None
    return [one.body for one in found[1] if one.kind == "watched"]


async def test_what_the_subject_does_is_told(stores: Stores) -> None:
    """Flows since the last look are summed on the timeline, those of others are not."""
    identity = await watch(stores, "10.20.0.5")
    watching = Watching(stores)
    for number in range(3):
        stores.history.add_flows(flow(start=NOW + 10 + number, sport=4000 + number), NOW + 20)
    stores.history.add_flows(flow("10.20.0.9", start=NOW + 10), NOW + 20)
    await stores.history.flush(NOW + 30)
    await watching.tick(NOW + 30)
    (told,) = await seen(stores, identity)
    assert (told["flows"], told["bytes"], told["peer_count"]) == (3, 18_000, 1)
    assert (told["peers"], told["services"]) == (["203.0.113.9"], ["tls"])
    await watching.tick(NOW + 60)
    await watching.tick(NOW + 31 + EVERY)
    assert len(await seen(stores, identity)) == 1
    stores.history.add_flows(flow(start=NOW + 700), NOW + 701)
    await stores.history.flush(NOW + 702)
    await watching.tick(NOW + 40 + 2 * EVERY)
    assert [one["flows"] for one in await seen(stores, identity)] == [3, 1]
    assert watching.note == ""


async def test_a_watch_that_is_over_or_taken_back_tells_nothing(stores: Stores) -> None:
    """After its end and after its undo nothing is looked at."""
    ended = await watch(stores, "10.20.0.5", expires=NOW + 5)
    undone = await watch(stores, "10.20.0.6")
    await stores.incidents.act(
        undone, "undone", actor="ana", reason="", now=NOW + 1, details={"receipt": "r1"}
    )
    for address in ("10.20.0.5", "10.20.0.6"):
        stores.history.add_flows(flow(address, start=NOW + 10), NOW + 20)
    await stores.history.flush(NOW + 30)
    await Watching(stores).tick(NOW + 30)
    assert not await seen(stores, ended)
    assert not await seen(stores, undone)


async def test_a_clock_that_was_set_back_does_not_end_the_watch(stores: Stores) -> None:
    """The next look is not put off to where the clock once was."""
    identity = await watch(stores, "10.20.0.5")
    watching = Watching(stores)
    await watching.tick(NOW + 90_000)
    stores.history.add_flows(flow(start=NOW + 10), NOW + 20)
    await stores.history.flush(NOW + 30)
    await watching.tick(NOW + 40)
    assert len(await seen(stores, identity)) == 1
