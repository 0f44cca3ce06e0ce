"""Neighbour discovery, IKE, OpenVPN, WireGuard, RDP's cookie."""

from __future__ import annotations

import struct
import warnings
from typing import Any

import pytest

from ipwatchd.capture.dissect import ndp, rdp, vpn
from ipwatchd.records.event import Rdp

MAC = "02:00:00:00:00:01"
LINK_ADDRESS = b"\x01\x01\x02\0\0\0\0\x01"


@pytest.fixture(scope="module")
def inet6() -> Any:
    """Return scapy's IPv6 layers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.layers import inet6
    return inet6


def test_ndp(inet6: Any) -> None:
    """Each message says which address its sender claims, by whose link-layer address."""
    source = inet6.ICMPv6NDOptSrcLLAddr(lladdr=MAC)
    target = inet6.ICMPv6NDOptDstLLAddr(lladdr=MAC)
    for message, operation, address, asked in (
        (inet6.ICMPv6ND_NS(tgt="fe80::2") / source, "solicitation", "fe80::1", "fe80::2"),
        (inet6.ICMPv6ND_NA(tgt="fe80::2") / target, "advertisement", "fe80::2", "fe80::2"),
        (inet6.ICMPv6ND_RS() / source, "router-solicitation", "fe80::1", ""),
        (inet6.ICMPv6ND_RA() / inet6.ICMPv6NDOptMTU() / source, "router-advertisement",
         "fe80::1", ""),
    ):  # fmt: skip
        data = bytes(message)
        event = ndp.parse(data, "fe80::1")
        assert event is not None
        assert (event.operation, event.mac, event.address, event.target) == (
            operation, MAC, address, asked,
        )  # fmt: skip
        for end in range(len(data)):
            ndp.parse(data[:end], "fe80::1")


def test_ndp_probe_claims_nothing() -> None:
    """Duplicate address detection (RFC 4862, 5.4) comes from no address and has no option."""
    event = ndp.parse(b"\x87\0" + bytes(22), "::")
    assert event is not None
    assert (event.address, event.mac) == ("", "")
    assert ndp.parse(b"\x87\0" + bytes(22) + b"\x01\0" * 4, "fe80::1") is not None


def test_ike_versions() -> None:
    """Version 1 and 2, with a non-ESP marker and without; who answered is told by its SPI."""
    head = b"initiate" + bytes(8) + struct.pack("!BBBBII", 33, 0x20, 34, 8, 0, 28)
    event = vpn.ike(head)
    assert event is not None
    assert (event.version, event.exchange, event.responder) == ("2.0", "sa-init", "")
    assert event.initiator == b"initiate".hex()
    head = b"initiateanswered" + struct.pack("!BBBBII", 1, 0x10, 2, 0, 0, 100)
    event = vpn.ike(bytes(4) + head)
    assert event is not None
    assert (event.version, event.exchange) == ("1.0", "identity-protection")
    assert event.responder == b"answered".hex()
    assert vpn.ike(bytes(32)) is None
    assert all(vpn.ike(head[:end]) is None for end in range(28))


def test_openvpn() -> None:
    """The resets of both sides are told, over UDP and TCP."""
    client = b"\x38sessions\0" + bytes(4)
    for data in (client, b"\0\x0e" + client):
        event = vpn.openvpn(data)
        assert event is not None
        assert event.message == "client-reset"
    event = vpn.openvpn(b"\x40" + client[1:])
    assert event is not None
    assert event.message == "server-reset"
    assert vpn.openvpn(b"\x20" + client[1:]) is None
    assert vpn.stream(client[:5]).bad


def test_wireguard() -> None:
    """Type and length together are the handshake; a data packet is not told."""
    for kind, size, message in ((1, 148, "initiation"), (2, 92, "response")):
        event = vpn.wireguard(bytes([kind]).ljust(size, b"\0"))
        assert event is not None
        assert event.message == message
    assert vpn.wireguard(b"\4".ljust(148, b"\0")) is None
    assert vpn.wireguard(b"\1".ljust(92, b"\0")) is None


def test_rdp_cookie() -> None:
    """The cookie names who logs in; a request without one is told as such."""
    cookie = b"Cookie: mstshash=CORP\\maria\r\n"
    body = bytes([6 + len(cookie), 0xE0, 0, 0, 0, 0, 0]) + cookie
    data = b"\x03\0" + struct.pack("!H", 4 + len(body)) + body
    (event,) = rdp.step(data).events
    assert isinstance(event, Rdp)
    assert event.user == "CORP\\maria"
    assert all(rdp.step(data[:end]).wait for end in range(len(data)))
    (event,) = rdp.step(b"\x03\0\0\x0b\x06\xe0" + bytes(5)).events
    assert isinstance(event, Rdp)
    assert event.user == ""
    assert rdp.step(b"\x03\0\xff\xff\x06\xe0" + bytes(5)).bad
