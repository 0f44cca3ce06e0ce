"""Which source a box gets, and a router's two sources as one."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipwatchd.capture.choice import SecondThoughts, choose
from ipwatchd.capture.conntrack import Conntrack
from ipwatchd.capture.ring import Ring
from ipwatchd.capture.source import Routed, open_source
from ipwatchd.config import CaptureSettings
from ipwatchd.lab.netns import veth
from ipwatchd.records.event import Dns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.capture.delivery import Capture
    from ipwatchd.lab.netns import Namespace

AUTO = CaptureSettings(source="auto", interfaces=("lo",))
QUERY = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"


def test_auto(namespace: Callable[[str], Namespace]) -> None:
    """A box that forwards and tracks reads connection tracking; every other has the ring."""
    box = namespace("box")
    with box.inside():
        assert choose(AUTO, tracked=True) == ("ring", "this box does not forward packets")
    box.forwarding()
    with box.inside():
        assert choose(AUTO, tracked=False).source == "ring"
        chosen = choose(AUTO, tracked=True)
        assert (chosen.source, "net.ipv4.ip_forward" in chosen.why) == ("conntrack", True)
        assert choose(CaptureSettings(source="none"), tracked=True).source == "none"


def test_auto_is_what_ships() -> None:
    """Who names no source gets the one that suits the box."""
    assert CaptureSettings().source == "auto"


def test_auto_on_a_mirror_port(namespace: Callable[[str], Namespace]) -> None:
    """An interface without an address is a mirror port: also a box that forwards reads it all."""
    box, peer = namespace("box"), namespace("peer")
    veth(box, "eth0", peer, "eth0")
    box.forwarding()
    box.run(["ip", "link", "set", "eth0", "up"])
    settings = CaptureSettings(source="auto", interfaces=("lo", "eth0", "gone"))
    with box.inside():
        assert choose(settings, tracked=True).why.startswith("eth0 has no address")
        box.address("eth0", "2001:db8::1/64")
        assert choose(settings, tracked=True).source == "conntrack"


def test_a_box_that_becomes_a_router(namespace: Callable[[str], Namespace]) -> None:
    """We start before the network: what is so for a while is acted on, and only one way."""
    box = namespace("box")
    with box.inside():
        ring = choose(AUTO, tracked=True)
        thoughts = SecondThoughts()

        def better(at: float, settings: CaptureSettings = AUTO) -> bool:
            return thoughts.better(ring, settings, at, tracked=True)

        assert not better(0.0)
        box.forwarding()
        assert [better(at) for at in (10.0, 12.0, 20.0, 25.0, 30.0)] == [False] * 4 + [True]
        assert not thoughts.better(choose(AUTO, tracked=True), AUTO, 50.0, tracked=True)
        assert not better(60.0, CaptureSettings(source="ring", interfaces=("lo",)))


def _open(settings: CaptureSettings, *arguments: Any) -> Any:
    return open_source(settings, choose(settings, tracked=True), *arguments)


def test_open() -> None:
    """Without interfaces there is no metadata, but a router's flows; a ring needs one."""
    settings = CaptureSettings(source="conntrack")
    assert isinstance(_open(settings, print), Conntrack)
    assert _open(CaptureSettings(source="none"), print) is None
    ring = _open(CaptureSettings(source="ring", interfaces=("lo",)), print)
    assert isinstance(ring, Ring)
    with pytest.raises(ValueError, match="name what to watch"):
        _open(CaptureSettings(source="ring"), print)


def test_no_flow_is_told_twice(namespace: Callable[[str], Namespace], tmp_path: Path) -> None:
    """Flows come from connection tracking alone, events from the wire."""
    box, peer = namespace("box"), namespace("peer")
    veth(box, "eth0", peer, "eth0")
    box.address("eth0", "10.9.0.1/24")
    peer.address("eth0", "10.9.0.2/24")
    box.run(["nft", "add table ip t"])
    box.run(["nft", "add chain ip t in { type filter hook input priority 0 ; }"])
    box.run(["nft", "add rule ip t in ct state invalid drop"])
    got: list[Capture] = []
    settings = CaptureSettings(source="conntrack", interfaces=("eth0",), flows=1024)
    with box.inside():
        source = _open(settings, got.append, tmp_path)
        assert isinstance(source, Routed)
        source.start()
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("10.9.0.1", 53))
    with peer.inside(), server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(QUERY, ("10.9.0.1", 53))
        _, address = server.recvfrom(100)
        server.sendto(QUERY, address)
        client.recv(100)
        end = time.monotonic() + 10
        while not any(one.events for one in got):
            assert time.monotonic() < end, "no event came"
            time.sleep(0.05)
    source.stop()
    flows = np.concatenate([one.flows for one in got])
    asked = flows[flows["resp_port"] == 53]
    assert (asked["orig_packets"].tolist(), asked["resp_packets"].tolist()) == ([1], [1])
    names = {event.name for one in got for event in one.events if isinstance(event, Dns)}
    assert names == {"example.com"}
    counters = source.counters()
    assert [one.name for one in counters.interfaces] == ["conntrack", "eth0"]
    assert counters.flows == len(flows[flows["partial"] == 0])
