"""What a firewall drops is told once, and nothing that passed is told twice."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from ipwatchd.capture.choice import choose
from ipwatchd.capture.conntrack_lookup import Lookup
from ipwatchd.capture.openings import Openings
from ipwatchd.capture.source import Routed, open_source
from ipwatchd.capture.tcp import ACK, RST, SYN
from ipwatchd.config import CaptureSettings
from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.lab.netns import Namespace, veth
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import STATES, empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ipwatchd.capture.delivery import Capture

SETTINGS = CaptureSettings(
    source="auto", interfaces=("wan",), flows=8192, tcp_attempt_timeout=1.0,
    tcp_closed_timeout=0.5, udp_timeout=5.0,
)  # fmt: skip


def _flows(count: int, **columns: Any) -> Any:
    """Return openings from 10.0.0.1 to 10.0.0.2, ports 1000 …; `columns` say what differs."""
    flows = empty_flows(count)
    flows["orig_lo"], flows["resp_lo"] = V4_PREFIX | 0x0A000001, V4_PREFIX | 0x0A000002
    flows["orig_port"], flows["resp_port"] = 1000 + np.arange(count), 80
    flows["proto"], flows["orig_flags"], flows["orig_packets"] = 6, SYN, 1
    for name, value in columns.items():
        flows[name] = value
    return flows


def _nobody(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    return np.zeros(len(flows), np.bool_)


def _openings(look_up: Any = _nobody) -> Openings:
    return Openings(SETTINGS, look_up)


def test_what_nobody_knows_is_told_once() -> None:
    """After the wait, whole, and not again."""
    openings = _openings()
    openings.seen(_flows(3), 10.0)
    assert len(openings.due(10.0)) == 0
    assert openings.due(12.5)["orig_port"].tolist() == [1000, 1001, 1002]
    assert len(openings.due(20.0)) == 0
    assert (openings.count, openings.packets, openings.shed) == (3, 3, 0)


def test_what_the_kernel_tracks_is_not() -> None:
    """The kernel is asked once for each."""
    asked: list[int] = []

    def even(flows: NDArray[np.void]) -> NDArray[np.bool_]:
        asked.append(len(flows))
        known: NDArray[np.bool_] = flows["orig_port"] % 2 == 0
        return known

    openings = _openings(even)
    openings.seen(_flows(4), 10.0)
    openings.due(10.0)
    assert openings.due(13.0)["orig_port"].tolist() == [1001, 1003]
    assert sum(asked) == 4


@pytest.mark.parametrize("when", [9.0, 11.0])
def test_what_was_told_is_not(when: float) -> None:
    """Whether connection tracking told its end before the ring told its opening, or after."""
    openings = _openings()
    if when < 10.0:
        openings.told(_flows(2), when)
    openings.seen(_flows(3), 10.0)
    openings.due(10.0)
    openings.told(_flows(2), when)
    assert openings.due(13.0)["orig_port"].tolist() == [1002]


@pytest.mark.parametrize("side", ["orig", "resp"])
def test_translated(side: str) -> None:
    """A connection that was told is known by either of its faces."""
    told = _flows(1, nat_lo=V4_PREFIX | 0xCB007101, nat_port=4000)
    face = _flows(1)
    face[f"{side}_lo"], face[f"{side}_port"] = told["nat_lo"], 4000
    openings = _openings()
    openings.told(told, 9.0)
    openings.seen(np.concatenate([face, _flows(1)]), 10.0)
    openings.due(10.0)
    assert len(openings.due(13.0)) == 0


def test_only_openings() -> None:
    """What was answered or went on is connection tracking's to tell; a refusal may be a rule's."""
    openings = _openings()
    ones = [
        _flows(1, orig_flags=SYN | ACK), _flows(1, resp_flags=SYN | ACK), _flows(1, proto=1),
        _flows(1, orig_packets=0), _flows(1, proto=17, resp_packets=1),
        _flows(1, resp_flags=RST | ACK, resp_packets=1, resp_port=81),
        _flows(1, proto=17, orig_flags=0, resp_port=82),
    ]  # fmt: skip
    openings.seen(np.concatenate(ones), 10.0)
    assert openings.due(10.0, everything=True)["resp_port"].tolist() == [81, 82]


def test_sums_of_a_flood() -> None:
    """A flood's sums are told where none of its openings got through, and shed where one did."""
    for passed in (False, True):
        openings = _openings(lambda flows, passed=passed: np.full(len(flows), passed))
        sums = _flows(1, orig_lo=V4_PREFIX, orig_port=0, orig_packets=9000)
        openings.seen(np.concatenate([_flows(5), sums]), 10.0)
        openings.due(10.0)
        told = openings.due(13.0)
        assert told["orig_packets"].sum() == (0 if passed else 9005)
        assert openings.shed == int(passed)


def test_bounds() -> None:
    """A flood of dropped openings waits in bounded room, and of ends in bounded memory."""
    openings = _openings()
    openings.seen(_flows(70_000), 10.0)
    assert openings.shed == 70_000 - 65_536
    for at in range(12):
        openings.told(_flows(100_000), 10.0 + at / 10)
    told = [len(openings.due(11.2 + number)) for number in range(12)]
    assert sum(told) == 0, "it can't tell any more who was told"
    assert openings.shed == 70_000


def test_a_kernel_that_does_not_answer() -> None:
    """Openings that can't be decided are counted and not told."""

    def fail(_: NDArray[np.void]) -> NDArray[np.bool_]:
        raise OSError("no buffer space")

    openings = _openings(fail)
    openings.seen(_flows(3), 10.0)
    assert len(openings.due(10.0, everything=True)) == 0
    assert openings.shed == 3


class Border:
    """client 198.51.100.2 ─ wan [router] lan ─ server 10.0.0.2; only ports 80 and 81 pass."""

    RULES = """
    add table inet t
    add chain inet t f { type filter hook forward priority 0 ; policy drop ; }
    add rule inet t f ct state established,related accept
    add rule inet t f tcp dport { 80, 81, 82 } accept
    add rule inet t f tcp dport 90 reject with tcp reset
    add rule inet t f udp dport 53 accept
    add chain inet t denied { type filter hook prerouting priority mangle ; }
    add rule inet t denied tcp dport 95 drop
    add table ip nat
    add chain ip nat pre { type nat hook prerouting priority -100 ; }
    add rule ip nat pre iifname wan tcp dport 8080 dnat to 10.0.0.2:80
    add chain ip nat post { type nat hook postrouting priority 100 ; }
    add rule ip nat post oifname wan masquerade
    """

    def __init__(self, make: Callable[[str], Namespace]) -> None:
        self.client, self.router, self.server = (make(n) for n in ("client", "router", "server"))
        veth(self.client, "eth0", self.router, "wan")
        veth(self.server, "eth0", self.router, "lan")
        self.router.forwarding()
        self.client.address("eth0", "198.51.100.2/24", "2001:db8:1::2/64")
        self.router.address("wan", "198.51.100.1/24", "2001:db8:1::1/64")
        self.router.address("lan", "10.0.0.1/24", "2001:db8:2::1/64")
        self.server.address("eth0", "10.0.0.2/24", "2001:db8:2::2/64")
        for via in ("198.51.100.1", "2001:db8:1::1"):
            self.client.route("default", via)
        for via in ("10.0.0.1", "2001:db8:2::1"):
            self.server.route("default", via)
        self.router.run(["nft", "-f", "-"], input=self.RULES)
        self.got: list[Capture] = []
        self.sockets = contextlib.ExitStack()

    @contextlib.contextmanager
    def watched(self, state: Path, *interfaces: str) -> Iterator[Routed]:
        """Watch the router with the source that it gets by itself."""
        settings = msgspec.structs.replace(SETTINGS, interfaces=interfaces)
        with self.router.inside():
            choice = choose(settings, tracked=True)
            source = open_source(settings, choice, self.got.append, state)
            assert isinstance(source, Routed)
            source.start()
        with self.sockets:
            yield source
        source.stop()

    def knock(self, address: str, *ports: int) -> None:
        """Send a SYN to each port, and wait for no answer."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in ports:
            one = self.client.socket(family, socket.SOCK_STREAM)
            self.sockets.enter_context(one)
            with contextlib.suppress(OSError):
                one.connect((address, port))

    def flows(self) -> Any:
        """Return all flows that were delivered, of both families."""
        return np.concatenate([one.flows for one in self.got])

    def wait_for(self, *ports: int) -> None:
        """Wait until flows to these ports were delivered."""
        end = time.monotonic() + 15
        while not set(ports) <= set(self.flows()["resp_port"].tolist() if self.got else ()):
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.05)


@pytest.fixture
def border(namespace: Callable[[str], Namespace]) -> Border:
    """Return a router that drops nearly everything."""
    return Border(namespace)


def _states(flows: Any, port: int) -> list[str]:
    return [STATES[int(flow["state"])] for flow in flows[flows["resp_port"] == port]]


def test_a_scan_against_a_dropping_router(border: Border, tmp_path: Path) -> None:
    """Each door that the firewall keeps shut is one flow while it runs, and all are a scan.

    Rules that drop where forwarding is decided, rules that refuse, rules where ours stand.
    """
    ports = range(3000, 3100)
    with border.watched(tmp_path, "wan") as source:
        border.knock("10.0.0.2", *ports, 90, 95)
        border.knock("2001:db8:2::2", *range(4000, 4020))
        with border.client.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("10.0.0.2", 5000))
        border.sockets.close()
        border.wait_for(*ports, 90, 95, *range(4000, 4020), 5000)
        counters = source.counters()
    flows = border.flows()
    for port in (*ports, 95, *range(4000, 4020), 5000):
        assert _states(flows, port) == ["S0"], port
    assert _states(flows, 90) == ["REJ"]
    dropped = flows[(flows["proto"] == 6) & (flows["resp_port"] >= 3000)]
    assert (dropped["iface"] == 0).all()
    assert counters.conntrack is not None
    assert counters.conntrack.openings >= 123
    found = PortScan(DetectSettings()).flows(flows, time.time())
    assert "198.51.100.2" in [finding.subject for finding in found]
    assert counters.conntrack.openings_shed == 0


def test_ordinary_flows_are_told_once(border: Border, tmp_path: Path) -> None:
    """The packets of all records are those that the interface's own counter says passed.

    Answered, refused, unanswered, translated either way: whatever the tap saw of it.
    """
    with border.server.inside():
        server = border.sockets.enter_context(socket.create_server(("10.0.0.2", 80)))
    with border.client.inside():
        outer = border.sockets.enter_context(socket.create_server(("198.51.100.2", 80)))
    border.server.run(["nft", "add table ip t"])
    border.server.run(["nft", "add chain ip t in { type filter hook input priority 0 ; }"])
    border.server.run(["nft", "add rule ip t in tcp dport 82 drop"])
    with border.watched(tmp_path, "wan", "lan") as source:
        before = _seen_by_nft(border)
        for address, port in (("10.0.0.2", 80), ("198.51.100.1", 8080)):
            for _ in range(10):
                with border.client.inside():
                    client = socket.create_connection((address, port), timeout=5)
                _talk(client, server.accept()[0])
        for _ in range(10):
            with border.server.inside():
                client = socket.create_connection(("198.51.100.2", 80), timeout=5)
            _talk(client, outer.accept()[0])
        border.knock("10.0.0.2", *[81] * 10)
        border.knock("10.0.0.2", *[82] * 10)
        time.sleep(0.5)
        border.sockets.close()
        border.wait_for(80, 81, 82)
        time.sleep(3.0)
        told = source.counters()
    after = _seen_by_nft(border)
    flows = border.flows()
    tcp = flows[flows["proto"] == 6]
    assert tcp["orig_packets"].sum() + tcp["resp_packets"].sum() == after - before
    assert [len(tcp[tcp["resp_port"] == port]) for port in (80, 81, 82)] == [30, 10, 10]
    assert told.conntrack is not None
    assert told.conntrack.openings == told.conntrack.openings_shed == 0


def _talk(client: socket.socket, peer: socket.socket) -> None:
    with client, peer:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        peer.recv(200)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        client.recv(200)


def _seen_by_nft(border: Border) -> int:
    """Return how many TCP packets the router forwarded, as a counter of nft says."""
    shown = border.router.run(["nft", "list", "ruleset"]).stdout
    if "counter packets" not in shown:
        rules = "add table ip w\nadd chain ip w f { type filter hook postrouting priority 300 ; }\n"
        rules += "add rule ip w f meta l4proto tcp counter"
        border.router.run(["nft", "-f", "-"], input=rules)
        return 0
    words = shown.split()
    return int(words[words.index("counter") + 2])


def test_look_ups(border: Border) -> None:
    """The kernel's word on a connection, from either side of a translation; on many at once."""
    with border.server.inside():
        server = socket.create_server(("10.0.0.2", 80))
    with border.client.inside():
        client = socket.create_connection(("198.51.100.1", 8080), timeout=5)
    with border.router.inside():
        lookup = Lookup()
    ports = np.full(500, client.getsockname()[1])
    faces = _flows(500, orig_lo=V4_PREFIX | 0xC6336402, orig_port=ports, resp_port=8080)
    faces["resp_lo"] = V4_PREFIX | 0xC6336401
    faces[1]["resp_lo"], faces[1]["resp_port"] = V4_PREFIX | 0x0A000002, 80
    faces["orig_port"][2::2] += 1
    found = lookup.known(faces)
    assert found[:2].tolist() == [True, True]
    assert found[2::2].sum() == 0
    assert found[3::2].all()
    for one in (lookup, client, server):
        one.close()
