"""Capture files of every kind, whole, cut off and hostile."""

from __future__ import annotations

import gzip
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from ipwatchd.capture import CaptureFileError, read_files
from ipwatchd.capture.blocks import Interfaces
from ipwatchd.config import CaptureSettings

SETTINGS = CaptureSettings(flows=1024)
MAC = "02:00:00:00:00:01"


def _packets(path: Path) -> tuple[int, list[str]]:
    source = read_files([path], SETTINGS, dissect=False)
    for _ in source:
        pass
    return source.report.packets, source.report.warnings


def _fill(wire: Any, count: int = 5) -> None:
    for number in range(count):
        wire.udp(number + 0.25, data=b"x" * number)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("unit", [1_000_000, 1_000_000_000])
def test_classic(wire: Any, order: str, unit: int) -> None:
    """Both byte orders and both time units say the same."""
    _fill(wire)
    path = wire.write(order=order, unit=unit)
    flows = np.concatenate([one.flows for one in read_files([path], SETTINGS, dissect=False)])
    assert flows["orig_packets"].tolist() == [5]
    assert flows["start"].tolist() == [1_700_000_000_250_000_000]


def test_compressed(wire: Any) -> None:
    """Gzip and zstd are read as they are."""
    _fill(wire)
    plain = wire.bytes()
    one, two = wire.folder / "x.gz", wire.folder / "x.zst"
    one.write_bytes(gzip.compress(plain))
    with pa.CompressedOutputStream(str(two), "zstd") as out:
        out.write(plain)
    assert _packets(one) == _packets(two) == (5, [])


def test_cut_off_gzip(wire: Any) -> None:
    """A gzip file that ends early gives what it holds, and says so."""
    _fill(wire, 50)
    path = wire.folder / "x.gz"
    path.write_bytes(gzip.compress(wire.bytes())[:-12])
    packets, warnings = _packets(path)
    assert packets > 0
    assert len(warnings) == 1


@pytest.mark.parametrize("packed", ["gz", "zst"])
def test_damaged_in_the_middle(wire: Any, packed: str) -> None:
    """Of compressed data that are damaged, what comes before is read, and the damage is told."""
    for number in range(300):
        wire.udp(number + 0.25, data=random.Random(number).randbytes(1000))
    path = wire.folder / f"x.{packed}"
    codec = {"gz": "gzip", "zst": "zstd"}[packed]
    whole = pa.compress(wire.bytes(), codec, asbytes=True)
    path.write_bytes(whole[: len(whole) * 3 // 4])
    packets, [warning] = _packets(path)
    assert 100 < packets < 300
    assert "can't be read on after" in warning
    path.write_bytes(whole[:10] + b"\xff" * 40)
    with pytest.raises(CaptureFileError, match="can't be read on after 0 bytes"):
        _packets(path)


def test_cut_off_anywhere(wire: Any) -> None:
    """A file cut at any length gives its whole packets, and a warning unless cut between two."""
    _fill(wire, 3)
    whole = wire.bytes()
    path = wire.folder / "cut.pcap"
    ends = [24]
    for _, data in wire.packets:
        ends.append(ends[-1] + 16 + len(data))
    for length in range(24, len(whole) + 1):
        path.write_bytes(whole[:length])
        packets, warnings = _packets(path)
        assert packets == sum(end <= length for end in ends[1:])
        assert bool(warnings) == (length not in ends)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xd4\xc3\xb2\xa1", "too short"),
        (b"root:x:0:0:root:/root:/bin/bash\n" * 9, "is not a capture file"),
        (b"\x0a\x0d\x0d\x0a" + b"\0" * 40, "is not a capture file"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 147), "link type 147"),
    ],
)
def test_no_capture(tmp_path: Path, content: bytes, words: str) -> None:
    """What is no capture is refused in one sentence that names the file."""
    path = tmp_path / "y.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureFileError, match=words) as caught:
        _packets(path)
    assert str(path) in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(CaptureFileError, match=r"gone\.pcap"):
        _packets(tmp_path / "gone.pcap")


def test_hostile_length(wire: Any) -> None:
    """A record of 4 GiB ends the reading, what was before it is kept."""
    _fill(wire, 2)
    path = wire.write()
    path.write_bytes(path.read_bytes() + struct.pack("<IIII", 0, 0, 0xFFFFFFF0, 60) + b"x" * 99)
    packets, warnings = _packets(path)
    assert packets == 2
    assert "impossible" in warnings[0]


def _block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def _pcapng(wire: Any, order: str = "<", *, resolution: int = 6) -> bytes:
    out = _block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    options = struct.pack(f"{order}HHB3xHH", 9, 1, resolution, 0, 0)
    out += _block(1, struct.pack(f"{order}HHI", 1, 0, 0) + options, order)
    out += _block(5, b"statistics..", order)
    for at, data in wire.packets:
        if resolution & 0x80:
            ticks = int((1_700_000_000 + at) * 2 ** (resolution & 0x7F))
        else:
            ticks = round((1_700_000_000 + at) * 10**resolution)
        head = struct.pack(
            f"{order}IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data)
        )
        out += _block(6, head + data, order)
    return out


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("resolution", [0, 3, 6, 9, 0x8A, 0x94])
def test_pcapng(wire: Any, order: str, resolution: int) -> None:
    """Sections of both byte orders, one behind the other, and every time resolution."""
    _fill(wire)
    path = wire.folder / "x.pcapng"
    path.write_bytes(_pcapng(wire, order, resolution=resolution) + _pcapng(wire))
    flows = np.concatenate([one.flows for one in read_files([path], SETTINGS, dissect=False)])
    assert flows["orig_packets"].sum() == 10
    error = 0 if resolution else 250_000_000
    assert abs(int(flows["start"].min()) - 1_700_000_000_250_000_000) <= error + 2_000


def test_interfaces_by_name(wire: Any) -> None:
    """Flows name the interface of their packets, whatever its number in its section or file."""

    def section(*names: bytes) -> bytes:
        out = _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        for name in names:
            option = struct.pack("<HH", 2, len(name)) + name + b"\0" * (-len(name) % 4)
            out += _block(1, struct.pack("<HHI", 1, 0, 0) + (option if name else b""))
        for number, name in enumerate(names):
            datagram = UDP(sport=40_000, dport=1000 + len(name))
            data = bytes(Ether(dst=MAC, src=MAC) / IP(src="10.0.0.1", dst="10.0.0.2") / datagram)
            head = struct.pack("<IIIII", number, 0, 1, len(data), len(data))
            out += _block(6, head + data)
        return out

    first, second = wire.folder / "a.pcapng", wire.folder / "b.pcapng"
    first.write_bytes(section(b"eth0", b"") + section(b"wan,uplink", b"eth0"))
    second.write_bytes(section(b"lo", b"\x1b[2Jtun"))
    source = read_files([first, second], SETTINGS, dissect=False)
    flows = np.concatenate([one.flows for one in source])
    named = {int(flow["resp_port"]): source.interfaces[int(flow["iface"])] for flow in flows}
    wanted = {1004: "eth0", 1000: "", 1010: "wan,uplink", 1002: "lo", 1007: "\\x1b[2Jtun"}
    assert named == wanted, "what a screen would obey is written out"


def test_interfaces_between_packets(wire: Any) -> None:
    """An interface may be described before each packet; the names that are told are bounded."""
    _fill(wire, 1)
    [(_, data)] = wire.packets
    out = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for number in range(300):
        option = struct.pack("<HH", 2, 8) + b"eth%05d" % number
        out.append(_block(1, struct.pack("<HHI", 1, 0, 0) + option))
        head = struct.pack("<IIIII", number, number << 4, 0, len(data), len(data))
        out.append(_block(6, head + data))
    path = wire.folder / "many.pcapng"
    path.write_bytes(b"".join(out))
    source = read_files([path], SETTINGS, dissect=False)
    flows = np.concatenate([one.flows for one in source])
    named = [source.interfaces[place] for place in sorted(flows["iface"].tolist())]
    assert named == [f"eth{number:05d}" for number in range(300)]
    names = Interfaces()
    assert [names.place(f"eth{number}") for number in range(4096)] == [*range(1, 4096), 0]
    assert (names.place("eth7"), names.place(""), len(names)) == (8, 0, 4096)


def test_folder(tmp_path: Path) -> None:
    """A folder is no capture, and the sentence says what to name instead."""
    with pytest.raises(CaptureFileError, match=r"is a folder: name the capture files in it"):
        list(read_files([tmp_path], SETTINGS))


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(wire: Any, packed: bool) -> None:
    """A pipe is read like a file, packed or not, but alone."""
    _fill(wire)
    data = wire.bytes()
    read = (
        "import sys; from pathlib import Path; from ipwatchd.capture import read_files;"
        "from ipwatchd.config import CaptureSettings;"
        "source = read_files([Path('-')], CaptureSettings(flows=1024), dissect=False);"
        "print(sum(len(one.flows) for one in source), source.report.packets)"
    )
    done = subprocess.run(
        [sys.executable, "-c", read], input=gzip.compress(data) if packed else data,
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.split()[1] == b"5"
    with pytest.raises(CaptureFileError, match="alone"):
        list(read_files([Path("-"), wire.write()], SETTINGS))
    pipe = wire.folder / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CaptureFileError, match="is a pipe: read it alone"):
        list(read_files([wire.write(), pipe], SETTINGS))


def test_files_in_time_order(wire: Any) -> None:
    """Several files are read by the times of their packets, whatever their order."""
    wire.tcp(0, "S")
    first = wire.write("b.pcap")
    wire.packets.clear()
    wire.tcp(1, "SA", back=True)
    second = wire.write("a.pcap")
    flows = np.concatenate([one.flows for one in read_files([second, first], SETTINGS)])
    assert (flows["orig_packets"].tolist(), flows["resp_packets"].tolist()) == ([1], [1])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_packets_in_time_order(wire: Any, where: list[int]) -> None:
    """However packets lie in files: read together they give what one file of them all gives."""
    paths = []
    for number in range(5):
        wire.packets.clear()
        for second, mine in enumerate(where):
            if mine == number:
                wire.udp(second * 7, data=b"x" * second, back=second % 3 == 1)
        paths.append(wire.write(f"{number}.pcap"))
    wire.packets.clear()
    for second in range(len(where)):
        wire.udp(second * 7, data=b"x" * second, back=second % 3 == 1)
    limits = CaptureSettings(flows=1024, udp_timeout=6.0, active_timeout=30.0)
    seen = []
    for source in (paths[::-1], [wire.write("all.pcap")]):
        capture = read_files(source, limits, dissect=False)
        seen.append(np.concatenate([one.flows for one in capture]))
        assert capture.report.packets == len(where)
        assert capture.report.files == len(source)
    assert seen[0].tolist() == seen[1].tolist()


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_flipped_bits(wire: Any, data: Any) -> None:
    """A capture with any bits flipped is read or refused in a sentence."""
    wire.packets.clear()
    _fill(wire, 3)
    whole = bytearray(wire.bytes() if data.draw(st.booleans()) else _pcapng(wire))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=20)):
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
    path = wire.folder / "flipped"
    path.write_bytes(whole)
    try:
        packets, _ = _packets(path)
    except CaptureFileError:
        return
    assert packets <= 3


def test_delivery_is_bounded(wire: Any) -> None:
    """The last delivery flushes all, its clock is the capture's."""
    _fill(wire)
    *_, last = read_files([wire.write()], SETTINGS)
    assert last.now == pytest.approx(1_700_000_004.25)
    assert len(last.flows) == 1
