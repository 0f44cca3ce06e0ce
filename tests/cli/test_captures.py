"""What a bad capture, a bad target or an impatient reader gets from flows, events and replay."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Done

COMMANDS = ("flows", "events", "replay")
IP_IN_ETHERNET = struct.pack(">6x6xH", 0x0800)


def _udp(port: int) -> bytes:
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 32, 0, 0, 64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2"
    )  # RFC 791, RFC 768
    return IP_IN_ETHERNET + header + struct.pack(">HHHH4x", port, 9, 12, 0)


def _capture(packets: int) -> bytes:
    """Return a pcap file with one UDP packet a flow, a second apart."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number in range(packets):
        packet = _udp(1000 + number)
        head += struct.pack("<IIII", 1_700_000_000 + number, 0, len(packet), len(packet)) + packet
    return head


def _run(run: Callable[..., Done], command: str, file: Path, folder: Path) -> Done:
    target = ("--state", folder / "state") if command == "replay" else ()
    return run(command, file, *target)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: give a pcap"),
        (b"\x7fELF" + bytes(400), "is not a capture file: give a pcap"),
        (b"hello, I am a letter\n" * 40, "is not a capture file: give a pcap"),
    ],
)
def test_what_is_no_capture_is_one_sentence(
    daemon_command: Callable[..., Done], tmp_path: Path, command: str, content: bytes, words: str
) -> None:
    """An empty file and one that is no capture: status 2, a sentence with the file's name."""
    file = tmp_path / "bad.pcap"
    file.write_bytes(content)
    done = _run(daemon_command, command, file, tmp_path)
    assert done.status == 2
    assert done.err.startswith(f"ipwatchd: {file} {words}")
    assert done.err.count("\n") == 1
    assert not done.out


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", [".", "missing.pcap", "missing/x.pcap"])
def test_a_folder_and_a_missing_file_are_named(
    daemon_command: Callable[..., Done], tmp_path: Path, command: str, name: str
) -> None:
    """What is not there or not a file: status 2 and one sentence that names it."""
    done = _run(daemon_command, command, tmp_path / name, tmp_path)
    assert done.status == 2
    assert str(tmp_path / name) in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("cut", [1, 30, 46, 61])
def test_of_a_cut_off_file_every_whole_packet_counts(
    daemon_command: Callable[..., Done], tmp_path: Path, cut: int
) -> None:
    """Five of six packets are whole: five flows, status 0, a warning on standard error."""
    file = tmp_path / "cut.pcap"
    file.write_bytes(_capture(6)[:-cut])
    done = daemon_command("flows", file)
    assert done.status == 0
    ports = sorted(json.loads(line)["orig_port"] for line in done.out.splitlines())
    assert ports == [1000, 1001, 1002, 1003, 1004]
    assert "warning: " in done.err
    assert "cut off" in done.err


def test_replay_and_events_of_a_cut_off_file_warn(
    daemon_command: Callable[..., Done], ctl: Callable[..., Done], tmp_path: Path
) -> None:
    """Also replay and events take what is whole and say that the file was cut off."""
    file = tmp_path / "cut.pcap"
    file.write_bytes(_capture(6)[:-5])
    for command in ("events", "replay"):
        done = _run(daemon_command, command, file, tmp_path)
        assert done.status == 0
        assert "cut off" in done.err
    rows = json.loads(ctl("--state", tmp_path / "state", "--json", "flows").out)
    assert len(rows) == 5


def test_a_bad_file_among_good_ones_loses_nothing_recorded(
    daemon_command: Callable[..., Done], ctl: Callable[..., Done], tmp_path: Path
) -> None:
    """A replay that ends on a bad file leaves what was in the folder before."""
    good, bad, state = tmp_path / "good.pcap", tmp_path / "bad.pcap", tmp_path / "state"
    good.write_bytes(_capture(4))
    bad.write_bytes(b"no capture at all, but long enough")
    assert daemon_command("replay", good, "--state", state).status == 0
    assert daemon_command("replay", good, bad, "--state", state).status == 2
    rows = json.loads(ctl("--state", state, "--json", "flows").out)
    assert {row["orig_port"] for row in rows} == {1000, 1001, 1002, 1003}


@pytest.mark.parametrize(
    ("output", "words", "status"),
    [
        ("/nowhere/at/all.jsonl", "/nowhere/at/all.jsonl: no such file", 2),
        ("/dev/full", "/dev/full: no space left on device: make room", 1),
        (".", "is a directory: name a file", 2),
    ],
)
@pytest.mark.parametrize("command", ["flows", "events"])
def test_a_target_that_takes_nothing_is_named(
    daemon_command: Callable[..., Done], shared: Path, command: str, output: str, words: str,
    status: int,
) -> None:  # fmt: skip
    """An output that can't be written: the right status and a sentence that names it."""
    file = shared / "pcap/flows/nDPI__safari.pcap"
    done = daemon_command(command, file, "-o", output)
    assert (done.status, done.out) == (status, "")
    assert words in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("target", ["a file", "/proc/ipwatchd"])
def test_a_state_folder_that_can_not_be_made(
    daemon_command: Callable[..., Done], tmp_path: Path, target: str
) -> None:
    """Where --state can't be a folder the sentence says so, status 2."""
    file = tmp_path / "good.pcap"
    file.write_bytes(_capture(1))
    (tmp_path / "a file").write_text("x")
    done = daemon_command("replay", file, "--state", tmp_path / target)
    assert done.status == 2
    assert str(tmp_path / target) in done.err
    assert done.err.count("\n") == 1


def test_a_reader_who_has_enough_is_no_error(shared: Path) -> None:
    """`| head -1` ends the command quietly; a full standard output is named."""
    file = shared / "pcap/detect/nDPI__synscan.pcap"
    command = f"{sys.executable} -m ipwatchd.cli.ipwatchd flows {file}"
    script = f"set -o pipefail; {command} | head -1; {command} >/dev/full"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr.count("\n") == 1
    assert "standard output: no space left on device: make room on the disk" in done.stderr
    assert done.returncode == 1


def test_a_closed_pipe_ends_with_zero(shared: Path) -> None:
    """The status of a command whose reader went away is 0: nothing went wrong."""
    file = shared / "pcap/detect/nDPI__synscan.pcap"
    command = [sys.executable, "-m", "ipwatchd.cli.ipwatchd", "flows", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0
