"""Files that are followed: rotation, truncation, restarts, bounds."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from ipwatchd.logs import Follower
from ipwatchd.logs.follow import POLL_BYTES
from ipwatchd.logs.rules import MAX_LINE
from ipwatchd.records.event import Auth

if TYPE_CHECKING:
    from pathlib import Path

NOW: Final = 1_795_291_200.0


def line(user: str) -> str:
    """Return a failed login of a user."""
    return f"Nov 21 19:00:01 gw sshd[1]: Failed password for {user} from 192.0.2.1 port 9 ssh2\n"


def add(path: Path, text: str) -> None:
    """Write to a file's end, as a daemon does."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def users(follower: Follower) -> list[str]:
    """Return the users of the next poll's logins."""
    return [event.user for event in follower.read(NOW) if isinstance(event, Auth)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log with one line."""
    path = tmp_path / "auth.log"
    add(path, line("a"))
    return path


def test_lines_come_once(log: Path) -> None:
    """What is there is read from the start, what is added comes once, half a line later whole."""
    follower = Follower([log], state=None)
    assert users(follower) == ["a"]
    assert users(follower) == []
    add(log, line("b") + line("c")[:30])
    assert users(follower) == ["b"]
    add(log, line("c")[30:])
    assert users(follower) == ["c"]
    assert follower.counters.lines == 3
    assert follower.read(NOW) == []


def test_rotation(log: Path) -> None:
    """What was written to the old file after the last poll is read before the new file."""
    follower = Follower([log], state=None)
    users(follower)
    add(log, line("b"))
    log.rename(log.with_name("auth.log.1"))
    add(log.with_name("auth.log.1"), line("c").rstrip())
    add(log, line("d"))
    assert users(follower) == ["b", "c", "d"]
    assert follower.counters.rotations == 1


def test_rotation_before_the_new_file_is_there(log: Path) -> None:
    """Between rename and creation the old file goes on being read."""
    follower = Follower([log], state=None)
    users(follower)
    old = log.with_name("auth.log.1")
    log.rename(old)
    add(old, line("b"))
    assert users(follower) == ["b"]
    add(log, line("c"))
    assert users(follower) == ["c"]


def test_an_old_file_is_read_while_the_new_one_is_empty(log: Path) -> None:
    """The new file is made before the program is told: it goes on writing to the old one."""
    follower = Follower([log], state=None)
    users(follower)
    old = log.with_name("auth.log.1")
    log.rename(old)
    log.touch()
    assert users(follower) == []
    add(old, line("b"))
    assert users(follower) == ["b"]
    add(log, line("c"))
    assert users(follower) == ["c"]
    assert follower.counters.rotations == 1


def test_copytruncate(log: Path) -> None:
    """A truncated file is read from its start, also where it has grown past the old place."""
    follower = Follower([log], state=None)
    users(follower)
    os.truncate(log, 0)
    add(log, line("b"))
    assert users(follower) == ["b"]
    os.truncate(log, 0)
    add(log, line("ccc") + line("d"))
    assert users(follower) == ["ccc", "d"]
    assert follower.counters.truncations == 2


def test_restart(log: Path, tmp_path: Path) -> None:
    """After a restart reading goes on behind the last whole line."""
    state = tmp_path / "logs.json"
    follower = Follower([log], state=state)
    add(log, line("b")[:20])
    assert users(follower) == ["a"]
    follower.close()
    add(log, line("b")[20:] + line("c"))
    assert users(Follower([log], state=state)) == ["b", "c"]


def test_restart_after_rotation(log: Path, tmp_path: Path) -> None:
    """What was rotated away while nobody read is finished first; an equal inode deceives nobody."""
    state = tmp_path / "logs.json"
    follower = Follower([log], state=state)
    users(follower)
    follower.close()
    add(log, line("b"))
    log.rename(log.with_name("auth.log.1"))
    add(log, line("c"))
    follower = Follower([log], state=state)
    assert users(follower) == ["b", "c"]
    follower.close()
    stored = json.loads(state.read_text())
    os.truncate(log, 0)
    add(log, line("dddd"))
    assert stored[str(log)]["inode"] == log.stat().st_ino
    assert users(Follower([log], state=state)) == ["dddd"]


def test_crash_repeats_and_loses_nothing(log: Path, tmp_path: Path) -> None:
    """Positions are written after the caller had time to keep the events, not before."""
    state = tmp_path / "logs.json"
    follower = Follower([log], state=state)
    assert users(follower) == ["a"]
    assert users(Follower([log], state=state)) == ["a"]
    users(follower)
    assert users(Follower([log], state=state)) == []
    assert list(tmp_path.glob("*.new")) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x":1}', "\0"])
def test_corrupt_state(log: Path, tmp_path: Path, text: str) -> None:
    """A state file that can't be read is said and replaced, the files are read from the start."""
    state = tmp_path / "logs.json"
    state.write_text(text)
    follower = Follower([log], state=state)
    assert str(state) in follower.counters.problems
    assert users(follower) == ["a"]
    users(follower)
    assert follower.counters.problems == {}
    assert users(Follower([log], state=state)) == []


def test_state_that_can_not_be_written(log: Path, tmp_path: Path) -> None:
    """Where positions can't be written, reading goes on and the problem is told."""
    follower = Follower([log], state=tmp_path / "nowhere" / "logs.json")
    assert users(follower) == ["a"]
    assert users(follower) == []
    (problem,) = follower.counters.problems.values()
    assert "can't be written" in problem


def test_missing_file_is_waited_for(tmp_path: Path) -> None:
    """A file that is not there is a problem until it is."""
    path = tmp_path / "later.log"
    follower = Follower([path], state=None)
    assert users(follower) == []
    assert "not there" in follower.counters.problems[str(path)]
    add(path, line("a"))
    assert users(follower) == ["a"]
    assert follower.counters.problems == {}


def test_what_is_no_file(tmp_path: Path) -> None:
    """A directory or a pipe in a file's place is said and holds nobody."""
    os.mkfifo(tmp_path / "pipe")
    follower = Follower([tmp_path, tmp_path / "pipe"], state=None)
    assert follower.read(NOW) == []
    assert all("no regular file" in problem for problem in follower.counters.problems.values())
    assert len(follower.counters.problems) == 2


def test_long_lines_are_cut(log: Path, tmp_path: Path) -> None:
    """A line without end costs no memory, gives nothing, and its tail is no line of its own."""
    state = tmp_path / "logs.json"
    follower = Follower([log], state=state)
    users(follower)
    add(log, "x" * (MAX_LINE * 40))
    assert users(follower) == []
    follower.close()
    add(log, line("forged") + line("b"))
    after = Follower([log], state=state)
    assert users(after) == ["b"]
    assert (follower.counters.lines_cut, after.counters.lines_cut) == (1, 0)
    add(log, "y" * (MAX_LINE + 1) + "\n" + line("c"))
    assert users(after) == ["c"]
    assert after.counters.lines_cut == 1


def test_a_flood_is_read_in_parts(log: Path, tmp_path: Path) -> None:
    """A poll reads a bounded amount, shared by the files; nothing is lost."""
    other = tmp_path / "other.log"
    text = line("b")
    count = POLL_BYTES // len(text) + 100
    add(log, text * count)
    add(other, line("c"))
    follower = Follower([log, other], state=None)
    got = users(follower)
    assert got[-1] == "c"
    assert follower.counters.bytes <= POLL_BYTES + 1
    while more := users(follower):
        got += more
    assert got.count("b") == count
    assert got.count("a") == got.count("c") == 1


@pytest.mark.parametrize("name", ["auth.log.1.gz", "auth.log.2.gz", "auth.log-20261121.gz"])
def test_what_was_rotated_and_packed_while_nobody_read_is_read_to_its_end(
    log: Path, tmp_path: Path, name: str
) -> None:
    """A restart finds the rest of the old file in its gzip, then goes on with the new one."""
    state = tmp_path / "logs.json"
    first = Follower([log], state=state)
    before = users(first)
    first.close()
    add(log, line("late"))
    (tmp_path / "other.log.1.gz").write_bytes(gzip.compress(line("stranger").encode()))
    (tmp_path / name).write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    add(log, line("fresh"))
    second = Follower([log], state=state)
    assert before + users(second) == [*before, "late", "fresh"]
    second.close()


def test_two_rotations_while_nobody_read(log: Path, tmp_path: Path) -> None:
    """A restart reads the rest of the file of then, the whole one after it, and the newest."""
    state = tmp_path / "logs.json"
    first = Follower([log], state=state)
    users(first)
    first.close()
    add(log, line("b"))
    log.rename(tmp_path / "auth.log.2")
    os.utime(tmp_path / "auth.log.2", (NOW - 60, NOW - 60))
    (tmp_path / "auth.log.1.gz").write_bytes(gzip.compress((line("c") + line("d")).encode()))
    os.utime(tmp_path / "auth.log.1.gz", (NOW - 30, NOW - 30))
    (tmp_path / "auth.log.save").write_text(line("copied by hand"), encoding="utf-8")
    add(log, line("e"))
    second = Follower([log], state=state)
    assert users(second) == ["b", "c", "d", "e"]
    second.close()


def test_rotation_by_date(log: Path, tmp_path: Path) -> None:
    """An old file that is called by its date is found like one that is called by a number."""
    state = tmp_path / "logs.json"
    first = Follower([log], state=state)
    users(first)
    first.close()
    add(log, line("b"))
    log.rename(tmp_path / "auth.log-20261121")
    add(log, line("c"))
    assert users(Follower([log], state=state)) == ["b", "c"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_copytruncate_loses_nothing_unread(
    log: Path, tmp_path: Path, *, packed: bool, restart: bool
) -> None:
    """What was not read yet when a file was truncated is read from the copy, then the file."""
    state = tmp_path / "logs.json"
    follower = Follower([log], state=state)
    users(follower)
    add(log, line("b") + line("half")[:20])
    if not restart:
        assert users(follower) == ["b"]
    add(log, line("half")[20:] + line("c"))
    if packed:
        (tmp_path / "auth.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    else:
        (tmp_path / "auth.log.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    add(log, line("d"))
    if restart:
        follower.close()
        follower = Follower([log], state=state)
    assert users(follower)[-3:] == ["half", "c", "d"]
    assert users(follower) == []
    add(log, line("e"))
    assert users(follower) == ["e"]


def test_a_bomb_in_place_of_an_old_log_is_cut(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What unpacks without end is read up to a bound, broken gzip not at all."""
    monkeypatch.setattr("ipwatchd.logs.rotated._UNPACKED", 1 << 20)
    state = tmp_path / "logs.json"
    first = Follower([log], state=state)
    users(first)
    first.close()
    old = log.read_bytes()
    log.unlink()
    (tmp_path / "auth.log.1.gz").write_bytes(b"\x1f\x8bbroken")
    (tmp_path / "auth.log.2.gz").write_bytes(gzip.compress(old + b"\n" * (64 << 20)))
    add(log, line("fresh"))
    second = Follower([log], state=state)
    assert users(second) == ["fresh"]
    assert second.counters.bytes < 2 << 20
    second.close()


CHILD: Final = """
import sys, time
from pathlib import Path
from ipwatchd.logs import Follower
follower = Follower([sys.argv[1]], state=Path(sys.argv[2]))
with open(sys.argv[3], "a", buffering=1) as out:
    while True:
        for event in follower.read(time.time()):
            out.write(event.user + "\\n")
        time.sleep(0.005)
"""


def test_a_kill_loses_no_line(tmp_path: Path) -> None:
    """Killed again and again between lines, a follower repeats some of them and loses none."""
    log, state, out = (tmp_path / name for name in ("auth.log", "logs.json", "out"))
    log.touch()
    sent = 0
    for _ in range(3):
        command = [sys.executable, "-c", CHILD, str(log), str(state), str(out)]
        with subprocess.Popen(command) as child:
            want = sent + 60
            end = time.monotonic() + 20
            while time.monotonic() < end:
                if sent < want:
                    add(log, line(f"user{sent}"))
                    sent += 1
                elif out.exists() and f"user{want - 1}\n" in out.read_text(encoding="utf-8"):
                    break
                time.sleep(0.002)
            add(log, line(f"user{sent}"))
            sent += 1
            child.kill()
    last = Follower([log], state=state)
    got = set(out.read_text(encoding="utf-8").split()) | set(users(last))
    assert got == {f"user{number}" for number in range(sent)}
    last.close()


def test_a_stamp_of_the_future_is_now(log: Path) -> None:
    """A line that claims to be of tomorrow is of now, counted and told with the source's name."""
    follower = Follower([log], state=None)
    users(follower)
    add(log, line("early").replace("19:00:01", "23:30:00"))
    (event,) = follower.read(NOW)
    assert event.ts == NOW
    assert follower.clocks[str(log)].clamped == 1
    follower.close()
