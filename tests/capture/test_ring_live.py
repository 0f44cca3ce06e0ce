"""The ring on real virtual cables: several interfaces, threads, what the kernel keeps and drops."""

from __future__ import annotations

import ctypes
import errno
import re
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from ipwatchd.capture import Capture, Ring
from ipwatchd.capture.blocks import BlockReader
from ipwatchd.capture.packet import PACKET
from ipwatchd.capture.ring_index import index_block
from ipwatchd.capture.ring_socket import PacketRing
from ipwatchd.config import CaptureSettings
from ipwatchd.lab.netns import Namespace, veth
from ipwatchd.records.event import Dns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS = CaptureSettings(
    block_bytes=1 << 18, blocks=8, flows=4096, udp_timeout=1.0, tcp_attempt_timeout=1.0
)
MANY = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    one.sendto(b"x" * 200, (sys.argv[1], 9))
print("sent", flush=True)
"""


class Wires:
    """A box with the interfaces w0, w1 …, each on a cable to a host of its own."""

    def __init__(self, make: Callable[[str], Namespace], count: int) -> None:
        self.box = make("box")
        self.hosts = [make(f"host{number}") for number in range(count)]
        for number, host in enumerate(self.hosts):
            veth(self.box, f"w{number}", host, "eth0")
            for one in (self.box, host):
                one.sysctl("net.ipv6.conf.all.disable_ipv6", "1")
            self.box.address(f"w{number}", f"10.9.{number}.1/24")
            host.address("eth0", f"10.9.{number}.2/24")
        self.got: list[Capture] = []

    def ring(self, *names: str, settings: CaptureSettings = SETTINGS, **options: Any) -> Ring:
        """Start capturing in the box."""
        with self.box.inside():
            ring = Ring(names, settings, self.got.append, **options)
            ring.start()
        return ring

    def send(self, host: int, count: int, port: int = 9) -> None:
        """Send datagrams of one byte from a host to the box."""
        with (
            self.hosts[host].inside(),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            for _ in range(count):
                sender.sendto(b"x", (f"10.9.{host}.1", port))

    def frames(self, host: int, frames: list[bytes]) -> None:
        """Put frames on a host's cable as they are."""
        with self.hosts[host].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind(("eth0", 0))
            for frame in frames:
                raw.send(frame)

    def flows(self) -> Any:
        """Return all flows that were delivered."""
        return np.concatenate([one.flows for one in self.got])


def kinds(got: list[Capture]) -> set[str]:
    """Return the kinds of events that were delivered."""
    return {str(event.__struct_config__.tag) for one in got for event in one.events}


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize("threads", [1, 3])
def test_several_interfaces(namespace: Callable[[str], Namespace], threads: int) -> None:
    """Each packet is counted once, under its interface, whatever number of threads share it."""
    wires = Wires(namespace, 2)
    settings = CaptureSettings(block_bytes=1 << 18, blocks=4, flows=4096, threads=threads)
    ring = wires.ring("w0", "w1", settings=settings)
    for port in range(20):
        wires.send(0, 10, 5000 + port)
        wires.send(1, 20, 6000 + port)
    until(lambda: ring.counters().packets >= 600)
    ring.stop()
    flows = wires.flows()
    for number, packets in ((0, 10), (1, 20)):
        mine = flows[(flows["iface"] == number) & (flows["resp_port"] >= 5000)]
        assert mine["orig_packets"].tolist() == [packets] * 20
    counters = ring.counters()
    assert [one.name for one in counters.interfaces] == ["w0", "w1"]
    assert counters.interfaces[0].packets >= 200
    assert counters.interfaces[1].packets >= 400
    assert counters.packets == sum(one.packets for one in counters.interfaces)
    assert counters.kernel_drops == counters.deliveries_shed == 0


def test_one_of_two_vanishes(namespace: Callable[[str], Namespace]) -> None:
    """The other goes on, with several threads on each; the one that returns is read by all."""
    wires = Wires(namespace, 2)
    settings = CaptureSettings(block_bytes=1 << 18, blocks=4, flows=4096, threads=2)
    ring = wires.ring("w0", "w1", settings=settings)
    wires.box.run(["ip", "link", "del", "w0"])
    until(lambda: all(one.counters.state == "missing" for one in ring._workers[0]))
    wires.send(1, 50)
    until(lambda: ring.counters().interfaces[1].packets >= 50)
    veth(wires.box, "w0", wires.hosts[0], "eth0")
    wires.box.address("w0", "10.9.0.1/24")
    wires.hosts[0].address("eth0", "10.9.0.2/24")
    until(lambda: all(one.counters.state == "up" for one in ring._workers[0]))
    before = ring.counters().interfaces[0].packets
    for port in range(40):
        wires.send(0, 1, 7000 + port)
    until(lambda: ring.counters().interfaces[0].packets >= before + 40)
    ring.stop()
    flows = wires.flows()
    assert sorted(flows["resp_port"][flows["resp_port"] >= 7000]) == list(range(7000, 7040))


def test_no_memory_for_a_ring(
    namespace: Callable[[str], Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interface that returns while the kernel has no memory to spare is tried again."""
    wires = Wires(namespace, 1)
    ring = wires.ring("w0")
    wires.box.run(["ip", "link", "del", "w0"])
    state = ring.counters().interfaces[0]
    until(lambda: state.state == "missing")
    refused: list[float] = []

    def scarce(*arguments: Any, **options: Any) -> PacketRing:
        now = time.monotonic()
        if not refused or now - refused[0] < 2.5:  # the kernel has said all of the interface then
            refused.append(now)
            raise OSError(errno.ENOMEM, "no memory")
        return PacketRing(*arguments, **options)

    veth(wires.box, "w0", wires.hosts[0], "eth0")
    wires.hosts[0].address("eth0", "10.9.0.2/24")
    monkeypatch.setattr("ipwatchd.capture.worker.PacketRing", scarce)
    wires.box.address("w0", "10.9.0.1/24")
    until(lambda: state.state == "up")
    ring.stop()
    assert refused


def _promiscuity(wires: Wires) -> int:
    shown = wires.box.run(["ip", "-d", "link", "show", "w0"]).stdout
    found = re.search(r"promiscuity (\d+)", shown)
    assert found, shown
    return int(found[1])


@pytest.mark.parametrize("promiscuous", [True, False])
def test_promiscuous(namespace: Callable[[str], Namespace], *, promiscuous: bool) -> None:
    """The card is asked for other hosts' packets while we capture, and only if it is wanted."""
    wires = Wires(namespace, 1)
    settings = CaptureSettings(block_bytes=1 << 16, blocks=4, flows=1024, promiscuous=promiscuous)
    ring = wires.ring("w0", settings=settings)
    assert _promiscuity(wires) == int(promiscuous)
    ring.stop()
    assert _promiscuity(wires) == 0


def test_snap(namespace: Callable[[str], Namespace]) -> None:
    """The kernel keeps the beginning of each packet and says how long it was, tagged or not."""
    wires = Wires(namespace, 1)
    with wires.box.inside():
        ring = PacketRing("w0", CaptureSettings(block_bytes=1 << 16, blocks=4, snap=128))
    body = IP(src="10.9.0.2", dst="10.9.0.1") / UDP(sport=1, dport=2) / (b"x" * 1000)
    link = Ether(dst="ff:ff:ff:ff:ff:ff")
    wires.frames(0, [bytes(link / body), bytes(link / Dot1Q(vlan=42) / body)])
    until(ring.ready)
    packets = np.zeros(100, PACKET)
    count, _, _ = index_block(ring.data, ring.base(), ring.block_bytes, 0, -1, 1, 0, packets)
    long = packets[:count][packets[:count]["wire"] > 1000]
    ring.close()
    assert long["captured"].tolist() == [128, 128]
    assert long["wire"].tolist() == [14 + 28 + 1000] * 2
    assert long["vlan"].tolist() == [0, 42]


def test_kernel_drops(namespace: Callable[[str], Namespace]) -> None:
    """What came while nobody read is counted: taken and dropped together are what was sent."""
    wires = Wires(namespace, 1)
    settings = CaptureSettings(block_bytes=1 << 16, blocks=2, flows=1024)
    ring = wires.ring("w0", settings=settings)
    sender = wires.hosts[0].popen(
        [sys.executable, "-c", MANY, "10.9.0.1", "4000"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert sender.stdin
    assert sender.stdout
    assert sender.stdout.readline() == "ready\n"
    before = ring.counters().packets
    sender.stdin.write("\n")
    sender.stdin.flush()
    # A call that keeps the interpreter's lock: as a machine that is too busy to read.
    ctypes.PyDLL(None).usleep(400_000)
    sender.communicate(timeout=20)
    until(lambda: ring.counters().kernel_drops > 0)
    until(lambda: ring.counters().packets + ring.counters().kernel_drops - before >= 4000)
    ring.stop()
    counters = ring.counters()
    assert counters.interfaces[0].kernel_drops == counters.kernel_drops > 0
    flows = wires.flows()
    seen = int(flows["orig_packets"][flows["resp_port"] == 9].sum())
    assert seen < 4000 <= seen + counters.kernel_drops


def test_metadata_from_the_ring(namespace: Callable[[str], Namespace]) -> None:
    """With the filter: a query in a tagged frame, an opening; no bulk, no media."""
    wires = Wires(namespace, 1)
    ring = wires.ring("w0", metadata=True)
    link = Ether(dst="ff:ff:ff:ff:ff:ff") / Dot1Q(vlan=42)
    ip = IP(src="10.9.0.2", dst="10.9.0.1")
    query = UDP(sport=4000, dport=53) / DNS(qd=DNSQR(qname="shop.example"))
    bulk = [bytes(link / ip / TCP(dport=7, flags="PA") / (b"x" * 900))] * 50
    media = [bytes(link / ip / UDP(sport=9000, dport=9002) / (b"\x80" * 160))] * 50
    frames = [bytes(link / ip / query), bytes(link / ip / TCP(dport=7, flags="S"))]
    wires.frames(0, [*bulk, *media, *frames])
    until(lambda: {"dns"} <= kinds(wires.got) and ring.counters().packets >= 2)
    ring.stop()
    flows = wires.flows()
    assert sorted(flows["resp_port"].tolist()) == [7, 53]
    assert flows["vlan"].tolist() == [42, 42]
    names = [event.name for one in wires.got for event in one.events if isinstance(event, Dns)]
    assert names == ["shop.example"]


def test_what_falls_silent_is_told(
    namespace: Callable[[str], Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a request that nothing follows is told when its time is over, with no other packet."""
    monkeypatch.setattr("ipwatchd.capture.dissect.stream.IDLE", 0.5)
    monkeypatch.setattr("ipwatchd.capture.ring._LAG", 0.5)
    wires = Wires(namespace, 1)
    wires.box.run(["ip", "link", "set", "w0", "arp", "off"])
    ring = wires.ring("w0")
    head = b"GET / HTTP/1.1\r\nHost: shop.example\r\n"
    ip = IP(src="10.9.0.2", dst="10.9.0.77")
    segment = TCP(sport=4000, dport=80, flags="PA") / head
    wires.frames(0, [bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ip / segment)])
    until(lambda: kinds(wires.got) == {"http"})
    ring.stop()


def test_rich_protocols_live(namespace: Callable[[str], Namespace], shared: Path) -> None:
    """Kerberos, LDAP, NTLM and RADIUS off the wire, through the child; with the filter as well."""
    whole = Wires(namespace, 1)
    tapped: list[Capture] = []
    rings = [whole.ring("w0")]
    with whole.box.inside():
        rings.append(Ring(("w0",), SETTINGS, tapped.append, metadata=True))
        rings[1].start()
    names = ("nDPI__kerberos-error", "zeek__ldap_ldap-who-am-i", "zeek__ldap_sasl-ntlm")
    frames = [frame for name in names for frame in _frames(shared / f"pcap/flows/{name}.pcap")]
    radius = bytes.fromhex("0107004700112233445566778899aabbccddeeff") + b"\x01\x0bann.alice"
    radius += b"\x04\x06\x0a\x09\x00\x02" + b"\x1f\x0d10-20-30-40"
    packet = radius[:2] + len(radius).to_bytes(2, "big") + radius[4:]
    ip = IP(src="10.9.0.2", dst="10.9.0.1")
    frames.append(bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ip / UDP(sport=4000, dport=1812) / packet))
    whole.frames(0, frames)
    wanted = {"kerberos", "ldap", "ntlm", "radius"}
    until(lambda: wanted <= kinds(whole.got) and wanted <= kinds(tapped), 20.0)
    for ring in rings:
        ring.stop()
        counters = ring.counters().rich
        assert counters.answered == counters.given > 0
        assert counters.crashed == counters.hung == counters.shed == counters.over_budget == 0


def _frames(path: Path) -> list[bytes]:
    """Return the frames of a capture of Ethernet."""
    found = []
    for data, packets in BlockReader(path).batches():
        for one in packets:
            assert one["link"] == 1
            found.append(data[int(one["at"]) : int(one["at"]) + int(one["captured"])].tobytes())
    return found
