"""CPU per further packet of a capture file: ipwatchd beside softflowd, nfpcapd and others.

python benchmarks/capture_files.py [--json] [--repeats N] [--packets N] [--nfstream PYTHON]
    [--suricata-root DIR]

suricata (flow output only) is measured where it is installed, here or in the tree of another Debian
release (`debootstrap trixie DIR`, `chroot DIR apt-get install suricata`; needs root); nfstream with
the interpreter of a virtual environment that has it.

Each tool reads one copy of a capture and four copies of it; the slope between the two is what a
packet costs, free of start-up. Three captures: frames cut to 96 bytes, whole frames, and whole TLS
sessions of 50 packets, each with its hello. What inspects streams (suricata) takes frames that are
cut for broken and those without a handshake for nobody's: the third is the one to hold it against.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import measure
import packets as made

READER: Final = """
import sys
from pathlib import Path
from ipwatchd.capture import read_files
from ipwatchd.config import CaptureSettings
for _ in read_files([Path(sys.argv[1])], CaptureSettings(), dissect=sys.argv[2] == "y"):
    pass
"""


NFSTREAM: Final = """
import sys
from nfstream import NFStreamer
for _ in NFStreamer(source=sys.argv[1], n_dissections=0, n_meters=1, system_visibility_mode=0):
    pass
"""
SURICATA: Final = """%YAML 1.1
---
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [flow]}
"""


class _Peers(NamedTuple):
    """Where the peers are that Debian 12 does not have."""

    nfstream: str
    suricata_root: str


def _suricata(folder: Path, file: Path, root: str) -> list[str]:
    """Return the command that reads `file`; `folder` lies below `root` where that is given."""
    settings = folder / "suricata.yaml"
    settings.write_text(SURICATA)
    inside = Path("/") / folder.relative_to(root) if root else folder
    return [
        *(("chroot", root) if root else ()), "suricata", "-c", str(inside / settings.name),
        "-r", str(inside / file.name), "-l", str(inside), "--runmode", "single",
        "-S", "/dev/null", "-k", "none",
    ]  # fmt: skip


def _others(folder: Path, file: Path, peers: _Peers) -> dict[str, list[str]]:
    found = {}
    if peers.nfstream:
        found["nfstream"] = [peers.nfstream, "-c", NFSTREAM, str(file)]
    if peers.suricata_root or shutil.which("suricata"):
        found["suricata"] = _suricata(folder, file, peers.suricata_root)
    return found


def _commands(folder: Path, file: Path, peers: _Peers) -> dict[str, list[str]]:
    ours = [sys.executable, "-m", "ipwatchd.cli.ipwatchd"]
    nfdump = folder / "nfdump"
    nfdump.mkdir(exist_ok=True)
    return {
        "read_files": [sys.executable, "-c", READER, str(file), "n"],
        "read_files_events": [sys.executable, "-c", READER, str(file), "y"],
        "flows": [*ours, "flows", str(file), "-o", "/dev/null"],
        "softflowd": ["softflowd", "-d", "-r", str(file), "-n", "127.0.0.1:9", "-m", "300000"],
        "nfpcapd": ["nfpcapd", "-r", str(file), "-w", str(nfdump)],
        **_others(folder, file, peers),
    }


def _frames(label: str, packets: int) -> tuple[Any, Any]:
    if label == "96 bytes captured":
        return made.frames(packets, packets // 25, width=96)
    if label == "whole frames":
        return made.frames(packets // 2, packets // 50, width=1514)
    return made.sessions(packets // 100)


def _measure(folder: Path, data: Any, wire: Any, repeats: int, peers: _Peers) -> dict[str, Any]:
    count = len(data)
    small, large = folder / "one.pcap", folder / "four.pcap"
    made.write_copies(small, data, wire, 1)
    made.write_copies(large, data, wire, 4)
    costs: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name in _commands(folder, small, peers):
            one = measure.run(_commands(folder, small, peers)[name]).cpu
            four = measure.run(_commands(folder, large, peers)[name]).cpu
            costs.setdefault(name, []).append((four - one) / (3 * count) * 1e9)
    return {name: round(measure.median(values), 1) for name, values in costs.items()}


def _ratios(cost: dict[str, Any]) -> dict[str, float]:
    ratios = {
        f"{name}_to_softflowd": cost[name] / cost["softflowd"]
        for name in ("flows", "read_files_events", "read_files")
    }
    for peer in ("suricata", "nfstream"):
        if peer in cost:
            ratios[f"read_files_events_to_{peer}"] = cost["read_files_events"] / cost[peer]
    return {name: round(value, 3) for name, value in ratios.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--packets", type=int, default=500_000)
    parser.add_argument("--nfstream", default="", help="interpreter that has nfstream")
    parser.add_argument("--suricata-root", default="", help="tree of a Debian that has suricata")
    options = parser.parse_args()
    peers = _Peers(options.nfstream, options.suricata_root)
    result: dict[str, Any] = {"unit": "ns of CPU a further packet", "packets": options.packets}
    lines = []
    for label in ("96 bytes captured", "whole frames", "sessions"):
        below = Path(peers.suricata_root, "srv") if peers.suricata_root else None
        with tempfile.TemporaryDirectory(dir=below) as folder:
            data, wire = _frames(label, options.packets)
            cost: dict[str, Any] = _measure(Path(folder), data, wire, options.repeats, peers)
        cost |= _ratios(cost)
        result[label] = cost
        lines.append(f"{label}: " + ", ".join(f"{name} {value}" for name, value in cost.items()))
    measure.say(result, [f"{result['unit']}, medians of {options.repeats}", *lines])


if __name__ == "__main__":
    main()
