"""Which payloads leave the packet loop by their looks, whatever their port, and as what."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkSACK

from ipwatchd.capture import read_files
from ipwatchd.config import CaptureSettings
from ipwatchd.records.event import event_from_builtins
from ipwatchd.records.flow import SERVICES

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.records.event import AnyEvent

IPS = IP(src="10.20.0.5", dst="203.0.113.9")
QUERY = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\x01a\x07example\0\0\1\0\1"
ANSWER = (
    b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0" + QUERY[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4"
)
HEAD = b" HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\r\n"
IKE = b"initiate" + bytes(8) + struct.pack("!BBBBII", 33, 0x20, 34, 8, 0, 28)
BIND = b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0"
SETUP = b"\xfeSMB\x40\0" + bytes(6) + b"\1\0" + bytes(50)
RDP = b"\3\0\0\x23\x1e\xe0" + bytes(5) + b"Cookie: mstshash=maria\r\n"


def read(wire: Any, *packets: Any) -> tuple[list[AnyEvent], Any, set[str]]:
    """Return events, report and services of some packets, a millisecond apart."""
    for number, packet in enumerate(packets):
        wire.frame(number / 1000, packet)
    capture = read_files([wire.write()], CaptureSettings(rich_per_second=0))
    deliveries = list(capture)
    services = {SERVICES[row["service"]] for one in deliveries for row in one.flows}
    return [event for one in deliveries for event in one.events], capture.report, services


def udp(data: bytes, port: int = 9999) -> Any:
    """Return a datagram to a port that says nothing."""
    return Ether() / IPS / UDP(sport=40_000, dport=port) / data


def tcp(data: bytes, port: int = 9999, seq: int = 1) -> Any:
    """Return a segment to a port that says nothing."""
    return Ether() / IPS / TCP(sport=40_000, dport=port, flags="PA", seq=seq) / data


@pytest.mark.parametrize(
    ("packet", "kind", "service"),
    [
        (udp(QUERY), "dns", "dns"),
        (udp(ANSWER), "dns", "dns"),
        (udp(b"M-SEARCH *" + HEAD), "http", "http"),
        (udp(b"NOTIFY *" + HEAD), "http", "http"),
        (udp(b"\1\0\0\0".ljust(148, b"\1")), "wireguard", "wireguard"),
        (udp(b"\2\0\0\0".ljust(92, b"\1")), "wireguard", "wireguard"),
        (udp(bytes(4) + IKE, 4500), "ike", "ike"),
        (udp(IKE, 500), "ike", "ike"),
        (udp(b"\x38sessions\0" + bytes(4)), "openvpn", "openvpn"),
        (tcp(b"\0\x0e\x38sessions\0" + bytes(4)), "openvpn", "openvpn"),
        (tcp(struct.pack("!H", len(QUERY)) + QUERY), "dns", "dns"),
        (tcp(RDP), "rdp", "rdp"),
        (
            Ether() / IPS / SCTP(sport=40_000, dport=80)
            / SCTPChunkSACK() / SCTPChunkData(beginning=1, ending=1, data=b"GET /" + HEAD),
            "http", "http",
        ),
        (
            Ether() / IPv6(src="fe80::2", dst="ff02::1") / ICMPv6ND_NA(tgt="fe80::2")
            / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:01"),
            "ndp", "",
        ),
    ],
)  # fmt: skip
def test_read_on_any_port(wire: Any, packet: Any, kind: str, service: str) -> None:
    """A message is read by its looks, and its flow is called what it was."""
    events, report, services = read(wire, packet)
    assert [event.__struct_config__.tag for event in events] == [kind]
    assert services == {service}
    assert report.dissect.malformed == {}


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        (tcp(struct.pack("!I", 12) + b"\x7e\x0a\x30\x08\xa0\3\2\1\5\xa1\1\0"), "kerberos"),
        (tcp(BIND), "ldap"),
        (tcp(b"\x30\x84\0\0\0\x0c" + BIND[2:]), "ldap"),
        (udp(b"\1\1\0\x18" + bytes(16) + b"\1\4ab", 1812), "radius"),
        (udp(b"\x7e\x0a\x30\x08\xa0\3\2\1\5\xa1\1\0", 88), "kerberos"),
        (Ether(type=0x88CC) / (b"\2\7\4\0\1\2\3\4\5\4\4\5eth\6\2\0\x78\0\0" + bytes(20)), "lldp"),
    ],
)
def test_for_the_child(wire: Any, packet: Any, kind: str) -> None:
    """What only the child can read reaches its door."""
    _, report, _ = read(wire, packet)
    assert report.dissect.skipped == {kind: 1}


def test_smb_session_setups_alone(wire: Any) -> None:
    """Of SMB only session setups leave the loop: bulk transfers cost nothing."""
    setup = b"\0" + len(SETUP).to_bytes(3, "big") + SETUP
    reading = setup[:16] + b"\x08" + setup[17:]
    _, report, services = read(wire, tcp(reading), tcp(setup, seq=1 + len(reading)))
    assert services == {"smb"}
    assert report.dissect.malformed == {}


@pytest.mark.parametrize(
    "data",
    [
        bytes(40), b"\xff" * 40, b"\x30" * 40, b"\0\0\0\x0c\x7e\x0b" + bytes(30),
        b"\3\0" + bytes(40), b"\1\0\0\0" + bytes(143), b"\x38" + bytes(20),
        bytes(4) + IKE + b"x", b"\x16\xfe\xfd" + bytes(60),
    ],
)  # fmt: skip
def test_look_alikes_are_left_alone(wire: Any, data: bytes) -> None:
    """What only begins like a message gives no event and is not called malformed."""
    events, report, services = read(wire, tcp(data), udp(data))
    assert [event for event in events if event.__struct_config__.tag != "dns"] == []
    assert report.dissect.malformed == {}
    assert services <= {"", "dns"}


def test_events_as_json(wire: Any, tmp_path: Path) -> None:
    """`ipwatchd events` writes the new kinds as it writes the old ones."""
    import json

    from ipwatchd.cli.flows import run_events

    wire.frame(0.0, tcp(RDP))
    wire.frame(0.1, udp(b"\1\0\0\0".ljust(148, b"\1")))
    out = tmp_path / "events.jsonl"
    assert run_events([wire.write()], CaptureSettings(), out) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(row["kind"], row.get("user"), row.get("message")) for row in rows] == [
        ("rdp", "maria", None), ("wireguard", None, "initiation"),
    ]  # fmt: skip
    assert all(event_from_builtins(row).orig == "10.20.0.5" for row in rows)
