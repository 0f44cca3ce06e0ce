"""Netlink messages and attributes as bytes, both ways; pure. The I/O is in `transport`.

Names are those of linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.
Header fields are in host order, values inside nf_tables, nflog and conntrack attributes in network
order. Every reader is held to the lengths of its buffer and raises MalformedError where a length
lies, so that a hostile or broken reply can't make it read on or turn for ever.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ACK", "BYTE_ORDER", "CREATE", "DUMP", "GENERAL", "HEADER", "NESTED", "NLMSG_DONE",
    "NLMSG_ERROR", "REQUEST", "Header", "MalformedError", "Nft", "Refusal", "acknowledged",
    "attribute", "attributes", "batch", "be32", "be64", "listed", "message", "message_name",
    "messages", "nested", "number", "refusal", "string", "text", "u32", "u64", "walk",
]  # fmt: skip

# linux/netlink.h
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
REQUEST: Final = 0x1
ACK: Final = 0x4
DUMP: Final = 0x300
CREATE: Final = 0x400
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200
NLMSGERR_ATTR_MSG: Final = 1
NESTED: Final = 0x8000
TYPE_MASK: Final = 0x3FFF

# linux/netfilter/nfnetlink.h
NFNL_SUBSYS_CTNETLINK: Final = 1
NFNL_SUBSYS_ULOG: Final = 4
NFNL_SUBSYS_NFTABLES: Final = 10
NFNL_MSG_BATCH_BEGIN: Final = 0x10
NFNL_MSG_BATCH_END: Final = 0x11

BYTE_ORDER: Final = sys.byteorder
HEADER: Final = struct.Struct("=IHHII")
_NFGENMSG: Final = struct.Struct(">BBH")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERRNO: Final = struct.Struct("=i")
GENERAL: Final = HEADER.size + _NFGENMSG.size
"""Bytes before the first attribute of an nfnetlink message."""


class Nft:
    """enum nf_tables_msg_types, with the subsystem in the high byte; NFPROTO_INET."""

    INET: Final = 1
    NEWTABLE: Final = 0xA00
    GETTABLE: Final = 0xA01
    DELTABLE: Final = 0xA02
    NEWCHAIN: Final = 0xA03
    GETCHAIN: Final = 0xA04
    NEWRULE: Final = 0xA06
    GETRULE: Final = 0xA07
    NEWSET: Final = 0xA09
    GETSET: Final = 0xA0A
    NEWSETELEM: Final = 0xA0C
    GETSETELEM: Final = 0xA0D
    DELSETELEM: Final = 0xA0E
    NEWGEN: Final = 0xA0F
    GETGEN: Final = 0xA10
    NEWOBJ: Final = 0xA12
    GETOBJ: Final = 0xA13
    GETFLOWTABLE: Final = 0xA17


_VERBS: Final = {"NEW", "GET", "DEL"}
_NAMES: Final = {
    value: f"NFT_MSG_{name}" for name, value in vars(Nft).items() if name[:3] in _VERBS
} | {
    0x100: "IPCTNL_MSG_CT_NEW", 0x101: "IPCTNL_MSG_CT_GET", 0x102: "IPCTNL_MSG_CT_DELETE",
    0x401: "NFULNL_MSG_CONFIG", NFNL_MSG_BATCH_BEGIN: "NFNL_MSG_BATCH_BEGIN",
    NFNL_MSG_BATCH_END: "NFNL_MSG_BATCH_END",
}  # fmt: skip


class MalformedError(OSError):
    """A length in a netlink message points outside of it; an answer that can't be read."""


class Header(NamedTuple):
    """struct nlmsghdr and the body that follows it."""

    type: int
    flags: int
    sequence: int
    body: memoryview


class Refusal(NamedTuple):
    """struct nlmsgerr: the errno (0 acknowledges), what was refused, the kernel's words."""

    errno: int
    type: int
    text: str


def message_name(kind: int) -> str:
    """Return a message type's name in the kernel's headers, or its number."""
    return _NAMES.get(kind, f"message {kind:#x}")


def attribute(kind: int, value: bytes) -> bytes:
    """Return a struct nlattr with its value, padded to four bytes."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def listed(kind: int, items: Iterator[bytes]) -> bytes:
    """Return an attribute that holds a list: each item in an NFTA_LIST_ELEM."""
    return nested(kind, *(nested(1, item) for item in items))


def text(kind: int, value: str) -> bytes:
    """Return an attribute of a NUL-terminated string."""
    return attribute(kind, value.encode("ascii", "replace") + b"\0")


def u32(kind: int, value: int) -> bytes:
    """Return an attribute of 32 bits in network order."""
    return attribute(kind, struct.pack(">I", value))


def u64(kind: int, value: int) -> bytes:
    """Return an attribute of 64 bits in network order."""
    return attribute(kind, struct.pack(">Q", value))


def message(
    kind: int, flags: int, *parts: bytes, family: int = Nft.INET, resource: int = 0,
    sequence: int = 0,
) -> bytes:  # fmt: skip
    """Return an nfnetlink message: nlmsghdr, nfgenmsg, attributes."""
    body = b"".join(parts)
    head = HEADER.pack(GENERAL + len(body), kind, flags | REQUEST, sequence, 0)
    return head + _NFGENMSG.pack(family, 0, resource) + body


def batch(parts: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return one transaction: the messages between BATCH_BEGIN and BATCH_END.

    The first message asks for an acknowledgement, which the kernel delivers after the commit. An
    ACK flag on BATCH_END alone is answered since Linux 6.10 only.
    """
    first = bytearray(parts[0])
    length, kind, flags, sequence, port = HEADER.unpack_from(first)
    HEADER.pack_into(first, 0, length, kind, flags | ACK, sequence, port)
    begin = message(NFNL_MSG_BATCH_BEGIN, 0, family=0, resource=NFNL_SUBSYS_NFTABLES)
    end = message(NFNL_MSG_BATCH_END, 0, family=0, resource=NFNL_SUBSYS_NFTABLES)
    return [begin, memoryview(first), *parts[1:], end]


def messages(data: memoryview) -> Iterator[Header]:
    """Walk the messages of one datagram."""
    place, end = 0, len(data)
    while place + HEADER.size <= end:
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, place)
        if length < HEADER.size or place + length > end:
            raise MalformedError(f"a netlink message of {length} bytes in {end - place}")
        yield Header(kind, flags, sequence, data[place + HEADER.size : place + length])
        place += (length + 3) & ~3


def walk(data: memoryview, place: int = 0) -> Iterator[tuple[int, memoryview]]:
    """Walk attributes from `place` on: (type without its flag bits, value)."""
    end = len(data)
    while place + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, place)
        if length < 4 or place + length > end:
            raise MalformedError(f"a netlink attribute of {length} bytes in {end - place}")
        yield kind & TYPE_MASK, data[place + 4 : place + length]
        place += (length + 3) & ~3


def attributes(data: memoryview, place: int = 0) -> dict[int, memoryview]:
    """Return attributes by type; of repeated ones the last (place 4 skips an nfgenmsg)."""
    return dict(walk(data, place))


def be32(value: memoryview | None) -> int:
    """Return 32 bits in network order; 0 where the attribute is not there."""
    return number(value, 4)


def be64(value: memoryview | None) -> int:
    """Return 64 bits in network order; 0 where the attribute is not there."""
    return number(value, 8)


def number(value: memoryview | None, size: int) -> int:
    """Return an unsigned number of `size` bytes in network order; 0 where there is none."""
    if value is None:
        return 0
    if len(value) < size:
        raise MalformedError(f"a number of {size} bytes in {len(value)}")
    return int.from_bytes(value[:size], "big")


def string(value: memoryview) -> str:
    """Return a NUL-terminated string; bytes that are no ASCII are shown as escapes."""
    return bytes(value).split(b"\0", 1)[0].decode("ascii", "backslashreplace")


def acknowledged(header: Header) -> bool:
    """Tell whether this is an NLMSG_ERROR (or the errno of a broken dump in NLMSG_DONE)."""
    return header.type == NLMSG_ERROR or (header.type == NLMSG_DONE and len(header.body) >= 4)


def refusal(header: Header) -> Refusal:
    """Read an NLMSG_ERROR or NLMSG_DONE with its extended acknowledgement (NETLINK_EXT_ACK)."""
    body = header.body
    if len(body) < 4:
        raise MalformedError("a netlink error without a number")
    errno = -_ERRNO.unpack_from(body)[0]
    kind, place = 0, 4
    if header.type == NLMSG_ERROR and len(body) >= 4 + HEADER.size:
        length, kind, _, _, _ = HEADER.unpack_from(body, 4)
        capped = header.flags & NLM_F_CAPPED
        place = 4 + (HEADER.size if capped else (max(length, HEADER.size) + 3) & ~3)
    said = None
    if header.flags & NLM_F_ACK_TLVS and place <= len(body):
        said = attributes(body, place).get(NLMSGERR_ATTR_MSG)
    return Refusal(errno, kind, "" if said is None else string(said))
