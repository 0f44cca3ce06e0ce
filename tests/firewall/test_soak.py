"""A million entries, a daemon killed while it loads them, and started again."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from ipwatchd.config import Config, FirewallSettings
from ipwatchd.firewall import Firewall
from ipwatchd.firewall.kernel import KernelTable
from ipwatchd.firewall.layout import columns
from ipwatchd.firewall.ledger import Ledger
from ipwatchd.firewall.transport import NetlinkSocket
from ipwatchd.lists.block import Block
from ipwatchd.lists.feeds import FeedState
from ipwatchd.lists.formats import Item
from ipwatchd.records.address import address_text
from ipwatchd.stores import Stores
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace
    from ipwatchd.records.policy import Policy

CONFIG = """
[capture]
source = "none"
[firewall]
mode = "enforce"
[feeds.mass]
file = "/nowhere"
every = 86400.0
"""
MILLION = 1_000_000


def _networks() -> list[str]:
    """Return a million prefixes that neither overlap nor touch, a fifth of them networks."""
    blocks = np.sort(np.random.default_rng(3).choice(1 << 22, MILLION, replace=False))
    firsts = ((blocks.astype(np.int64) << 9) + (16 << 24)).tolist()
    low = 0xFFFF_0000_0000
    return [
        f"{address_text(0, low | first)}/{32 if place % 5 else 24 + place % 7}"
        for place, first in enumerate(firsts)
    ]


async def _stored(state: Path) -> Policy:
    """Put them into the store as a feed; return what the kernel is to hold."""
    stores = await Stores.open(Config(firewall=FirewallSettings(mode="enforce")), state)
    try:
        now = time.time()
        block = Block.gather((Item(0, one) for one in _networks()), "listed", now)
        await stores.lists.replace_feed("feed:mass", "deny", block, now=now)
        return stores.lists.policy("enforce", (), now=now)
    finally:
        await stores.close(time.time())


@pytest.mark.soak
def test_a_million_entries_and_a_kill(
    namespace: Callable[[str], Namespace], tmp_path: Path
) -> None:
    """Killed at several moments of its load, then started: element by element what is stored."""
    agent = Agent(namespace("gateway"), tmp_path, CONFIG)
    agent.state.mkdir()
    policy = asyncio.run(_stored(agent.state))
    known = FeedState(name="mass", entries=MILLION)
    known.tried = known.success = time.time()
    known.next = known.tried + 86_400
    (agent.state / "feeds.json").write_bytes(msgspec.json.encode([known]))
    for seconds in (2.0, 3.0, 5.0):
        with agent.log.open("a") as log:
            agent.process = agent.namespace.popen(agent.command(), stdout=log, stderr=log)
        time.sleep(seconds)
        agent.process.send_signal(signal.SIGKILL)
        agent.process.wait()
    agent.start()
    try:
        with agent.namespace.inside(), NetlinkSocket() as socket, Firewall(FirewallSettings()):
            kernel, held = KernelTable(socket, "ipwatchd"), 0
            ledger = Ledger(policy.lists())
            for spec, rows in ledger.portions():
                assert kernel.present(spec, columns(rows, spec.family, time.time()).first).all()
                held += len(rows)
            told = kernel.sets()
            assert held == MILLION
            assert {spec.name: told[spec.name].elements for spec in ledger.specs} == {
                spec.name: ledger.counts[spec.name] for spec in ledger.specs
            }
        assert agent.ask("firewall", "status")["mode"] == "enforce"
    finally:
        agent.stop()
