"""The log on the disk: grouping, actions, reports, and what damage does."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from ipwatchd.incidents import Incidents
from ipwatchd.incidents import store as store_module
from ipwatchd.incidents.actions import InvalidActionError
from ipwatchd.incidents.fold import fold
from ipwatchd.incidents.store import FILE, UnknownIncidentError
from ipwatchd.records.incident import STATES, Report
from ipwatchd.sqlite import CorruptStoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ipwatchd.records.finding import Finding

    Open = Callable[..., AbstractAsyncContextManager[Incidents]]
    Make = Callable[..., Finding]
    Close = Callable[[Incidents, str, float], Awaitable[None]]


async def test_a_finding_opens_an_incident_that_is_there_after_a_restart(
    opened: Open, finding: Make
) -> None:
    """What `finding` returned is on the disk, under a readable id."""
    async with opened() as incidents:
        first = await incidents.finding(finding(), 1000.0)
        second = await incidents.finding(finding("203.0.113.8"), 1001.0)
    assert first is not None
    assert second is not None
    assert (first.id, second.id) == ("MANILA-000001", "MANILA-000002")
    assert (first.state, first.priority, first.classification) == ("NEW", "P3", "scanner")
    async with opened() as incidents:
        assert await incidents.list() == [second, first]
        assert await incidents.open_counts() == {"P3": 2}
        assert incidents.last_seq == 2


async def test_a_thousand_findings_a_second_stay_one_incident(opened: Open, finding: Make) -> None:
    """A minute of one attack is one incident, an event in five seconds, and no count is lost."""
    async with opened() as incidents:
        for number in range(6_000):
            now = 1000.0 + number / 100
            await incidents.finding(finding(count=20 + number, last_seen=now), now)
        await incidents.flush(1061.0)
        (incident,) = await incidents.list()
        assert incidents.last_seq <= 13
    async with opened() as incidents:
        (incident,) = await incidents.list(states=STATES)
        assert incident.count == 20 + 5_999
        assert (await incidents.verify()).first_bad_seq is None


async def test_growth_waits_and_is_written_when_due_or_at_close(
    opened: Open, finding: Make
) -> None:
    """Growth within the few seconds returns nothing; flush writes it when due, close always."""
    async with opened() as incidents:
        await incidents.finding(finding(), 1000.0)
        assert await incidents.finding(finding(count=30), 1001.0) is None
        assert await incidents.flush(1002.0) == []
        (grown,) = await incidents.flush(1006.0)
        assert grown.count == 30
        assert await incidents.finding(finding(count=31, targets=("10.0.0.1",)), 1007.0) is None
    async with opened() as incidents:
        (incident,) = await incidents.list()
        assert (incident.count, incident.targets) == (31, ("10.0.0.1",))


async def test_a_closed_incident_that_goes_on_reopens_within_the_window(
    opened: Open, finding: Make, close_case: Close
) -> None:
    """Within reopen_seconds it is the same incident in triage again, after that a new one."""
    async with opened() as incidents:
        first = await incidents.finding(finding(), 1000.0)
        assert first is not None
        await close_case(incidents, first.id, 1100.0)
        again = await incidents.finding(finding(at=2000.0), 2000.0)
        assert again is not None
        assert (again.id, again.state, again.count) == (first.id, "TRIAGE", 40)
        await close_case(incidents, first.id, 2100.0)
        other = await incidents.finding(finding(at=9000.0), 9000.0)
        assert other is not None
        assert other.id != first.id
        assert incidents.counters["reopened"] == 1


async def test_a_rejected_incident_grows_silently(opened: Open, finding: Make) -> None:
    """A false alarm that was called one does not come back at every repetition."""
    async with opened() as incidents:
        first = await incidents.finding(finding(), 1000.0)
        assert first is not None
        await incidents.act(first.id, "reject", actor="ben", reason="our scanner", now=1001.0)
        await incidents.finding(finding(count=50), 1010.0)
        (incident,) = await incidents.list(states=("REJECTED",))
        assert incident.count == 50
        assert await incidents.list() == []


async def test_an_action_writes_what_is_pending_before_itself(opened: Open, finding: Make) -> None:
    """The timeline has the growth before the action that saw it; events and incident agree."""
    async with opened() as incidents:
        first = await incidents.finding(finding(), 1000.0)
        assert first is not None
        await incidents.finding(finding(count=25), 1001.0)
        taken = await incidents.act("manila-000001", "take", actor="ben", reason="", now=1002.0)
        assert (taken.state, taken.owner, taken.count) == ("TRIAGE", "ben", 25)
        shown = await incidents.show(first.id)
        assert shown is not None
        assert [event.kind for event in shown[1]] == ["opened", "grown", "state"]
        assert fold(await incidents.after(0)) == {first.id: shown[0]}


async def test_what_is_not_possible_changes_nothing(opened: Open, finding: Make) -> None:
    """A refused action and an unknown id leave the log as it was."""
    async with opened() as incidents:
        first = await incidents.finding(finding(), 1000.0)
        assert first is not None
        with pytest.raises(InvalidActionError, match="is NEW: close is not possible"):
            await incidents.act(first.id, "close", actor="ben", reason="x", now=1.0)
        with pytest.raises(UnknownIncidentError, match="MANILA-000009"):
            await incidents.act("MANILA-000009", "note", actor="ben", reason="x", now=1.0)
        assert await incidents.show("MANILA-000009") is None
        assert len(await incidents.after(0)) == 1


async def test_a_report_opens_an_incident_once(opened: Open) -> None:
    """A person's report is kept as received; the same one again (a retry) opens nothing."""
    report = Report(
        id="r1", received=5.0, channel="call", reporter="ana", text="No puedo entrar\nnada",
        language="es", subject="10.20.0.9",
    )  # fmt: skip
    async with opened() as incidents:
        one = await incidents.report(report, 6.0)
        two = await incidents.report(report, 7.0)
        assert one == two
        assert (one.title, one.reports, one.rule) == ("No puedo entrar", ("r1",), "report")
        (event,) = await incidents.after(0)
        assert event.body["report"]["text"] == report.text
        more = await incidents.attach(
            one.id, Report(id="r2", received=8.0, channel="chat", reporter="", text="x"), 8.0
        )
        assert more.reports == ("r1", "r2")


async def test_findings_at_once_keep_the_chain_whole(opened: Open, finding: Make) -> None:
    """Many tasks write at the same time: gapless, chained, one incident a key."""
    async with opened() as incidents:
        await asyncio.gather(
            *(incidents.finding(finding(f"10.0.0.{n % 20}"), 1000.0) for n in range(200))
        )
        assert len(await incidents.list(limit=1000)) == 20
        verdict = await incidents.verify()
        assert (verdict.events, verdict.first_bad_seq) == (20, None)


async def test_pending_growth_is_bounded(
    opened: Open, finding: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more attacks going on than PENDING all growth is written; forgotten keys are found."""
    monkeypatch.setattr(store_module, "PENDING", 8)
    monkeypatch.setattr(store_module, "GROUPS", 4)
    async with opened() as incidents:
        for repeat in range(2):
            for number in range(20):
                await incidents.finding(finding(f"10.0.0.{number}", count=20 + repeat), 1000.0)
                assert len(incidents._pending) < 8
                assert len(incidents._groups) <= 4
        assert len(await incidents.list(limit=100)) == 20


async def test_a_changed_byte_is_found(opened: Open, finding: Make, tmp_path: Path) -> None:
    """Whoever edits the file, past the trigger that forbids it, is named by seq."""
    async with opened() as incidents:
        for number in range(5):
            await incidents.finding(finding(f"10.0.0.{number}"), 1000.0 + number)
    with sqlite3.connect(tmp_path / FILE) as db:
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            db.execute("UPDATE events SET actor = 'x' WHERE seq = 3")
        db.execute("DROP TRIGGER events_stay")
        db.execute("UPDATE events SET body = replace(body, '10.0.0.2', '10.0.0.9') WHERE seq = 3")
    db.close()
    async with opened(read_only=True) as incidents:
        verdict = await incidents.verify()
    assert verdict.first_bad_seq == 3
    assert "was changed" in verdict.why


async def test_reading_a_log_needs_no_writer(opened: Open, finding: Make) -> None:
    """A state folder can be read beside the daemon and without it; writing is then refused."""
    async with opened() as incidents:
        await incidents.finding(finding(), 1000.0)
        async with opened(read_only=True) as other:
            assert len(await other.list()) == 1
            with pytest.raises(OSError, match="reading only"):
                await other.finding(finding("203.0.113.9"), 1.0)
    async with opened(read_only=True) as other:
        assert len(await other.list()) == 1


async def test_another_sites_log_is_not_continued(opened: Open, finding: Make) -> None:
    """A renamed site can't go on with the chain of the old name; an empty log takes the new one."""
    async with opened("cebu"):
        pass
    async with opened("manila") as incidents:
        await incidents.finding(finding(), 1000.0)
    with pytest.raises(CorruptStoreError, match="holds the incidents of site 'manila'"):
        async with opened("cebu"):
            pass


async def test_a_damaged_file_is_named(opened: Open, finding: Make, tmp_path: Path) -> None:
    """Garbage in place of the file gives one sentence with the mend."""
    (tmp_path / FILE).write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(CorruptStoreError, match="move it aside"):
        async with opened():
            pass


async def test_an_unknown_state_is_refused(opened: Open) -> None:
    """A list by a state that does not exist names those that do."""
    async with opened() as incidents:
        with pytest.raises(ValueError, match="NEW, TRIAGE"):
            await incidents.list(states=("LOST",))
