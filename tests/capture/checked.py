"""The packet loop as plain Python or under bounds checks: run in a process of its own.

python checked.py FOLDER: reads every file of the folder; then packets cut at every length and with
flipped bits. Exits 0 if nothing was raised. The environment says how (NUMBA_DISABLE_JIT=1 or
NUMBA_BOUNDSCHECK=1).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN

from ipwatchd.capture import CaptureFileError, read_files
from ipwatchd.capture.dissect import Dissector
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import PACKET, Batch
from ipwatchd.config import CaptureSettings

SETTINGS = CaptureSettings(flows=1024)
HELLO = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
CLIENT = bytes.fromhex(
    "1603010064010000600303" + "11" * 32 + "00" + "0006130213010a0a" + "0100"
    "0031" "0a0a0000" "000000080006000003612e62" "001000050003026832" "000d0006000404030804"
    "002b00050403040303" "ff01000100"
)  # fmt: skip
SERVER = bytes.fromhex(
    "160303003f0200003b0303" + "22" * 32 + "00" + "130100"
    "0013"
    "002b00020304"
    "00100005000302"
    "6832"
    "0017000000"
)
INSIDE = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=443, flags="PA") / HELLO
GTP = b"\x34\xff\0\x10\0\0\0\1\0\0\0\x85\1\0\0\0"
FRAMES = [
    Ether() / INSIDE,
    Ether() / Dot1Q(vlan=5) / IP(options=[]) / UDP(sport=53, dport=53) / b"x",
    Ether() / IP() / UDP(sport=1, dport=4789) / VXLAN() / Ether() / INSIDE,
    Ether() / IP() / GRE(key_present=1) / INSIDE,
    Ether() / IP() / UDP(sport=2152, dport=2152) / GTP / INSIDE,
    Ether() / IP() / UDP(dport=6081) / b"\2\0\x65\x58\0\0\1\0abcdefgh" / Ether() / INSIDE,
    Ether() / IP() / UDP(dport=5247) / b"\0\x20\3\x20\0\0\0\0" / INSIDE,
    Ether() / IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt() / INSIDE,
    Ether() / IPv6() / IPv6ExtHdrFragment(offset=0, m=1) / UDP() / b"x",
    Ether() / PPPoE() / PPP() / INSIDE,
    Ether() / IP(dst="10.0.0.3") / TCP(sport=4, dport=443, flags="PA") / CLIENT,
    Ether() / IP(src="10.0.0.3") / TCP(sport=443, dport=4, flags="PA") / SERVER,
    Ether() / ARP(),
    Ether() / IP() / ICMP(),
    Ether(type=0x8847) / b"\0\0\x11\xff" / INSIDE,
    Ether() / IP() / UDP(dport=9) / b"OPTIONS sip:a SIP/2.0",
    Ether() / IP() / UDP(dport=443) / b"\xc0\0\0\0\1\x08",
]  # fmt: skip
LINKS = (0, 1, 9, 50, 51, 101, 104, 105, 108, 113, 127, 149, 192, 239, 276)


def batches(rng: np.random.Generator, links: tuple[int, ...]) -> list[Batch]:
    """Return the frames cut at every length, and with flipped bits, each as every link type."""
    made = []
    for frame in FRAMES:
        whole = np.frombuffer(bytes(frame), np.uint8)
        for link in links:
            packets = np.zeros(len(whole) + 1, PACKET)
            packets["captured"] = np.arange(len(whole) + 1)
            packets["wire"] = len(whole)
            packets["link"] = link
            packets["ts"] = rng.integers(0, 1 << 62, len(packets))
            flipped = whole.copy()
            for at in rng.integers(0, len(whole), 6):
                flipped[at] ^= 1 << rng.integers(0, 8)
            made += [Batch(whole.copy(), packets), Batch(flipped, packets)]
    return made


def feed(meter: Meter, dissector: Dissector, batch: Batch) -> None:
    """Meter a batch to its end, and read what it taps."""
    done = 0
    while (done := meter.feed(batch, done)) < len(batch.packets):
        dissector.feed(meter.drain().taps)
    dissector.feed(meter.drain().taps)


def main() -> int:
    """Read, cut, flip."""
    plain = os.environ.get("NUMBA_DISABLE_JIT") == "1"
    for path in sorted(Path(sys.argv[1]).iterdir())[:: 12 if plain else 1]:
        if path.suffix == ".json" or path.stat().st_size > (20_000 if plain else 1 << 30):
            continue
        try:
            for _ in read_files([path], SETTINGS):
                pass
        except CaptureFileError:
            continue
    meter = Meter(SETTINGS)
    dissector = Dissector()
    rng = np.random.default_rng(5)
    with np.errstate(over="ignore"):
        for batch in batches(rng, (1,) if plain else LINKS):
            feed(meter, dissector, batch)
        while not meter.flush():
            meter.drain()
    return 0


if __name__ == "__main__":
    np.seterr(over="ignore")
    sys.exit(main())
