"""The systemd journal, read by the real journalctl from a real journal file (journal.gz).

It holds, by hosts and users as systemd-journal-remote wrote them: a failed login, one that a
user's own process forged, one whose name is no UTF-8, a line of systemd, a login by key, and a
VPN address.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.logs import Reader
from ipwatchd.logs.journal import Journal, entry_of, unreadable
from ipwatchd.logs.rules import MAX_LINE

if TYPE_CHECKING:
    from ipwatchd.logs.syslog import Head

ALL: Final = "--lines=all"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the journal file."""
    packed = Path(__file__).with_name("journal.gz").read_bytes()
    (tmp_path / "test.journal").write_bytes(gzip.decompress(packed))
    return tmp_path


def wait(journal: Journal, entries: int) -> list[Head]:
    """Return the messages once so many entries were taken."""
    heads: list[Head] = []
    end = time.monotonic() + 20
    while journal.entries < entries and time.monotonic() < end:
        heads += journal.take(1000)
        time.sleep(0.02)
    assert journal.entries == entries
    return heads


def test_entries_become_events(folder: Path) -> None:
    """What system users wrote is read; who only calls himself sshd is counted and not believed."""
    journal = Journal("", [f"--directory={folder}", ALL])
    journal.start()
    try:
        heads = wait(journal, 6)
    finally:
        journal.stop()
    reader = Reader()
    events = [one for head in heads if (one := reader.message(head, source="journal"))]
    assert [(one.orig, one.__struct_config__.tag) for one in events] == [
        ("192.0.2.1", "auth"), ("192.0.2.2", "auth"), ("192.0.2.3", "auth"), ("192.0.2.4", "vpn"),
    ]  # fmt: skip
    assert events[0].ts == 1_795_287_601.0
    assert journal.forged == 1
    assert "203.0.113.66" not in {one.orig for one in events}


def test_a_later_reader_goes_on(folder: Path) -> None:
    """The cursor of what was taken, not of what was read, is where the next one starts."""
    first = Journal("", [f"--directory={folder}", ALL])
    first.start()
    try:
        end = time.monotonic() + 20
        while first.entries < 4 and time.monotonic() < end:
            first.take(4 - first.entries)
            time.sleep(0.02)
    finally:
        first.stop()
    second = Journal(first.cursor, [f"--directory={folder}", ALL])
    second.start()
    try:
        assert [head.program for head in wait(second, 2)] == ["sshd", "openvpn"]
    finally:
        second.stop()


def test_a_child_that_dies_is_started_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journalctl that was killed is told of, and its successor repeats nothing."""
    monkeypatch.setattr("ipwatchd.logs.journal._AGAIN_SECONDS", 0.1)
    journal = Journal("", [f"--directory={folder}", ALL])
    journal.start()
    try:
        wait(journal, 6)
        assert journal._child is not None
        os.kill(journal._child.pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while journal.starts < 2 and time.monotonic() < end:
            time.sleep(0.02)
        assert journal.starts == 2
        time.sleep(0.3)
        assert journal.take(100) == []
    finally:
        journal.stop()


def test_a_journal_that_can_not_be_read_is_a_problem(tmp_path: Path) -> None:
    """No journal, and one that is closed to us, are told with the mend."""
    assert "there is no journal" in unreadable([str(tmp_path / "none"), str(tmp_path)])
    (tmp_path / "machine").mkdir()
    assert unreadable([str(tmp_path)]) == ""


@given(
    st.one_of(
        st.binary(max_size=100),
        st.dictionaries(
            st.sampled_from(
                ["__CURSOR", "__REALTIME_TIMESTAMP", "_UID", "MESSAGE", "_COMM", "_PID"]
            ),
            st.one_of(
                st.text(max_size=20), st.integers(), st.lists(st.integers(-1, 300), max_size=9)
            ),
        ).map(lambda fields: json.dumps(fields).encode()),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_line(line: bytes) -> None:
    """Whatever journalctl may write, it is survived."""
    entry = entry_of(line)
    assert entry is None or entry.head is None or len(entry.head.text) <= MAX_LINE
