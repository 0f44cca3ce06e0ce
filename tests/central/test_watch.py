"""The centre pages for silent sites, in the place of sites, and for one source at many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.central.watch import Watch
from ipwatchd.config import CentralSettings
from ipwatchd.incidents.bodies import Acked, Body, Opened, Prioritised, State
from ipwatchd.incidents.chain import START, after, link
from ipwatchd.records.exchange import Heartbeat
from tests.incidents.paging.plans import PLAN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ipwatchd.central.store import Store

NOW = 1_795_424_400.0


class Site:
    """A site's log as the centre gets it."""

    def __init__(self, name: str, store: Store) -> None:
        self.name, self.store, self.head = name, store, START

    async def put(self, number: int, kind: str, body: Body, now: float, actor: str = "x") -> None:
        """Deliver an event."""
        event = link(
            self.name, self.head, time=now, incident=f"{self.name.upper()}-{number:06d}",
            actor=actor, kind=kind, body=body,
        )  # fmt: skip
        self.head = after(event)
        await self.store.receive(self.name, [event], now)

    async def open(self, number: int, now: float, priority: str = "P1", subject: str = "") -> None:
        """Open an incident."""
        body = Opened(
            rule="port-scan", subject=subject, title="a scan", severity="high", priority=priority,
            impact=1, urgency=1, first_seen=now, last_seen=now, count=1,
        )  # fmt: skip
        await self.put(number, "opened", body, now)

    async def beat(self, now: float, lease: float = 60.0, *, hand_over: bool = False) -> None:
        """Send a heartbeat."""
        beat = Heartbeat(seq=self.head.seq, time=now, lease=lease, hand_over=hand_over)
        await self.store.heartbeat(self.name, beat, now)


@pytest.fixture
async def watch(tmp_path: Path, store: Store) -> AsyncIterator[Watch]:
    """Return the centre's escalation on a clock of the test's."""
    plan = tmp_path / "escalation.toml"
    plan.write_text(PLAN)
    settings = CentralSettings(state_dir=str(tmp_path / "centre"), escalation=str(plan))
    made = await Watch.open(store, settings, lambda: NOW)
    made.pager.outbox.put = lambda _: True  # type: ignore[method-assign]  # what leaves is test_pager's
    yield made
    await made.incidents.close()


async def seen(watch: Watch, now: float) -> list[tuple[str, str, str]]:
    """Let the centre look, and return its open incidents."""
    await watch.tick(now)
    await watch.pager.look(now)
    await watch.tick(now)
    return sorted((one.rule, one.subject, one.priority) for one in await watch.incidents.list())


async def test_a_silent_site_and_its_unanswered_incidents_are_paged(
    watch: Watch, store: Store
) -> None:
    """Past its lease what nobody there answered is paged here, until it is heard again."""
    site = Site("manila", store)
    await site.open(1, NOW)
    await site.open(2, NOW, "P5")
    await site.beat(NOW, 120.0)
    assert await seen(watch, NOW + 119) == []
    assert await seen(watch, NOW + 121) == [
        ("site-silent", "manila", "P1"), ("taken-over", "MANILA-000001", "P1"),
    ]  # fmt: skip
    rows = await watch.incidents.list()
    assert all(one.paging and one.paging.pages for one in rows)
    await site.beat(NOW + 200, 120.0)
    assert await seen(watch, NOW + 201) == []
    closed = await watch.incidents.list(states=("CLOSED",))
    assert {one.resolution for one in closed} == {
        "the site is heard again", "the site pages by itself again, or answered",
    }  # fmt: skip
    assert len(await seen(watch, NOW + 400)) == 2
    assert (await watch.incidents.verify()).first_bad_seq is None


async def test_what_was_answered_at_the_site_is_not_paged_again(watch: Watch, store: Store) -> None:
    """An acknowledgement that still holds is the site's; once it times out, the centre pages."""
    site = Site("manila", store)
    await site.open(1, NOW)
    await site.put(1, "acked", Acked(by="ana"), NOW + 1)
    await site.beat(NOW, 60.0)
    assert await seen(watch, NOW + 200) == [("site-silent", "manila", "P1")]
    assert ("taken-over", "MANILA-000001", "P1") in await seen(watch, NOW + 1900)


async def test_a_site_that_hands_over_is_paged_for_and_learns_who_answered(
    watch: Watch, store: Store
) -> None:
    """Heard and well, it leaves paging to the centre; the answer goes back to it."""
    site = Site("manila", store)
    await site.beat(NOW, 90.0, hand_over=True)
    assert watch.grant(90.0) == 60.0
    await site.open(1, NOW)
    assert await seen(watch, NOW + 1) == [("taken-over", "MANILA-000001", "P1")]
    (mirror,) = await watch.incidents.list()
    await watch.incidents.act(mirror.id, "ack", actor="cho", now=NOW + 5)
    await watch.tick(NOW + 6)
    assert [(one.incident, one.by) for one in watch.acks("manila")] == [("MANILA-000001", "cho")]
    await site.put(1, "acked", Acked(by="cho", via="centre"), NOW + 7)
    await watch.tick(NOW + 8)
    assert await watch.incidents.list() == []


async def test_what_a_site_that_hands_over_takes_on_is_paged_no_more(
    watch: Watch, store: Store
) -> None:
    """Taken on there after the page here, it ends; taken before it became a P1, it does not."""
    site = Site("manila", store)
    await site.open(1, NOW)
    await site.open(2, NOW, "P3")
    early = State(action="take", before="NEW", after="TRIAGE", owner="dina")
    await site.put(2, "state", early, NOW + 1, "dina")
    await site.put(2, "prioritised", Prioritised(priority="P1", reason="x"), NOW + 2, "dina")
    await site.beat(NOW + 3, hand_over=True)
    both = [("taken-over", "MANILA-000001", "P1"), ("taken-over", "MANILA-000002", "P1")]
    assert await seen(watch, NOW + 4) == both
    late = State(action="take", before="NEW", after="TRIAGE", owner="ben")
    await site.put(1, "state", late, NOW + 30, "ben")
    await site.beat(NOW + 31, hand_over=True)
    assert await seen(watch, NOW + 32) == both[1:]
    await site.beat(NOW + 40, hand_over=True)
    assert await seen(watch, NOW + 60) == both[1:]
    # nobody went on with it: the progress time-out pages again
    await site.beat(NOW + 30 + 5 * 3600, hand_over=True)
    assert await seen(watch, NOW + 31 + 5 * 3600) == both


async def test_what_the_site_raises_is_raised_here(watch: Watch, store: Store) -> None:
    """Paged as a P2 and nobody answered: as a P1 it goes by the P1's policy, and grows once."""
    site = Site("manila", store)
    await site.beat(NOW, 3000.0, hand_over=True)
    await site.open(1, NOW, "P2")
    assert await seen(watch, NOW + 1) == [("taken-over", "MANILA-000001", "P2")]
    await site.put(1, "prioritised", Prioritised(priority="P1", reason="x"), NOW + 2)
    assert await seen(watch, NOW + 3) == [("taken-over", "MANILA-000001", "P1")]
    assert await seen(watch, NOW + 5) == [("taken-over", "MANILA-000001", "P1")]
    (mirror,) = await watch.incidents.list()
    assert mirror.count == 2
    assert mirror.paging is not None
    assert mirror.paging.priority == "P1"


async def test_a_centre_whose_channels_fail_promises_nothing(watch: Watch) -> None:
    """Where its own pages don't leave, sites are told to page by themselves."""
    assert watch.grant(90.0) == 60.0
    watch.pager.outbox.troubles["mail"] = "refused"
    assert watch.grant(90.0) == 0.0


async def test_one_source_at_three_sites_is_one_incident_of_the_centre(
    watch: Watch, store: Store
) -> None:
    """The same public address; a private one means something else at each site."""
    for name in ("manila", "bogota", "madrid"):
        site = Site(name, store)
        await site.beat(NOW + 990, 3000.0)
        await site.open(1, NOW + 990, "P5", "203.0.114.9")
        await site.open(2, NOW + 990, "P5", "10.0.0.9")
    assert await seen(watch, NOW + 1000) == [("same-source", "203.0.114.9", "P2")]


async def test_a_site_that_closed_it_ends_the_page_here(watch: Watch, store: Store) -> None:
    """What the site rejects is closed at the centre; what it raises is paged."""
    site = Site("manila", store)
    await site.beat(NOW, 3000.0, hand_over=True)
    await site.open(1, NOW, "P5")
    assert await seen(watch, NOW + 1) == []
    await site.put(1, "prioritised", Prioritised(priority="P1", reason="x"), NOW + 2)
    assert len(await seen(watch, NOW + 3)) == 1
    await site.put(1, "state", State(action="reject", before="NEW", after="REJECTED"), NOW + 4)
    assert await seen(watch, NOW + 5) == []


async def test_a_centre_that_comes_up_waits_before_it_calls_sites_silent(
    tmp_path: Path, store: Store
) -> None:
    """It was itself away: nobody could have been heard."""
    site = Site("manila", store)
    await site.beat(NOW - 5000, 60.0)
    plan = tmp_path / "escalation.toml"
    plan.write_text(PLAN)
    settings: dict[str, Any] = {"state_dir": str(tmp_path / "centre"), "escalation": str(plan)}
    made = await Watch.open(store, CentralSettings(**settings), lambda: NOW)
    assert await seen(made, NOW + 89) == []
    assert len(await seen(made, NOW + 91)) == 1
    await made.pager.outbox.close()
    await made.incidents.close()
