"""The way from capture threads into the event loop: in order, bounded, counted."""

from __future__ import annotations

import asyncio
import threading

from ipwatchd.capture import Capture
from ipwatchd.inbox import Inbox
from ipwatchd.records.flow import empty_flows


async def test_deliveries_of_a_thread_arrive_in_order() -> None:
    """What a thread puts comes out once, in order, and then the end."""
    inbox = Inbox(asyncio.get_running_loop())

    def produce() -> None:
        for number in range(1000):
            inbox.put(Capture(empty_flows(1), [], float(number)))

    thread = threading.Thread(target=produce)
    thread.start()
    times = []
    while len(times) < 1000:
        capture = await inbox.get()
        assert capture is not None
        times.append(capture.now)
    thread.join()
    inbox.close()
    assert times == [float(number) for number in range(1000)]
    assert await inbox.get() is None


async def test_what_does_not_fit_is_shed_and_counted() -> None:
    """A full inbox keeps what it has, never waits, and says how much it let go."""
    inbox = Inbox(asyncio.get_running_loop(), rows=10)
    for _ in range(5):
        inbox.put(Capture(empty_flows(4), [], 0.0))
    assert inbox.flows_shed == 12
    inbox.close()
    assert await inbox.get() is not None
    assert await inbox.get() is not None
    assert await inbox.get() is None
