"""A state folder that answers without a daemon."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from ipwatchd.config import Config
from ipwatchd.control.offline import StateTransport

if TYPE_CHECKING:
    from pathlib import Path

_THREADS = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty state folder."""
    (tmp_path / "effective.json").write_bytes(msgspec.json.encode(Config()))
    return tmp_path


def test_closing_ends_the_calls_of_other_threads(folder: Path) -> None:
    """Who asks while it is closed gets an answer or OSError, and no store is opened anew."""
    transport = StateTransport(folder)
    asking = threading.Barrier(_THREADS + 1)
    ended: list[str] = []

    def ask() -> None:
        asking.wait()
        try:
            while transport.call("GET", "status", None)[0] == 200:
                pass
        except OSError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    asking.wait()
    transport.call("GET", "incidents", None)
    transport.close()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(ended) == _THREADS
    assert all("closed" in one for one in ended)


def test_closed_answers_nothing(folder: Path) -> None:
    """A call after closing is refused with a sentence and does not wait for ever."""
    transport = StateTransport(folder)
    transport.close()
    with pytest.raises(OSError, match="the state folder was closed"):
        transport.call("GET", "status", None)
