"""The child dies, hangs, eats, floods, lies: each costs one message, is counted and made good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipwatchd.capture.rich.door import MAX_MESSAGE, QUEUE, Rich
from ipwatchd.records.event import Radius

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOSTILE = (sys.executable, "-s", "-P", str(Path(__file__).with_name("hostile_child.py")))
ROOT = Path(__file__).parents[3]


@pytest.fixture
def door() -> Iterator[Callable[..., Rich]]:
    """Return a maker of doors that are closed at the end."""
    made: list[Rich] = []

    def make(
        per_second: int = 1000, limit: float = 5.0, command: tuple[str, ...] = HOSTILE
    ) -> Rich:
        made.append(Rich(per_second, wait=True, limit=limit, command=command))
        return made[-1]

    yield make
    for rich in made:
        rich.close()
        assert rich.pid == 0


def give(rich: Rich, *messages: str) -> list[tuple[str, str]]:
    """Hand over messages and return origin and message of each event."""
    for message in messages:
        rich.submit("radius", message.encode(), message, 0.0)
    return [
        (origin, event.message) for origin, event in rich.collect() if isinstance(event, Radius)
    ]


def test_answers_come_in_order(door: Callable[..., Rich]) -> None:
    """Each event comes with the origin of its message, in the order of the messages."""
    rich = door()
    messages = [f"m{number}" for number in range(100)]
    assert give(rich, *messages) == [(one, one) for one in messages]
    assert give(rich, "refuse", "deep", "m") == [("m", "m")]
    counters = rich.counters
    assert (counters.given, counters.answered, counters.malformed) == (103, 101, 2)
    assert (counters.started, counters.crashed, counters.hung, counters.garbled) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("deed", "counter"),
    [
        ("crash", "crashed"), ("eat", "crashed"), ("spin", "hung"), ("sleep", "hung"),
        ("flood", "garbled"), ("garble", "garbled"), ("boast", "garbled"), ("lie", "garbled"),
        ("many", "garbled"),
    ],
)  # fmt: skip
def test_a_bad_message_costs_itself(door: Callable[..., Rich], deed: str, counter: str) -> None:
    """Whatever a message does to the child, those before and behind it are answered."""
    rich = door(limit=1.0)
    others = [f"m{number}" for number in range(20)]
    told = give(rich, *others[:10], deed, *others[10:])
    assert told == [(one, one) for one in others]
    assert rich.counters.started == 2
    assert getattr(rich.counters, counter) == 1
    assert rich.counters.crashed + rich.counters.hung + rich.counters.garbled == 1


def test_killed_from_outside(door: Callable[..., Rich]) -> None:
    """After a kill -9 the next message finds a new child."""
    rich = door()
    assert give(rich, "a") == [("a", "a")]
    first = rich.pid
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    # The first may have been written into a pipe that nobody reads any more.
    give(rich, "b")
    assert give(rich, "c") == [("c", "c")]
    assert rich.pid not in {0, first}
    assert rich.counters.started == 2


def test_children_in_a_row_are_bounded(door: Callable[..., Rich]) -> None:
    """Who found a packet that kills can't have us start children without end."""
    rich = door()
    assert give(rich, *["crash"] * 40) == []
    assert rich.counters.started == rich.counters.crashed == 8
    assert rich.counters.shed == 32
    assert give(rich, "a") == []
    assert rich.counters.shed == 33


def test_no_child_at_all(door: Callable[..., Rich]) -> None:
    """A program that is missing or ends at once costs the messages and nothing more."""
    for command in (("/nonexistent/child",), ("/bin/true",)):
        rich = door(command=command)
        assert give(rich, "a", "b") == []
        assert rich.counters.crashed == 8
        assert rich.counters.shed == 2


def test_what_it_says_is_cleaned(door: Callable[..., Rich]) -> None:
    """Text of the child is cut and made printable; it can't pose as another sensor.

    An address is one, or nothing.
    """
    rich = door()
    rich.submit("radius", b"dirty", None, 0.0)
    ((_, event),) = rich.collect()
    assert isinstance(event, Radius)
    assert event.message.startswith("\\x1b[2J")
    assert len(event.message) <= 1024
    assert (event.user, event.source, event.ts) == ("a\\x0ab\\u202e", "", 0.0)
    assert event.address == ""


def test_it_can_do_nothing(door: Callable[..., Rich]) -> None:
    """The child can open no file, no socket, no pipe, has no capability and can gain none."""
    rich = door()
    rich.submit("radius", b"look", None, 0.0)
    ((_, event),) = rich.collect()
    assert isinstance(event, Radius)
    assert event.message == "nothing"


def test_over_budget_is_counted(door: Callable[..., Rich]) -> None:
    """On the packets' clock so many a second are read, the rest is counted, not queued."""
    rich = door(per_second=5)
    for second in (0.0, 0.5, 1.0):
        for _ in range(10):
            rich.submit("radius", b"a", None, second)
    assert len(rich.collect()) == 5 + 2 + 3
    assert rich.counters.over_budget == 20


def test_queue_is_bounded() -> None:
    """A burst beyond the queue is shed; what is too long is not even queued."""
    rich = Rich(10_000, command=(*HOSTILE, "mute"))
    for _ in range(QUEUE + 50):
        rich.submit("radius", b"a", None, 0.0)
    rich.submit("radius", bytes(MAX_MESSAGE + 1), None, 0.0)
    rich.submit("unknown", b"a", None, 0.0)
    assert rich.collect() == []
    assert (rich.counters.shed, rich.counters.malformed) == (50, 2)
    rich.close()
    assert rich.counters.shed == QUEUE + 50


def test_the_wire_never_waits() -> None:
    """Without `wait` nothing blocks, and the answers come with a later call."""
    rich = Rich(1000, command=HOSTILE)
    rich.submit("radius", b"a", "a", 0.0)
    assert rich.collect() == []
    assert [origin for origin, _ in rich.finish()] == ["a"]
    rich.close()


def test_it_dies_with_its_parent() -> None:
    """A parent that is killed leaves no child behind, even one that hangs."""
    code = (
        "import sys, time\n"
        "from ipwatchd.capture.rich.door import Rich\n"
        f"rich = Rich(10, command={HOSTILE!r})\n"
        "rich.submit('radius', b'sleep', None, 0.0)\n"
        "while not rich._asked: rich.collect()\n"
        "print(rich.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        # A process of PID 1's may stay a zombie where nobody reaps.
        if Path(f"/proc/{child}/stat").read_text(encoding="ascii").split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_the_parent_may_be_process_one() -> None:
    """In a container the daemon is process 1: the child answers there as anywhere."""
    ask = (
        "import os; from ipwatchd.capture.rich.door import Rich; rich = Rich(9, wait=True);"
        "rich.submit('radius', bytes.fromhex('0101001e' + 32 * '0' + '01046162') + "
        "bytes.fromhex('08060a000001'), None, 0.0);"
        "print(os.getpid(), [event.user for _, event in rich.collect()]); rich.close()"
    )
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", ask],
        capture_output=True, check=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == "1 ['ab']\n"
