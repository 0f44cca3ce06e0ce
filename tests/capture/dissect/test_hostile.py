"""Whatever bytes come, a dissector returns: cut, flipped, random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect import Dissector
from ipwatchd.capture.tap import KINDS, Kind
from ipwatchd.records.event import event_from_builtins

if TYPE_CHECKING:
    from collections.abc import Callable

DNS = (
    b"\x12\x34\x81\x80\0\1\0\2\0\0\0\0\x03www\x07example\x03com\0\0\1\0\1"
    b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1b\xc0\x10\xc0\x2d\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4"
)
SIP = b'INVITE sip:b@x SIP/2.0\r\nf: "A \\" B" <sip:a@x>\r\nt:\r\n <sip:b@x>\r\nl: 3\r\n\r\nabc'
HTTP = b"POST http://u@h/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n"
DHCP = (
    b"\x01\x01\x06\0" + bytes(40) + b"\x0c\x03abc\xff" + bytes(186) + b"\x63\x82\x53\x63"
    b"\x35\x01\x03\x34\x01\x03\x0c\x02pc\x51\x05\0\0\0ab\xff"
)
ARP = bytes.fromhex("0001080006040001" + "020000000001" + "c0000201" + "00" * 6 + "c0000202")
NTLM = b"NTLMSSP\0\3\0\0\0" + bytes(64)
SMB = b"\xfeSMB\x40\0\0\0\0\0\0\0\1\0" + bytes(60) + NTLM
SAMPLES = {
    Kind.DNS: DNS, Kind.SIP: SIP, Kind.HTTP: HTTP, Kind.DHCP: DHCP, Kind.ARP: ARP,
    Kind.SSH: b"hello\r\nSSH-2.0-OpenSSH_9.6\r\n",
    Kind.QUIC: b"\xc0\0\0\0\1\x08abcdefgh\0\0\x40\x40" + bytes(64),
    Kind.NDP: b"\x87\0\0\0\0\0\0\0\xfe\x80" + bytes(14) + b"\1\1\2\0\0\0\0\1",
    Kind.KERBEROS: b"\0\0\0\x0c\x7e\x0a\x30\x08\xa0\x03\2\1\5\xa1\1\0",
    Kind.RADIUS: b"\1\1\0\x18" + bytes(16) + b"\1\4ab",
    Kind.LDAP: b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0",
    Kind.SMB: b"\0" + len(SMB).to_bytes(3, "big") + SMB,
    Kind.RDP: b"\3\0\0\x23\x1e\xe0" + bytes(5) + b"Cookie: mstshash=maria\r\n",
    Kind.IKE: bytes(4) + b"initiate" + bytes(8) + b"\x21\x20\x22\x08\0\0\0\0\0\0\0\x1c",
    Kind.OPENVPN: b"\0\x0e\x38sessions\0" + bytes(4),
    Kind.WIREGUARD: b"\1".ljust(148, b"\0"),
    Kind.LLDP: b"\2\7\4\0\1\2\3\4\5\4\4\5eth\6\2\0\x78\0\0",
}  # fmt: skip


def swallow(taps: Any, packets: list[Any]) -> None:
    """Feed packets; every event is whole, shown as JSON and read back."""
    dissector = Dissector()
    events = dissector.feed(taps(packets)) + dissector.finish()
    for event in events:
        assert event_from_builtins(msgspec.json.decode(msgspec.json.encode(event))) == event
        for value in msgspec.to_builtins(event).values():
            assert not isinstance(value, str) or value.isprintable()
    assert dissector.counters.streams_live == 0


@pytest.fixture(scope="module")
def samples(hello: Callable[..., bytes], records: Callable[..., bytes]) -> dict[int, bytes]:
    """Return a good message of each kind."""
    return SAMPLES | {Kind.TLS: records(hello(more=[(51, bytes(300))]), 200)}


@pytest.mark.parametrize("proto", [6, 17])
def test_cut_at_every_length(taps: Any, packet: Any, samples: dict[int, bytes], proto: int) -> None:
    """A message cut off anywhere is survived, as a datagram and as a stream."""
    for kind, data in samples.items():
        swallow(
            taps,
            [
                packet(kind, data[:end], proto=proto, orig_port=end + 1, seq=end)
                for end in range(len(data))
            ],
        )


@pytest.mark.parametrize("proto", [6, 17])
def test_each_byte_flipped(taps: Any, packet: Any, samples: dict[int, bytes], proto: int) -> None:
    """A message with any byte turned to zero, ones or its complement is survived."""
    for kind, data in samples.items():
        packets = []
        for at, old in enumerate(data):
            for new in (0, 0xFF, old ^ 0xFF, 0xC0):
                bad = data[:at] + bytes([new]) + data[at + 1 :]
                packets.append(packet(kind, bad, proto=proto, orig_port=len(packets) % 60_000))
        swallow(taps, packets)


@given(
    kinds=st.lists(
        st.tuples(
            st.integers(0, len(KINDS)),
            st.sampled_from([0, 6, 17, 58]),
            st.booleans(),
            st.integers(0, 2000),
            st.one_of(
                st.binary(max_size=300),
                st.sampled_from([*SAMPLES.values(), HTTP[:20], HTTP[20:], DNS[12:]]),
            ),
        ),
        max_size=25,
    )
)
@settings(max_examples=200, deadline=None)
def test_random_packets(
    taps: Any, packet: Any, kinds: list[tuple[int, int, bool, int, bytes]]
) -> None:
    """Any payloads under any hints, on one five-tuple, are survived."""
    swallow(
        taps,
        [
            packet(kind, data, proto=proto, from_orig=from_orig, seq=seq, port=80)
            for kind, proto, from_orig, seq, data in kinds
        ],
    )


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Kind.SIP, b"INVITE sip:x SIP/2.0\r\nFrom: " + b'"\\' * 30_000),
        (Kind.SIP, b"INVITE sip:x SIP/2.0\r\n" + b"f:\r\n " * 10_000),
        (Kind.HTTP, b"GET / HTTP/1.1\r\n" + b"Host:" * 12_000),
        (Kind.HTTP, b"GET / HTTP/1.1\r\n" + b"\r\n" * 0 + b"a\r" * 30_000),
        (Kind.DNS, b"\0\0\x81\x80\0\x10\xff\xff\0\0\0\0" + b"\xc0\x0c" * 32_000),
        (Kind.DNS, b"\0\0\1\0\0\x10\0\0\0\0\0\0" + b"\1a" * 32_000),
        (Kind.TLS, b"\x16\x03\x01\0\x01\x01" * 10_000),
        (Kind.SSH, b"\n" * 60_000),
        (Kind.DHCP, DHCP[:240] + b"\x0c\0" * 30_000),
        (Kind.TLS, b"\x16\x03\x03\0\x04\x02\0\0\0" * 7_000),
        (Kind.LDAP, b"\x30\x03\2\1\1" * 12_000),
        (Kind.SMB, (b"\0\0\0\x20\xfeSMB" + bytes(28)) * 1_800),
        (Kind.NDP, SAMPLES[Kind.NDP][:24] + b"\x0e\1\0\0\0\0\0\0" * 8_000),
        (Kind.QUIC, SAMPLES[Kind.QUIC] * 600),
    ],
)
def test_largest_and_worst(taps: Any, packet: Any, kind: int, data: bytes) -> None:
    """What makes the most work within 64 KiB is done at once, 100 times over."""
    for proto in (6, 17):
        swallow(taps, [packet(kind, data, proto=proto, orig_port=one + 1) for one in range(100)])
