"""What the kernel says of interfaces, and what a hostile or cut-off message can't do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.link_events import LinkChange, LinkEvents, changes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.lab.netns import Namespace


def _next(events: LinkEvents, wanted: Callable[[LinkChange], bool]) -> LinkChange:
    end = time.monotonic() + 10
    while True:
        found = [change for change in events.read() if wanted(change)]
        if found:
            return found[0]
        assert time.monotonic() < end, "nothing was told"
        time.sleep(0.01)


def test_life_of_a_link(namespace: Callable[[str], Namespace]) -> None:
    """A link that is made, brought up, renamed and removed says so each time, with its index."""
    box = namespace("box")
    with box.inside():
        events = LinkEvents()
    box.run(["ip", "link", "add", "one", "type", "veth", "peer", "name", "far"])
    made = _next(events, lambda change: change.name == "one")
    assert not made.up
    box.run(["ip", "link", "set", "one", "up"])
    assert _next(events, lambda change: change.up).number == made.number
    box.run(["ip", "link", "set", "one", "name", "two"])
    assert _next(events, lambda change: change.name == "two").number == made.number
    box.run(["ip", "link", "del", "two"])
    assert _next(events, lambda change: change.gone).number == made.number
    assert events.read() == []
    events.close()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    """Bytes that are no message raise nothing."""
    for head in (b"", b"\x40\0\0\0\x10\0"):
        changes_of(head + data)
