"""Connection tracking of a real router, read as flows; `conntrack -L` is the witness."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipwatchd.capture.conntrack import Conntrack
from ipwatchd.capture.conntrack_switches import MEMORY, ConntrackError, Switches
from ipwatchd.config import CaptureSettings
from ipwatchd.lab.netns import Namespace, veth
from ipwatchd.records.address import address_text
from ipwatchd.records.flow import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipwatchd.capture.delivery import Capture

INSIDE, OUTSIDE, PUBLIC = "10.0.0.2", "203.0.113.2", "203.0.113.1"
INSIDE6, OUTSIDE6 = "2001:db8:10::2", "2001:db8:113::2"
SETTINGS = CaptureSettings(
    flows=4096, tcp_closed_timeout=0.5, tcp_attempt_timeout=1.0, active_timeout=1.5
)
RULES = """
add table ip nat
add chain ip nat pre { type nat hook prerouting priority -100 ; }
add rule ip nat pre iifname wan tcp dport 8443 dnat to 10.0.0.2:443
add chain ip nat post { type nat hook postrouting priority 100 ; }
add rule ip nat post oifname wan masquerade
add table ip6 track
add chain ip6 track forward { type filter hook forward priority 0 ; }
add rule ip6 track forward ct state invalid drop
"""


class Router:
    """inside 10.0.0.2 ─ router ─ outside 203.0.113.2; the router hides the inside (IPv4)."""

    def __init__(self, make: Callable[[str], Namespace], state: Path) -> None:
        self.inside, self.router, self.outside = (make(n) for n in ("inside", "router", "outside"))
        for one in (self.inside, self.router, self.outside):
            one.sysctl("net.ipv6.conf.default.accept_dad", "0")
        veth(self.inside, "eth0", self.router, "lan")
        veth(self.outside, "eth0", self.router, "wan")
        self.router.forwarding()
        self.inside.address("eth0", f"{INSIDE}/24", f"{INSIDE6}/64")
        self.router.address("lan", "10.0.0.1/24", "2001:db8:10::1/64")
        self.router.address("wan", f"{PUBLIC}/24", "2001:db8:113::1/64")
        self.outside.address("eth0", f"{OUTSIDE}/24", f"{OUTSIDE6}/64")
        self.inside.route("default", "10.0.0.1")
        self.inside.route("default", "2001:db8:10::1")
        self.outside.route("default", "2001:db8:113::1")
        self.router.run(["nft", "-f", "-"], input=RULES)
        self.state = state
        self.sockets = contextlib.ExitStack()
        self.got: list[Capture] = []
        self.before = [self.switch("acct"), self.switch("timestamp"), self.switch("events")]

    def switch(self, name: str) -> int:
        """Return one of the kernel's switches."""
        path = f"/proc/sys/net/netfilter/nf_conntrack_{name}"
        return int(self.router.run(["cat", path]).stdout)

    @contextlib.contextmanager
    def watched(self, settings: CaptureSettings = SETTINGS, **options: Any) -> Iterator[Conntrack]:
        """Read the router's connections for the block; afterwards all flows are told."""
        with self.router.inside():
            source = Conntrack(settings, self.got.append, self.state, **options)
            source.start()
        yield source
        source.stop()

    def flows(self) -> Any:
        """Return all flows that were delivered."""
        return np.concatenate([one.flows for one in self.got])

    def ports(self) -> set[int]:
        """Return the responders' ports of what was delivered so far."""
        return {port for one in self.got for port in one.flows["resp_port"].tolist()}

    def flow(self, port: int) -> Any:
        """Return the only flow to a port."""
        found = self.flows()
        found = found[found["resp_port"] == port]
        assert len(found) == 1, found
        return found[0]

    def serve(self, where: Namespace, address: str, port: int) -> socket.socket:
        """Listen for TCP."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with where.inside():
            return self.sockets.enter_context(socket.create_server((address, port), family=family))

    def connect(self, where: Namespace, address: str, port: int) -> socket.socket:
        """Connect to it."""
        with where.inside():
            return self.sockets.enter_context(socket.create_connection((address, port), timeout=5))

    def accept(self, server: socket.socket) -> socket.socket:
        """Take a connection."""
        return self.sockets.enter_context(server.accept()[0])


@pytest.fixture
def router(namespace: Callable[[str], Namespace], tmp_path: Path) -> Iterator[Router]:
    """Return a router that hides its inside."""
    made = Router(namespace, tmp_path)
    with made.sockets:
        yield made


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def state_of(flow: Any) -> str:
    """Return the conn_state's name."""
    return STATES[int(flow["state"])]


def ends(flow: Any) -> tuple[str, str]:
    """Return originator and responder."""
    return (
        address_text(int(flow["orig_hi"]), int(flow["orig_lo"])),
        address_text(int(flow["resp_hi"]), int(flow["resp_lo"])),
    )


def translated(flow: Any) -> tuple[str, int]:
    """Return the address that the far side saw."""
    return address_text(int(flow["nat_hi"]), int(flow["nat_lo"])), int(flow["nat_port"])


def counted(flow: Any) -> list[int]:
    """Return packets and bytes each way."""
    names = ("orig_packets", "orig_bytes", "resp_packets", "resp_bytes")
    return [int(flow[name]) for name in names]


def talk(client: socket.socket, peer: socket.socket) -> None:
    """Exchange data and close from the client."""
    client.sendall(b"x" * 1000)
    assert peer.recv(2000)
    peer.sendall(b"y" * 400)
    assert client.recv(2000)
    client.close()
    assert not peer.recv(1)
    peer.close()


def witness(router: Router, port: int) -> list[int]:
    """Return packets and bytes each way as conntrack(8) lists them."""
    listed = router.router.run(["conntrack", "-L", "-f", "ipv4", "-p", "tcp"]).stdout
    line = next(line for line in listed.splitlines() if f"dport={port} " in line)
    return [int(value) for value in re.findall(r"(?:packets|bytes)=(\d+)", line)]


def test_a_connection_behind_nat(router: Router) -> None:
    """Who began it inside, who answered, what the outside saw; counted as conntrack(8) lists it."""
    server = router.serve(router.outside, OUTSIDE, 80)
    with router.watched():
        began = time.time()
        client = router.connect(router.inside, OUTSIDE, 80)
        port = client.getsockname()[1]
        talk(client, router.accept(server))
        ended = time.time()
        listed = witness(router, 80)
        until(lambda: 80 in router.ports())
    flow = router.flow(80)
    assert ends(flow) == (INSIDE, OUTSIDE)
    assert translated(flow) == (PUBLIC, port)
    assert counted(flow) == listed
    assert state_of(flow) == "SF"
    assert int(flow["orig_port"]) == port
    assert began - 0.5 <= flow["start"] / 1e9 <= flow["end"] / 1e9 <= ended + 0.5


def test_a_published_server(router: Router) -> None:
    """A call to a translated port is a flow to the server inside; what was called is kept."""
    server = router.serve(router.inside, INSIDE, 443)
    with router.watched():
        talk(router.connect(router.outside, PUBLIC, 8443), router.accept(server))
    flow = router.flow(443)
    assert ends(flow) == (OUTSIDE, INSIDE)
    assert translated(flow) == (PUBLIC, 8443)


def test_ipv6(router: Router) -> None:
    """IPv6 connections are flows as well, without a translated address."""
    server = router.serve(router.outside, OUTSIDE6, 80)
    with router.watched():
        until(lambda: _reaches(router))
        talk(router.connect(router.inside, OUTSIDE6, 80), router.accept(server))
    flow = router.flow(80)
    assert ends(flow) == (INSIDE6, OUTSIDE6)
    assert (int(flow["nat_hi"]), int(flow["nat_lo"]), int(flow["nat_port"])) == (0, 0, 0)


def _reaches(router: Router) -> bool:
    command = ["ping", "-6", "-c1", "-W1", OUTSIDE6]
    return router.inside.run(command, check=False).returncode == 0


def test_refused_unanswered_and_datagrams(router: Router) -> None:
    """A refusal is REJ at once, silence S0 after the attempt's timeout, UDP without answer S0."""
    with router.watched():
        with pytest.raises(ConnectionRefusedError):
            router.connect(router.inside, OUTSIDE, 81)
        router.outside.run(["nft", "add table ip t"])
        router.outside.run(["nft", "add chain ip t in { type filter hook input priority 0 ; }"])
        router.outside.run(["nft", "add rule ip t in tcp dport 82 drop"])
        silent = router.inside.socket(socket.AF_INET, socket.SOCK_STREAM)
        router.sockets.enter_context(silent)
        with contextlib.suppress(BlockingIOError):
            silent.connect((OUTSIDE, 82))
        with router.inside.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", (OUTSIDE, 9))
        until(lambda: {81, 82} <= router.ports())
    refused, flows = router.flow(81), router.flows()
    assert state_of(refused) == "REJ"
    assert counted(refused)[::2] == [1, 1]
    for port in (82, 9):
        unanswered = flows[flows["resp_port"] == port]
        assert {state_of(flow) for flow in unanswered} == {"S0"}
        assert unanswered["resp_packets"].sum() == 0


def test_ping(router: Router) -> None:
    """ICMP has no ports, but type and code."""
    with router.watched():
        router.inside.run(["ping", "-c2", "-i0.1", OUTSIDE])
    flow = router.flow(0)
    assert (int(flow["proto"]), int(flow["icmp_type"]), int(flow["icmp_code"])) == (1, 8, 0)
    assert (int(flow["orig_port"]), int(flow["nat_port"])) == (0, 0)
    assert counted(flow) == [2, 168, 2, 168]


def test_a_long_flow_is_told_in_parts(router: Router) -> None:
    """Partial records come while it goes on, and the records' sums are what the kernel counted."""
    server = router.serve(router.outside, OUTSIDE, 80)
    with router.watched():
        client = router.connect(router.inside, OUTSIDE, 80)
        peer = router.accept(server)

        def parts() -> int:
            client.sendall(b"x" * 100)
            assert peer.recv(200)
            return int(router.flows()["partial"].sum()) if router.got else 0

        until(lambda: parts() >= 2)
        listed = witness(router, 80)
    flows = router.flows()
    assert np.array([counted(flow) for flow in flows]).sum(axis=0).tolist() == listed
    assert flows["partial"].tolist() == [1] * (len(flows) - 1) + [0]
    assert (flows["start"][1:] >= flows["end"][:-1]).all()


def test_a_long_flow_counts_before_it_is_told(router: Router) -> None:
    """What goes on is seen at the next look: status knows how much passes, not when it was told."""
    server = router.serve(router.outside, OUTSIDE, 80)
    with router.watched(CaptureSettings(flows=4096)) as source:
        client = router.connect(router.inside, OUTSIDE, 80)
        peer = router.accept(server)
        for _ in range(50):
            client.sendall(b"x" * 100)
            assert peer.recv(200)
        listed = witness(router, 80)
        until(lambda: source.counters().packets >= listed[0] + listed[2])
        assert not router.ports()
    assert source.counters().packets == sum(
        int(flow["orig_packets"] + flow["resp_packets"]) for flow in router.flows()
    )


def test_what_was_before_is_not_ours(router: Router) -> None:
    """A connection that is there at the start is counted from there on."""
    server = router.serve(router.outside, OUTSIDE, 80)
    router.router.sysctl("net.netfilter.nf_conntrack_acct", "1")
    with router.connect(router.inside, OUTSIDE, 80) as client:
        peer = router.accept(server)
        client.sendall(b"x" * 1000)
        assert peer.recv(2000)
        time.sleep(0.2)
        before = witness(router, 80)
        with router.watched():
            client.sendall(b"x" * 10)
            assert peer.recv(2000)
            time.sleep(0.2)
            after = witness(router, 80)
    assert counted(router.flow(80)) == [b - a for a, b in zip(before, after, strict=True)]


def test_an_overrun_is_counted_and_mended(router: Router) -> None:
    """Ends that the kernel could not tell us are counted; who is gone is found by a look."""
    router.serve(router.outside, OUTSIDE, 80)
    with router.watched(buffer=4096) as source:
        held = [router.connect(router.inside, OUTSIDE, 80) for _ in range(60)]
        for client in held:
            client.sendall(b"x")
        until(lambda: source.counters().conntrack.tracked >= len(held))  # type: ignore[union-attr]
        router.router.run(["conntrack", "-F"])
        until(lambda: source.counters().conntrack.tracked == 0)  # type: ignore[union-attr]
        counters = source.counters()
    assert counters.conntrack is not None
    assert counters.conntrack.overruns >= 1
    assert counters.kernel_drops == counters.conntrack.events_lost > 0
    flows = router.flows()
    ports = flows[flows["partial"] == 0]["orig_port"]
    assert len(np.unique(ports)) >= len(held)


def test_the_switches_go_back(router: Router) -> None:
    """Counting is on while we run; afterwards the box is as it was."""
    with router.watched():
        assert router.switch("acct") == router.switch("timestamp") == 1
    assert [router.switch("acct"), router.switch("timestamp"), router.switch("events")] == (
        router.before
    )
    assert not (router.state / MEMORY).exists()


def test_a_crash_does_not_change_the_memory(router: Router) -> None:
    """After a run that could not put the switches back the next one still knows what they were."""
    router.router.sysctl("net.netfilter.nf_conntrack_acct", "0")
    with router.router.inside():
        crashed = Switches(router.state)
        crashed.on()
        crashed.close()
    assert router.switch("acct") == 1
    with router.watched():
        assert router.switch("acct") == 1
    assert router.switch("acct") == 0


def test_a_start_that_fails_keeps_what_a_crash_left(router: Router) -> None:
    """A run that could not even begin does not forget how the box was set up."""
    router.router.sysctl("net.netfilter.nf_conntrack_acct", "0")
    with router.router.inside():
        crashed = Switches(router.state)
        crashed.on()
        crashed.close()
        failed = Switches(router.state)
        failed.restore()
        failed.close()
    with router.watched():
        assert router.switch("acct") == 1
    assert router.switch("acct") == 0


def test_switches_that_were_on_stay_on(router: Router) -> None:
    """What another program needs counted stays counted."""
    router.router.sysctl("net.netfilter.nf_conntrack_acct", "1")
    with router.watched():
        pass
    assert router.switch("acct") == 1


def test_a_deliver_that_raises(router: Router) -> None:
    """Its exception comes out of stop, and the switches are back."""

    def refuse(_: Capture) -> None:
        raise RuntimeError("full")

    with router.router.inside():
        source = Conntrack(SETTINGS, refuse, router.state)
        source.start()
    until(lambda: source.error is not None)
    with pytest.raises(RuntimeError, match="full"):
        source.stop()
    assert router.switch("acct") == router.before[0]


def test_no_connection_tracking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the kernel has none, the sentence says what to do."""
    monkeypatch.setattr("ipwatchd.capture.conntrack_switches._FOLDER", tmp_path)
    with pytest.raises(ConntrackError, match="modprobe nf_conntrack"):
        Conntrack(SETTINGS, print, tmp_path).start()
