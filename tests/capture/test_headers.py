"""Headers as evidence: the kernel keeps headers alone, of one address alone."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from ipwatchd.capture import headers, read_files
from ipwatchd.capture.headers import HeaderCapture, header_filter
from ipwatchd.config import CaptureSettings
from ipwatchd.lab.netns import veth
from tests.capture.test_bpf import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace

SECRET = b"the secret that nobody may keep"


@pytest.mark.parametrize(
    ("packet", "kept"),
    [
        (IP(src="10.0.0.1", dst="10.0.0.2") / TCP(options=[("MSS", 1460)]) / SECRET, 44),
        (IP(src="10.0.0.2", dst="10.0.0.1", options=IPOption(b"\1\1\1\0")) / UDP() / SECRET, 32),
        (IP(src="10.0.0.1", dst="10.0.0.9", frag=9, proto=6) / SECRET, 20),
        (IP(src="10.0.0.1", dst="10.0.0.9") / ICMP() / SECRET, 28),
        (IP(src="10.0.0.1", dst="10.0.0.9", proto=47) / SECRET, 20),
        (IP(src="10.0.0.3", dst="10.0.0.9") / TCP() / SECRET, 0),
    ],
)  # fmt: skip
def test_what_the_filter_keeps(packet: Any, kept: int) -> None:
    """IP and transport headers of the address's packets, with their options; of others nothing."""
    assert run(header_filter("10.0.0.1"), bytes(packet)) == kept


@given(st.binary(max_size=120))
@settings(max_examples=200, deadline=None)
def test_the_filter_keeps_no_more_than_headers(rest: bytes) -> None:
    """Whatever follows, at most 120 bytes of IPv4 and 100 of IPv6 are kept."""
    four = bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=6))[:20] + rest
    assert run(header_filter("10.0.0.1"), four) <= 120
    six = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2", nh=6))[:40] + rest
    assert run(header_filter("2001:db8::2"), six) <= 100


def test_both_ends_of_ipv6() -> None:
    """An IPv6 address is found as source and as target, by all of its 128 bits."""
    packet = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6EchoRequest() / SECRET)
    assert run(header_filter("2001:db8::1"), packet) == 48
    assert run(header_filter("2001:db8::2"), packet) == 48
    assert run(header_filter("2001:db8::3"), packet) == 0


def test_a_capture_file_of_real_packets(
    namespace: Callable[[str], Namespace], tmp_path: Path
) -> None:
    """Real datagrams are there with time and true length, without a byte of what they say."""
    one, other = namespace("one"), namespace("other")
    veth(one, "eth0", other, "eth0")
    one.address("eth0", "10.9.0.1/24")
    other.address("eth0", "10.9.0.2/24")
    with other.inside():
        taken = HeaderCapture("10.9.0.1", 0.0)
        elsewhere = HeaderCapture("10.9.0.77", 0.0)
    before = time.time()
    with one.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(5):
            out.sendto(SECRET, ("10.9.0.2", 7777))
    for _ in range(100):
        taken.read()
        if taken.packets >= 5:
            break
        time.sleep(0.02)
    elsewhere.read()
    assert elsewhere.packets == 0
    elsewhere.file()
    path = tmp_path / "headers.pcap"
    path.write_bytes(taken.file())
    assert SECRET[:6] not in path.read_bytes()
    (flow,) = [
        row for delivery in read_files([path], CaptureSettings()) for row in delivery.flows
        if row["proto"] == 17
    ]  # fmt: skip
    assert (int(flow["orig_packets"]), int(flow["orig_bytes"])) == (5, 5 * (28 + len(SECRET)))
    assert abs(flow["start"] / 1e9 - before) < 60


def test_a_recording_is_bounded(
    namespace: Callable[[str], Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that floods fills a file of so many packets and no more."""
    monkeypatch.setattr(headers, "PACKETS", 3)
    one = namespace("one")
    with one.inside():
        taken = HeaderCapture("127.0.0.1", 0.0)
    with one.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(9):
            out.sendto(SECRET, ("127.0.0.1", 7777))
    for _ in range(100):
        taken.read()
        if taken.full:
            break
        time.sleep(0.02)
    taken.read()
    assert taken.packets == 3
    taken.file()
