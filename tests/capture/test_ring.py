"""The ring on a real virtual cable between two network namespaces."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from ipwatchd.capture import Capture, CaptureInterfaceError, Ring
from ipwatchd.config import CaptureSettings
from ipwatchd.lab.netns import Namespace, veth
from ipwatchd.records.event import Http
from ipwatchd.records.flow import STATES

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = CaptureSettings(block_bytes=1 << 18, blocks=8, flows=4096, udp_timeout=1.0)


class Site:
    """Two hosts on a cable, the ring on the left one's end."""

    def __init__(self, left: Namespace, right: Namespace) -> None:
        self.left, self.right = left, right
        veth(left, "lan0", right, "eth0")
        left.address("lan0", "10.9.0.1/24")
        right.address("eth0", "10.9.0.2/24")
        self.got: list[Capture] = []

    def ring(self, *names: str, settings: CaptureSettings = SETTINGS) -> Ring:
        """Start capturing on the left host."""
        with self.left.inside():
            ring = Ring(names or ("lan0",), settings, self.got.append)
            ring.start()
        return ring

    def flows(self) -> Any:
        """Return all that was delivered."""
        return np.concatenate([one.flows for one in self.got])


@pytest.fixture
def site(namespace: Callable[[str], Namespace]) -> Site:
    """Return two joined hosts."""
    return Site(namespace("left"), namespace("right"))


def _until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def _datagrams(site: Site, count: int, port: int = 9) -> None:
    with site.right.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"x", ("10.9.0.1", port))


def test_connections(site: Site) -> None:
    """A connection, a refused one and its HTTP request are delivered; stop loses nothing."""
    ring = site.ring()
    with site.right.inside():
        server = socket.create_server(("10.9.0.2", 8000))
    with site.left.inside():
        client = socket.create_connection(("10.9.0.2", 8000))
        refused = socket.socket()
        assert refused.connect_ex(("10.9.0.2", 8001)) != 0
        refused.close()
    peer, _ = server.accept()
    client.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    peer.recv(100)
    for one in (client, peer, server):
        one.close()
    ring.stop()
    flows = site.flows()
    states = {int(flow["resp_port"]): STATES[int(flow["state"])] for flow in flows}
    assert (states[8000], states[8001]) == ("SF", "REJ")
    events = [event for one in site.got for event in one.events]
    assert "shop.example" in [event.name for event in events if isinstance(event, Http)]
    counters = ring.counters()
    assert counters.kernel_drops == counters.flows_shed == counters.deliveries_shed == 0
    assert counters.interfaces[0].first_packet > 0


def test_every_packet(site: Site) -> None:
    """What is sent is counted to the packet and byte."""
    ring = site.ring()
    _datagrams(site, 5000)
    _until(lambda: ring.counters().packets >= 5000)
    ring.stop()
    flows = site.flows()
    mine = flows[flows["resp_port"] == 9]
    assert (mine["orig_packets"].sum(), mine["orig_bytes"].sum()) == (5000, 5000 * 29)


def test_idle_flows_end_by_the_clock(site: Site) -> None:
    """A flow times out with no further packet on the wire, and is delivered without a stop."""
    ring = site.ring()
    _datagrams(site, 3)
    _until(lambda: any((one.flows["resp_port"] == 9).any() for one in site.got))
    ring.stop()


def test_vlan_from_the_ring(site: Site) -> None:
    """The tag that the kernel takes off a frame is the flow's VLAN."""
    ring = site.ring()
    frame = Ether(dst="ff:ff:ff:ff:ff:ff") / Dot1Q(vlan=42) / IP(src="10.9.0.2", dst="10.9.0.3")
    with site.right.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(bytes(frame / UDP(sport=1, dport=2) / b"x"))
    _until(lambda: ring.counters().packets > 0)
    ring.stop()
    flows = site.flows()
    assert flows["vlan"][flows["resp_port"] == 2].tolist() == [42]


def test_down_and_up(site: Site) -> None:
    """An interface that goes down says so, and counts again when it is up."""
    ring = site.ring()
    state = ring.counters().interfaces[0]
    site.left.run(["ip", "link", "set", "lan0", "down"])
    _until(lambda: state.state == "down")
    site.left.run(["ip", "link", "set", "lan0", "up"])
    _until(lambda: state.state == "up")
    before = state.packets
    _until(lambda: _sent_and_seen(site, state, before))
    ring.stop()
    assert state.times_lost == 1


def _sent_and_seen(site: Site, state: Any, before: int) -> bool:
    _datagrams(site, 1)
    return bool(state.packets > before)


def test_gone_and_back(site: Site) -> None:
    """An interface that vanishes is looked for until one of its name is there again."""
    ring = site.ring()
    state = ring.counters().interfaces[0]
    site.left.run(["ip", "link", "del", "lan0"])
    _until(lambda: state.state == "missing")
    veth(site.left, "lan0", site.right, "eth0")
    site.left.address("lan0", "10.9.0.1/24")
    site.right.address("eth0", "10.9.0.2/24")
    _until(lambda: state.state == "up")
    before = state.packets
    _until(lambda: _sent_and_seen(site, state, before))
    ring.stop()


def test_loopback_once(site: Site) -> None:
    """A packet on the loopback interface is counted once."""
    ring = site.ring("lo")
    with site.left.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", 9))
    _until(lambda: ring.counters().packets > 0)
    ring.stop()
    flows = site.flows()
    assert flows["orig_packets"][flows["resp_port"] == 9].tolist() == [1]


def test_refusals(site: Site) -> None:
    """An interface that is not there or is down is named, and nothing stays open."""
    site.right.run(["ip", "link", "set", "lo", "down"])
    with site.right.inside():
        with pytest.raises(CaptureInterfaceError, match=r"eth7 is not there: .* has eth0, lo"):
            Ring(["eth0", "eth7"], SETTINGS, print).start()
        with pytest.raises(CaptureInterfaceError, match="lo is down"):
            Ring(["lo"], SETTINGS, print).start()


def test_failing_pipeline(site: Site) -> None:
    """A pipeline that raises ends capturing, and stop says why."""

    def fail(_: Capture) -> None:
        raise RuntimeError("the disk is full")

    with site.left.inside():
        ring = Ring(["lan0"], SETTINGS, fail)
        ring.start()
    _until(lambda: ring.error is not None)
    with pytest.raises(RuntimeError, match="the disk is full"):
        ring.stop()


WITHOUT_CAPABILITIES = """
import ctypes, struct
from ipwatchd.capture import Ring
from ipwatchd.config import CaptureSettings
header = struct.pack("Ii", 0x20080522, 0)  # linux/capability.h, version 3
assert ctypes.CDLL(None).capset(header, bytes(24)) == 0
try:
    Ring(["lan0"], CaptureSettings(), print).start()
except PermissionError as error:
    print(error)
"""


def test_no_privilege(site: Site) -> None:
    """Without CAP_NET_RAW the refusal says what is needed."""
    done = site.left.run([sys.executable, "-c", WITHOUT_CAPABILITIES])
    assert done.stdout.startswith("capturing on lan0 needs CAP_NET_RAW")


def test_renamed(site: Site) -> None:
    """An interface that changes its name is followed under the new one, and loses nothing."""
    ring = site.ring()
    state = ring.counters().interfaces[0]
    site.left.run(["ip", "link", "set", "lan0", "name", "wan7"])
    _until(lambda: state.name == "wan7")
    before = state.packets
    _until(lambda: _sent_and_seen(site, state, before))
    ring.stop()
    assert (state.state, state.times_lost) == ("up", 0)


def test_threads_share(site: Site) -> None:
    """Two threads on one interface see every packet once, both ways of a connection together."""
    settings = CaptureSettings(block_bytes=1 << 18, blocks=8, flows=4096, threads=2)
    ring = site.ring(settings=settings)
    with site.left.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("10.9.0.1", 7))
        for number in range(40):
            with site.right.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                # The kernel's own choice would take a port twice now and then.
                client.bind(("", 40_000 + number))
                client.sendto(b"x", ("10.9.0.1", 7))
                server.sendto(b"y", server.recvfrom(9)[1])
                assert client.recv(9) == b"y"
    _until(lambda: ring.counters().interfaces[0].packets >= 80)
    ring.stop()
    flows = site.flows()
    mine = flows[flows["resp_port"] == 7]
    assert len(mine) == 40
    assert (mine["orig_packets"] == 1).all()
    assert (mine["resp_packets"] == 1).all()
    assert ring.counters().packets == ring.counters().interfaces[0].packets
