"""Netlink bytes: what is written reads back, and no bytes read out of bounds."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.firewall import codec
from ipwatchd.firewall.codec import MalformedError, Nft


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40)), max_size=8))
def test_attributes_read_back(parts: list[tuple[int, bytes]]) -> None:
    """Every attribute comes back in order, whatever the padding."""
    data = b"".join(codec.attribute(kind, value) for kind, value in parts)
    assert len(data) % 4 == 0
    assert [(kind, bytes(value)) for kind, value in codec.walk(memoryview(data))] == parts


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_hostile_bytes_end(data: bytes) -> None:
    """Messages, attributes and refusals of any bytes end, in values or in MalformedError."""
    view = memoryview(data)
    for read in (
        lambda: [codec.refusal(header) for header in codec.messages(view)],
        lambda: list(codec.walk(view)),
        lambda: codec.be64(view),
    ):
        try:
            read()
        except MalformedError:
            continue


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_length_below_the_header_does_not_turn_for_ever(length: int) -> None:
    """nla_len 0 is how a broken reader hangs."""
    with pytest.raises(MalformedError):
        list(codec.walk(memoryview(struct.pack("=HH", length, 1))))


def test_a_refusal_has_the_kernels_words() -> None:
    """errno, the message that was refused and the extended acknowledgement's text."""
    head = codec.HEADER.pack(20, Nft.NEWSET, 0, 9, 0)
    body = struct.pack("=i", -errno.EINVAL) + head + codec.text(1, "no such type")
    header = codec.Header(codec.NLMSG_ERROR, 0x300, 9, memoryview(body))
    assert codec.refusal(header) == (errno.EINVAL, Nft.NEWSET, "no such type")
    assert codec.message_name(Nft.NEWSET) == "NFT_MSG_NEWSET"
    assert codec.message_name(0x5555) == "message 0x5555"


def test_a_batch_asks_for_one_acknowledgement() -> None:
    """The first message carries the flag; begin and end name the subsystem."""
    parts = codec.batch([codec.message(Nft.NEWTABLE, codec.CREATE), codec.message(Nft.NEWSET, 0)])
    flags = [codec.HEADER.unpack_from(part)[2] for part in parts]
    assert [bool(flag & codec.ACK) for flag in flags] == [False, True, False, False]
    assert [codec.HEADER.unpack_from(part)[1] for part in parts] == [0x10, 0xA00, 0xA09, 0x11]
