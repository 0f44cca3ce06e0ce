"""SSH identification, DHCP and ARP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect import arp, dhcp, ssh
from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Ssh


def test_ssh_identification() -> None:
    """Each side's line is an event; what follows is not read."""
    (event,) = ssh.step(b"SSH-2.0-OpenSSH_9.6 Debian-3\r\n\0\0\1", client=False).events
    assert isinstance(event, Ssh)
    assert (event.version, event.client) == ("SSH-2.0-OpenSSH_9.6 Debian-3", False)


def test_ssh_banner_before() -> None:
    """A server may say something first, a client may not (RFC 4253, 4.2)."""
    data = b"Welcome\r\nto this host\r\nSSH-2.0-x\r\n"
    assert [event.ts for event in ssh.step(data, client=False).events] == [0.0]
    assert ssh.step(data, client=True).bad


def test_ssh_endless_banner_ends() -> None:
    """A tarpit's banner without end is given up."""
    assert ssh.step(b"x\r\n" * 800, client=False).bad
    assert ssh.step(b"SSH-" + b"x" * 300, client=True).bad
    assert ssh.step(b"SSH-2", client=True).wait
    assert ssh.step(b"SMB", client=True).bad


def message(scapy: Any, options: list[Any], **fields: Any) -> bytes:
    """Return a DHCP message by scapy."""
    chaddr = bytes.fromhex("0242ac110002") + bytes(10)
    return bytes(
        scapy.dhcp.BOOTP(chaddr=chaddr, **fields) / scapy.dhcp.DHCP(options=[*options, "end"])
    )


def test_dhcp_ack(scapy: Any) -> None:
    """An ACK says who got which address from whom for how long."""
    event = dhcp.parse(
        message(
            scapy,
            [("message-type", "ack"), ("server_id", "192.0.2.1"), ("lease_time", 3600)],
            op=2, yiaddr="192.0.2.50",
        )
    )  # fmt: skip
    assert event is not None
    assert (event.message, event.mac, event.address, event.server, event.lease) == (
        "ACK", "02:42:ac:11:00:02", "192.0.2.50", "192.0.2.1", 3600,
    )  # fmt: skip


def test_dhcp_routers(scapy: Any) -> None:
    """Option 3 names the routers; four are kept, and half an address is none."""
    named = [f"192.0.2.{number}" for number in range(1, 7)]
    event = dhcp.parse(message(scapy, [("message-type", "ack"), ("router", *named)]))
    assert event is not None
    assert event.routers == tuple(named[:4])
    odd = dhcp.parse(message(scapy, [("message-type", "ack"), (3, bytes((192, 0, 2, 1, 7)))]))
    assert odd is not None
    assert odd.routers == ("192.0.2.1",)


def test_dhcp_request_and_inform(scapy: Any) -> None:
    """A REQUEST names the address asked for and the host; an INFORM the one in use."""
    event = dhcp.parse(
        message(
            scapy,
            [
                ("message-type", "request"),
                ("requested_addr", "192.0.2.7"),
                ("hostname", b"pc\x1b7"),
            ],
        )
    )
    assert event is not None
    assert (event.message, event.address, event.hostname) == ("REQUEST", "192.0.2.7", r"pc\x1b7")
    event = dhcp.parse(message(scapy, [("message-type", "inform")], ciaddr="192.0.2.9"))
    assert event is not None
    assert (event.message, event.address) == ("INFORM", "192.0.2.9")


def test_dhcp_options_in_other_fields(scapy: Any) -> None:
    """Options that overflow into the server name field are found (RFC 2132, 9.3)."""
    data = bytearray(message(scapy, [(52, b"\x02")]))
    data[44:51] = b"\x35\x01\x02\x0c\x02pc"
    event = dhcp.parse(bytes(data))
    assert event is not None
    assert (event.message, event.hostname) == ("OFFER", "pc")


def test_bootp_has_no_type(scapy: Any) -> None:
    """A message without a type is BOOTP's; what is too short or has no cookie is none."""
    data = message(scapy, [])
    event = dhcp.parse(data)
    assert event is not None
    assert event.message == "BOOTREQUEST"
    assert dhcp.parse(data[:239]) is None
    assert dhcp.parse(data[:236] + b"\0\0\0\0" + data[240:]) is None


@given(
    mac=st.binary(min_size=6, max_size=6),
    address=st.ip_addresses(v=4),
    host=st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True),
    kind=st.integers(1, 8),
    padding=st.integers(0, 5),
)
@settings(max_examples=100, deadline=None)
def test_dhcp_round_trip(mac: bytes, address: Any, host: str, kind: int, padding: int) -> None:
    """A message that was built is read back."""
    data = (
        b"\x01\x01\x06\0" + bytes(24) + mac + bytes(202) + b"\x63\x82\x53\x63" + bytes(padding)
        + bytes((53, 1, kind, 50, 4)) + address.packed + bytes((12, len(host))) + host.encode()
        + b"\xff"
    )  # fmt: skip
    event = dhcp.parse(data)
    assert event is not None
    assert (event.message, event.mac, event.hostname) == (dhcp.MESSAGES[kind], mac.hex(":"), host)
    assert event.address == ("" if int(address) == 0 else str(address))


@pytest.mark.parametrize(
    ("operation", "word"), [(1, "request"), (2, "reply"), (8, "inverse-request"), (77, "77")]
)
def test_arp(scapy: Any, operation: int, word: str) -> None:
    """An ARP packet says which address its sender claims."""
    data = bytes(
        scapy.l2.ARP(op=operation, hwsrc="02:00:00:00:00:01", psrc="192.0.2.1", pdst="192.0.2.2")
    )
    event = arp.parse(data + bytes(18))
    assert event is not None
    assert (event.operation, event.mac, event.address, event.target) == (
        word, "02:00:00:00:00:01", "192.0.2.1", "192.0.2.2",
    )  # fmt: skip
    for end in range(len(data)):
        assert arp.parse(data[:end]) is None


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_printable(data: bytes) -> None:
    """Whatever comes in, what comes out can be shown on a line and is bounded."""
    assert printable(data).isprintable()
    assert len(printable(data)) <= 255 * 4
