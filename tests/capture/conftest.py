"""Packets made by scapy, written as captures, read back as flows."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether

from ipwatchd.capture import read_files
from ipwatchd.config import CaptureSettings
from ipwatchd.records.flow import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ipwatchd.capture import FileCapture

A, B = "10.20.0.5", "203.0.113.9"
START = 1_700_000_000


class Wire:
    """A capture being written: each call adds a packet at a time in seconds from START."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packets: list[tuple[float, bytes]] = []
        self.capture: FileCapture | None = None

    def frame(self, at: float, packet: Any) -> None:
        """Add any frame."""
        self.packets.append((at, bytes(packet)))

    def tcp(self, at: float, flags: str, *, back: bool = False, data: bytes = b"",
            port: int = 443, client: int = 40_000) -> None:  # fmt: skip
        """Add a segment from A to B, or back."""
        source, target = (B, A) if back else (A, B)
        sport, dport = (port, client) if back else (client, port)
        segment = TCP(sport=sport, dport=dport, flags=flags)
        self.frame(at, Ether() / IP(src=source, dst=target) / segment / data)

    def udp(self, at: float, *, back: bool = False, data: bytes = b"", port: int = 9999,
            client: int = 40_000) -> None:  # fmt: skip
        """Add a datagram from A to B, or back."""
        source, target = (B, A) if back else (A, B)
        sport, dport = (port, client) if back else (client, port)
        self.frame(at, Ether() / IP(src=source, dst=target) / UDP(sport=sport, dport=dport) / data)

    def icmp(self, at: float, kind: int, *, back: bool = False) -> None:
        """Add an ICMP message from A to B, or back."""
        source, target = (B, A) if back else (A, B)
        self.frame(at, Ether() / IP(src=source, dst=target) / ICMP(type=kind))

    def bytes(self, *, order: str = "<", unit: int = 1_000_000, link: int = 1) -> bytes:
        """Return the capture as classic pcap."""
        magic = 0xA1B2C3D4 if unit == 1_000_000 else 0xA1B23C4D
        out = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)]
        for at, data in self.packets:
            seconds = START + int(at // 1)
            part = round((at % 1) * unit)
            out += [struct.pack(f"{order}IIII", seconds, part, len(data), len(data)), data]
        return b"".join(out)

    def write(self, name: str = "x.pcap", **options: Any) -> Path:
        """Write the capture and return where."""
        path = self.folder / name
        path.write_bytes(self.bytes(**options))
        return path

    def flows(self, *, dissect: bool = False, **settings: Any) -> NDArray[np.void]:
        """Return every flow record of the capture."""
        limits = CaptureSettings(**settings)
        self.capture = read_files([self.write()], limits, dissect=dissect)
        return np.concatenate([delivery.flows for delivery in self.capture])

    def state(self) -> str:
        """Return the conn_state of the only flow."""
        flows = self.flows()
        assert len(flows) == 1
        return STATES[int(flows[0]["state"])]


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    """Return an empty capture."""
    return Wire(tmp_path)


@pytest.fixture
def flows_in() -> Callable[[Sequence[Path]], NDArray[np.void]]:
    """Read capture files with the settings that ship."""

    def read(paths: Sequence[Path]) -> NDArray[np.void]:
        found = [one.flows for one in read_files(paths, CaptureSettings(), dissect=False)]
        return np.concatenate(found)

    return read
