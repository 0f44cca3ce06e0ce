"""Calls off the event loop: one thread a kind, the newest request waits."""

from __future__ import annotations

import threading
from queue import Queue
from typing import TYPE_CHECKING

from tui.calls import Answer, Calls

if TYPE_CHECKING:
    from collections.abc import Callable


def nothing(_value: object) -> None:
    """Take an answer and do nothing."""


def test_of_requests_that_wait_the_newest_is_done() -> None:
    """While a call hangs, later ones of its kind replace one another; other kinds go on."""
    answers: Queue[Answer] = Queue()
    calls = Calls(answers.put)
    gate, done = threading.Event(), []

    def work(name: str, *, wait: bool = False) -> Callable[[], str]:
        def run() -> str:
            if wait:
                gate.wait(10)
            done.append(name)
            return name

        return run

    calls.ask("slow", work("first", wait=True), nothing)
    for name in ("second", "third", "fourth"):
        calls.ask("slow", work(name), nothing)
    calls.ask("other", work("beside"), nothing)
    assert answers.get(timeout=10).value == "beside"
    assert calls.busy("slow")
    gate.set()
    assert [answers.get(timeout=10).value for _ in range(2)] == ["first", "fourth"]
    assert done == ["beside", "first", "fourth"]


def test_an_error_comes_back_as_an_answer() -> None:
    """What a call raises reaches the loop, with the kind it belongs to."""
    answers: Queue[Answer] = Queue()
    calls = Calls(answers.put)
    calls.ask("bad", lambda: 1 // 0, nothing)
    answer = answers.get(timeout=10)
    assert isinstance(answer.error, ZeroDivisionError)
    assert answer.kind == "bad"


def test_nothing_comes_after_the_end() -> None:
    """Once closed, a call that hung delivers nothing, and none is begun."""
    answers: Queue[Answer] = Queue()
    calls = Calls(answers.put)
    gate, ended = threading.Event(), threading.Event()

    def hang() -> None:
        gate.wait(10)
        ended.set()

    calls.ask("slow", hang, nothing)
    calls.close()
    calls.ask("late", ended.set, nothing)
    gate.set()
    assert ended.wait(10)
    assert answers.empty()
