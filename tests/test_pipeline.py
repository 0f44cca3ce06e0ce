"""The joints of the pipeline: the same in, the same out; responses; findings that have to wait."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ipwatchd import pipeline as module
from ipwatchd.cli import ipwatchd
from ipwatchd.config import Config
from ipwatchd.pipeline import Pipeline
from ipwatchd.records.filter import parse
from ipwatchd.records.finding import Finding
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW = 1_700_000_000.0
OUTSIDE, INSIDE, ADMIN = "203.0.113.9", "10.20.0.7", "198.51.100.5"
CONFIG = msgspec.convert(
    {
        "zones": {"agents": ["10.20.0.0/16"]},
        "firewall": {"management": [f"{ADMIN}/32"]},
        "incidents": {"auto_deny": ["port-scan"]},
    },
    Config,
)


def _finding(subject: str, rule: str = "port-scan", **more: Any) -> Finding:
    facts: dict[str, Any] = {
        "rule": rule, "subject": subject, "key": f"{rule}|{subject}", "title": f"{rule} {subject}",
        "first_seen": NOW, "last_seen": NOW, "count": 20, "severity": "medium",
        "classification": "scanner", "score": 1.0, "value": 20.0, "threshold": 20.0,
    }  # fmt: skip
    return Finding(**{**facts, **more})


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """Return open stores of a site that denies port scanners by itself."""
    opened = await Stores.open(CONFIG, tmp_path / "state")
    yield opened
    await opened.close(NOW)


async def _everything(folder: Path) -> dict[str, Any]:
    stores = await Stores.open(Config(), folder, read_only=True)
    now = float((await stores.history.status())["newest"])
    found = {
        "flows": await stores.history.flows(parse("", now), 10_000),
        "events": await stores.history.events(parse("", now), 10_000),
        "incidents": await stores.incidents.list(states=("NEW",), limit=100),
        # Signatures are of each folder's own key, and each hash covers the one before.
        "log": [
            (one.seq, one.time, one.actor, one.kind, one.body)
            for one in await stores.incidents.after(0, 1000)
        ],
    }
    await stores.close(now)
    return found


async def test_the_same_capture_gives_the_same_answer(shared: Path, tmp_path: Path) -> None:
    """Two replays of one file into two folders: equal flows, events, incidents, hash chain."""
    import asyncio

    files = ["detect/nDPI__synscan.pcap", "flows/nDPI__safari.pcap"]
    for name in ("one", "two"):
        words = ["replay", *(str(shared / "pcap" / file) for file in files)]
        words += ["--state", str(tmp_path / name)]
        assert await asyncio.to_thread(ipwatchd.main, words) == 0
    one, two = await _everything(tmp_path / "one"), await _everything(tmp_path / "two")
    assert one["flows"]
    assert one["incidents"]
    assert one == two


async def test_an_outside_scanner_is_denied_for_a_time(stores: Stores) -> None:
    """The response is an entry that ends, a line of the incident's timeline, and history."""
    outcome = await Pipeline(stores).settle([_finding(OUTSIDE)], NOW)
    assert outcome.denied == [f"{OUTSIDE}/32"]
    (entry,) = stores.lists.entries("deny", now=NOW)
    assert (entry.source, entry.expires) == ("response:port-scan", NOW + 3600.0)
    shown = await stores.incidents.show(outcome.incidents[0].id)
    assert shown
    assert any(event.kind == "response" for event in shown[1])


async def test_what_is_but_for_information_denies_nobody_until_it_grows(stores: Stores) -> None:
    """A few knocks open an incident; as soon as they are a scan, it is answered."""
    pipeline = Pipeline(stores)
    outcome = await pipeline.settle([_finding(OUTSIDE, severity="info", count=9)], NOW)
    assert (len(outcome.incidents), outcome.denied) == (1, [])
    outcome = await pipeline.settle([_finding(OUTSIDE, severity="low", count=40)], NOW + 60)
    assert outcome.denied == [f"{OUTSIDE}/32"]


async def test_whoever_comes_back_is_denied_for_longer(stores: Stores) -> None:
    """An hour, four, sixteen: each time its end comes by itself; after long peace an hour again."""
    pipeline, now = Pipeline(stores), NOW
    for hours in (1, 4, 16):
        await pipeline.settle([_finding(OUTSIDE, key=f"k{hours}", last_seen=now)], now)
        (entry,) = stores.lists.entries("deny", now=now)
        assert entry.expires == now + hours * 3600.0
        again = await stores.lists.expire(entry.expires)
        assert [one.network for one in again] == [f"{OUTSIDE}/32"]
        now = entry.expires + 60.0
    now += 91 * 86400.0
    await pipeline.settle([_finding(OUTSIDE, key="later", last_seen=now)], now)
    (entry,) = stores.lists.entries("deny", now=now)
    assert entry.expires == now + 3600.0


async def test_a_storm_of_findings_denies_so_many_a_minute(stores: Stores) -> None:
    """What is over opens its incident, says there that nobody was denied, and is counted."""
    limit = stores.config.incidents.denies_per_minute
    pipeline = Pipeline(stores)
    storm = [_finding(f"203.0.113.{low}", key=f"k{low}") for low in range(limit + 5)]
    outcome = await pipeline.settle(storm, NOW)
    assert len(outcome.incidents) == limit + 5
    assert len(outcome.denied) == limit
    assert pipeline.shed()["responses"] == 5
    shown = await stores.incidents.show(outcome.incidents[-1].id)
    assert shown
    assert "not denied" in str([event.body for event in shown[1]])
    more = await pipeline.settle([_finding("203.0.113.250", key="z", last_seen=NOW + 61)], NOW + 61)
    assert len(more.denied) == 1
    assert all(entry.expires for entry in stores.lists.entries("deny", now=NOW + 61))


@pytest.mark.parametrize("subject", [INSIDE, ADMIN, "maria", "not/an/address"])
async def test_who_is_never_denied_by_itself(stores: Stores, subject: str) -> None:
    """Ours, the management networks, and what is no address get an incident and no entry."""
    outcome = await Pipeline(stores).settle([_finding(subject)], NOW)
    assert len(outcome.incidents) == 1
    assert outcome.denied == []
    assert stores.lists.entries("deny", now=NOW) == []


async def test_nobody_is_blamed_for_a_flood(stores: Stores) -> None:
    """The address that stands for a flood's many sources is the subject of no incident."""
    pipeline = Pipeline(stores)
    outcome = await pipeline.settle([_finding("0.0.0.0"), _finding("::")], NOW)  # noqa: S104 - a subject
    assert outcome.incidents == []
    outcome = await pipeline.settle([_finding(OUTSIDE)], NOW + 1)
    assert [one.subject for one in outcome.incidents] == [OUTSIDE]


async def test_an_echo_opens_nothing_and_a_call_does(stores: Stores) -> None:
    """Who was denied by a response and knocks on is no news; one of ours who calls him is."""
    pipeline = Pipeline(stores)
    await pipeline.settle([_finding(OUTSIDE)], NOW)
    later = {"last_seen": NOW + 60, "rule": "denied-contact"}
    knock = _finding(OUTSIDE, evidence={"direction": "incoming"}, **later)
    assert (await pipeline.settle([knock], NOW + 60)).incidents == []
    assert pipeline.echoes == 1
    call = _finding(OUTSIDE, evidence={"direction": "outgoing"}, **later)
    assert len((await pipeline.settle([call], NOW + 61)).incidents) == 1


async def test_findings_wait_in_bounds_and_arrive_once(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another holds incidents.db findings wait, the oldest are shed and counted."""
    monkeypatch.setattr(module, "_WAITING", 5)
    pipeline = Pipeline(stores)
    assert stores.incidents._writer
    await stores.incidents._writer.execute("PRAGMA busy_timeout = 10")
    blocker = sqlite3.connect(stores.state_dir / "incidents.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    for number in range(8):
        outcome = await pipeline.settle([_finding(f"203.0.113.{number}")], NOW)
        assert outcome.incidents == []
    assert "can't write incidents, 5 findings wait in memory" in pipeline.trouble
    assert "Errno" not in pipeline.trouble
    assert pipeline.shed() == {"findings": 3}
    blocker.execute("ROLLBACK")
    blocker.close()
    outcome = await pipeline.settle([], NOW + 1)
    assert [one.subject for one in outcome.incidents] == [f"203.0.113.{n}" for n in range(3, 8)]
    assert len(outcome.denied) == 5
    assert pipeline.trouble == ""
    assert (await pipeline.settle([], NOW + 2)).incidents == []


async def test_growth_that_was_refused_counts_once(stores: Stores) -> None:
    """A finding that grew an incident while the disk was full is counted one time."""
    pipeline = Pipeline(stores)
    await pipeline.settle([_finding(INSIDE)], NOW)
    assert stores.incidents._writer
    await stores.incidents._writer.execute("PRAGMA busy_timeout = 10")
    blocker = sqlite3.connect(stores.state_dir / "incidents.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    await pipeline.settle(
        [_finding(INSIDE, count=7, first_seen=NOW + 60, last_seen=NOW + 60)], NOW + 60
    )
    assert pipeline.trouble
    await pipeline.settle([], NOW + 61)
    assert pipeline.trouble == ""
    with pytest.raises(OSError, match="incident not recorded"):
        await stores.incidents.flush(NOW + 62)
    blocker.execute("ROLLBACK")
    blocker.close()
    (grown,) = await stores.incidents.flush(NOW + 70)
    assert grown.count == 27
    assert (await stores.incidents.after(0, 10))[-1].body["findings"] == 1
    assert await stores.incidents.flush(NOW + 80) == []


async def test_a_response_waits_until_the_lists_can_be_written(stores: Stores) -> None:
    """The incident is on record at once; the denial follows when lists.db takes it."""
    pipeline = Pipeline(stores)
    await stores.lists._db.execute("PRAGMA busy_timeout = 10")
    blocker = sqlite3.connect(stores.state_dir / "lists.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    outcome = await pipeline.settle([_finding(OUTSIDE)], NOW)
    assert (len(outcome.incidents), outcome.denied) == (1, [])
    assert "can't respond to incidents" in pipeline.trouble
    blocker.execute("ROLLBACK")
    blocker.close()
    outcome = await pipeline.settle([], NOW + 1)
    assert (outcome.incidents, outcome.denied) == ([], [f"{OUTSIDE}/32"])
