"""Who changed our rules: heard from the kernel, named, put back at once, and not without end."""

from __future__ import annotations

import asyncio
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from ipwatchd.config import FirewallSettings
from ipwatchd.enforcement import Enforcement
from ipwatchd.firewall import Commit, CommitWatch, Firewall, codec, who
from ipwatchd.firewall.watch import read_commit
from ipwatchd.lists import Lists
from ipwatchd.lists.block import Block
from ipwatchd.lists.formats import Item

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

FIGHT = "import subprocess\nwhile True: subprocess.run(['nft', 'flush', 'ruleset'], check=True)"


def heard(watch: CommitWatch, seconds: float = 2.0) -> bool:
    """Wait for news."""
    return bool(select.select([watch], [], [], seconds)[0]) and watch.hear()


def test_every_commit_is_heard_with_its_program(site: Any) -> None:
    """`nft`, started by a Python program, is named with that; its generation is the kernel's."""
    with site.firewall() as firewall, CommitWatch() as watch:
        before = firewall.generation()
        site.nft("add table inet other")
        assert heard(watch)
        [commit] = watch.since(before)
        assert (commit.generation, commit.name) == (before + 1, "nft")
        assert commit.pid > 0
        assert watch.since(before, [before + 1]) == []
        assert watch.since(before + 1) == []
        assert str(Commit(7, 4242, "nft", "bash")) == "nft (process 4242, started by bash)"


def test_a_name_that_moves_the_cursor_is_shown_without() -> None:
    """A process chooses its own name; an incident's title is one line of what can be printed."""
    told = codec.u32(1, 7) + codec.u32(2, 42) + codec.text(3, "a\x1b[2J\nb")
    assert str(read_commit(memoryview(bytes(4) + told))) == "a?[2J?b (process 42)"


def test_our_own_commits_are_nobody_elses(site: Any, policy: Callable[..., Any]) -> None:
    """What this process commits is heard and not taken for somebody's."""
    with site.firewall() as firewall, CommitWatch() as watch:
        before = firewall.generation()
        firewall.apply(policy("enforce", ["192.0.2.1"]), 1000.0)
        firewall.apply(policy("enforce", ["192.0.2.1", "192.0.2.2"]), 1000.0)
        assert heard(watch)
        assert watch.since(before) == []
        assert watch.since(before, firewall.own()[1]) == []


def test_a_mass_of_others_elements_runs_nothing_over(site: Any) -> None:
    """A load of 20,000 elements is one message here: the kernel's filter drops the others."""
    elements = ", ".join(f"10.{one >> 8}.{one & 255}.1" for one in range(20_000))
    with site.gateway.inside(), CommitWatch() as watch:
        script = f"table inet mass {{ set s {{ type ipv4_addr; elements = {{ {elements} }}; }}; }}"
        site.gateway.run(["nft", "-f", "-"], input=script)
        assert heard(watch)
        assert len(watch.since(0)) == 1
        assert watch.overruns == 0
        watch.pause()
        site.nft("delete table inet mass")
        assert not heard(watch, 0.1)
        watch.resume()
        site.nft("add table inet mass")
        assert heard(watch)


def test_few_programs_are_named() -> None:
    """The last first, each once, five at most."""
    commits = [Commit(one, one, f"p{one % 8}") for one in range(40)]
    assert who(commits).split(", ")[0] == "p7 (process 39)"
    assert who(commits).count("process") == 5
    assert who([]) == ""


async def _guarded(
    folder: Path, do: Callable[[Enforcement, list[float]], Awaitable[None]],
    made: type[Firewall] = Firewall,
) -> None:  # fmt: skip
    """Run what guards the rules as the daemon does, and something beside it."""
    lists = await Lists.open(folder)
    await lists.add("deny", "192.0.2.7", reason="x", author="m", now=time.time())
    settings = FirewallSettings(mode="enforce")
    firewall = made(settings)
    firewall.open()
    enforcement = Enforcement(settings, lists, firewall, folder)
    enforcement.watch = CommitWatch()
    await enforcement.sync(time.time())
    stop, changes = asyncio.Event(), list[float]()

    async def changed(now: float) -> None:
        changes.append(now)

    guard = asyncio.ensure_future(enforcement.guard(stop, time.time, changed))
    try:
        await do(enforcement, changes)
    finally:
        stop.set()
        await guard
        enforcement.stop()
        await lists.close()


async def _until(true: Callable[[], object]) -> None:
    for _ in range(200):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about")


def test_a_clock_that_went_back_is_nobodys_doing(site: Any, tmp_path: Path) -> None:
    """All is put anew with the right ends, and told as a change of nobody; a flush still is one."""

    async def back(enforcement: Enforcement, changes: list[float]) -> None:
        hour_ago = time.time() - 3600
        assert not await enforcement.tick(hour_ago)
        assert (enforcement.repairs, changes, enforcement.notes()) == (0, [], {})
        assert not await enforcement.diff(hour_ago)
        assert not await enforcement.tick(hour_ago + 1)
        await asyncio.to_thread(site.nft, "flush ruleset")
        await _until(lambda: enforcement.repairs)

    with site.gateway.inside():
        asyncio.run(_guarded(tmp_path, back))


def test_a_flush_is_undone_at_once_and_its_program_named(site: Any, tmp_path: Path) -> None:
    """Nobody ticks: the kernel's word alone brings the rules back, within a second."""

    async def flush(enforcement: Enforcement, changes: list[float]) -> None:
        for words in ("flush ruleset", "delete element inet ipwatchd deny4 { 192.0.2.7 }"):
            count = len(changes)
            began = time.time()
            await asyncio.to_thread(site.nft, words)
            await _until(lambda count=count: len(changes) > count)
            assert changes[-1] - began < 1.0
            assert "192.0.2.7" in await asyncio.to_thread(site.nft, "list", "ruleset")
            assert enforcement.changed_by.startswith("nft (process ")
        assert enforcement.repairs == 2

    with site.gateway.inside():
        asyncio.run(_guarded(tmp_path, flush))


class _Meddled(Firewall):
    """A firewall whose load somebody comes into: they flush after it, before anybody listens."""

    left = 1

    def put(self, policy: Any, now: float) -> Any:
        """Put it down, and lose it."""
        done = super().put(policy, now)
        if self.left and len(policy.bulk_deny):
            self.left -= 1
            subprocess.run(["nft", "flush", "ruleset"], check=True)
        return done


def test_a_flush_while_a_large_load_has_nobody_listen_is_found(site: Any, tmp_path: Path) -> None:
    """The listener is gone for the load, and joins again after: what it missed is looked for."""

    async def load(enforcement: Enforcement, changes: list[float]) -> None:
        block = Block.gather((Item(0, f"10.{n >> 8}.{n & 255}.1") for n in range(6000)), "x", 1.0)
        await enforcement._lists.replace_feed("feed:mass", "deny", block, now=time.time())
        await enforcement.sync(time.time())
        await _until(lambda: changes)
        assert enforcement.changed_by == ""
        assert enforcement._firewall.status().deny == 6001
        await asyncio.to_thread(site.nft, "flush", "ruleset")
        await _until(lambda: len(changes) > 1)
        assert enforcement.changed_by.startswith("nft (process ")

    with site.gateway.inside():
        asyncio.run(_guarded(tmp_path, load, _Meddled))


def test_others_own_business_is_no_change_of_ours(site: Any, tmp_path: Path) -> None:
    """Somebody fills a table of his own, and we deny one more: nothing was changed by anybody."""

    async def others(enforcement: Enforcement, changes: list[float]) -> None:
        for number in range(5):
            await asyncio.to_thread(site.nft, f"add table inet other{number}")
            await enforcement.sync(time.time())
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.4)
        assert (changes, enforcement.repairs, enforcement.changed_by) == ([], 0, "")

    with site.gateway.inside():
        asyncio.run(_guarded(tmp_path, others))


def test_a_program_that_fights_is_answered_in_measure(site: Any, tmp_path: Path) -> None:
    """It flushes without end: the rules come back some times a second, counted, and it is named."""

    async def fight(enforcement: Enforcement, changes: list[float]) -> None:
        fighter = await asyncio.create_subprocess_exec(sys.executable, "-c", FIGHT)
        try:
            await asyncio.sleep(2.5)
        finally:
            fighter.kill()
            await fighter.wait()
        assert 5 <= enforcement.repairs <= 13
        assert enforcement.repairs == len(changes)
        assert "nft (process " in enforcement.notes()["firewall fight"]
        await _until(lambda: enforcement._firewall.check(time.time()))

    with site.gateway.inside():
        asyncio.run(_guarded(tmp_path, fight))
