"""Rule expressions as attributes (linux/netfilter/nf_tables.h), in the order `nft` writes them.

A rule is a list of these; each that compares ends the rule where it does not hold. Written as
`nft` itself would, so that `nft list ruleset` shows them as a person would have typed them.
"""

from __future__ import annotations

import struct
from typing import Final

from ipwatchd.firewall import codec

__all__ = [
    "ACCEPT", "DROP", "GOTO", "JUMP", "RETURN", "Family", "comment", "counted", "element_counter",
    "from_network", "goto", "hop_limit_255", "interface_is", "jump", "limit", "log", "looked_up",
    "neighbour_type", "port_in", "protocol_in", "protocol_not_in", "reply_direction", "verdict",
]  # fmt: skip

_REGISTER: Final = 1  # NFT_REG_1
_VERDICT_REGISTER: Final = 0  # NFT_REG_VERDICT
_NETWORK_HEADER: Final = 1  # NFT_PAYLOAD_NETWORK_HEADER
_TRANSPORT_HEADER: Final = 2
_META_IIF: Final = 4
_META_OIF: Final = 5
_META_NFPROTO: Final = 15
_META_L4PROTO: Final = 16
_ICMPV6: Final = 58
_CT_DIRECTION: Final = 1
_CT_DIRECTION_REPLY: Final = 1
_NFT_OBJECT_COUNTER: Final = 1
_LOOKUP_INVERTED: Final = 1  # NFT_LOOKUP_F_INV
_USERDATA_COMMENT: Final = 0  # NFTNL_UDATA_RULE_COMMENT, NFTNL_UDATA_TABLE_COMMENT

DROP: Final = 0
ACCEPT: Final = 1
JUMP: Final = -3
GOTO: Final = -4
RETURN: Final = -5


class Family:
    """What differs between IPv4 and IPv6 in a rule: NFPROTO, and where the addresses are."""

    def __init__(self, nfproto: int, key: int, source: int, destination: int) -> None:
        self.nfproto = nfproto
        self.key = key
        self.offsets = {"source": source, "destination": destination}


def _expression(name: str, *parts: bytes) -> bytes:
    return codec.text(1, name) + codec.nested(2, *parts)


def _meta(key: int) -> bytes:
    return _expression("meta", codec.u32(2, key), codec.u32(1, _REGISTER))


def _payload(header: int, offset: int, length: int) -> bytes:
    where = codec.u32(2, header) + codec.u32(3, offset) + codec.u32(4, length)
    return _expression("payload", codec.u32(1, _REGISTER), where)


def _equals(value: bytes) -> bytes:
    wanted = codec.nested(3, codec.attribute(1, value))
    return _expression("cmp", codec.u32(1, _REGISTER), codec.u32(2, 0), wanted)


def _of_family(family: Family) -> list[bytes]:
    return [_meta(_META_NFPROTO), _equals(bytes([family.nfproto]))]


def interface_is(index: int, *, outgoing: bool) -> list[bytes]:
    """`iif` or `oif` with an interface index; 1 is the loopback in every namespace."""
    return [_meta(_META_OIF if outgoing else _META_IIF), _equals(struct.pack("=I", index))]


def looked_up(family: Family, end: str, name: str, length: int = 0) -> list[bytes]:
    """`ip saddr @name`, with a length `ip saddr & MASK @name`; `end` is source or destination."""
    load = _payload(_NETWORK_HEADER, family.offsets[end], family.key)
    mask = [_masked(family, length)] if 0 < length < 8 * family.key else []
    lookup = _expression("lookup", codec.u32(2, _REGISTER), codec.text(1, name))
    return [*_of_family(family), load, *mask, lookup]


def _masked(family: Family, length: int) -> bytes:
    bits = ((1 << length) - 1) << (8 * family.key - length)
    mask = codec.nested(4, codec.attribute(1, bits.to_bytes(family.key, "big")))
    flip = codec.nested(5, codec.attribute(1, bytes(family.key)))
    registers = codec.u32(1, _REGISTER) + codec.u32(2, _REGISTER) + codec.u32(3, family.key)
    return _expression("bitwise", registers, mask, flip)


def protocol_in(name: str) -> list[bytes]:
    """`meta nfproto @name`."""
    lookup = _expression("lookup", codec.u32(2, _REGISTER), codec.text(1, name))
    return [_meta(_META_NFPROTO), lookup]


def protocol_not_in(name: str) -> list[bytes]:
    """`meta nfproto != @name`."""
    inverted = codec.u32(5, _LOOKUP_INVERTED)
    lookup = _expression("lookup", codec.u32(2, _REGISTER), codec.text(1, name), inverted)
    return [_meta(_META_NFPROTO), lookup]


def element_counter() -> bytes:
    """`counter` of a set: the kernel gives each of its elements one."""
    return _expression("counter", codec.u64(1, 0), codec.u64(2, 0))


def from_network(family: Family, end: str, start: bytes, length: int) -> list[bytes]:
    """`ip6 saddr fe80::/10`: a prefix compared in place."""
    width = -(-length // 8)
    load = _payload(_NETWORK_HEADER, family.offsets[end], family.key if length % 8 else width)
    if length % 8 == 0:
        return [*_of_family(family), load, _equals(start[:width])]
    return [*_of_family(family), load, _masked(family, length), _equals(start)]


def neighbour_type(family: Family, name: str) -> list[bytes]:
    """`icmpv6 type @name`."""
    return [
        *_of_family(family),
        _meta(_META_L4PROTO),
        _equals(bytes([_ICMPV6])),
        _payload(_TRANSPORT_HEADER, 0, 1),
        _expression("lookup", codec.u32(2, _REGISTER), codec.text(1, name)),
    ]


def port_in(family: Family, protocol: int, name: str) -> list[bytes]:
    """`meta l4proto P th dport @name` of a family."""
    return [
        *_of_family(family),
        _meta(_META_L4PROTO),
        _equals(bytes([protocol])),
        _payload(_TRANSPORT_HEADER, 2, 2),
        _expression("lookup", codec.u32(2, _REGISTER), codec.text(1, name)),
    ]


def hop_limit_255() -> list[bytes]:
    """`ip6 hoplimit 255` after an IPv6 match: the packet was sent on this very link."""
    return [_payload(_NETWORK_HEADER, 7, 1), _equals(b"\xff")]


def reply_direction() -> list[bytes]:
    """`ct direction reply`: an answer in a connection that the other side opened."""
    load = _expression("ct", codec.u32(2, _CT_DIRECTION), codec.u32(1, _REGISTER))
    return [load, _equals(bytes([_CT_DIRECTION_REPLY]))]


def counted(name: str) -> list[bytes]:
    """`counter name NAME`."""
    kind = codec.u32(1, _NFT_OBJECT_COUNTER)
    return [_expression("objref", kind, codec.text(2, name))]


def limit(per_second: int) -> list[bytes]:
    """`limit rate N/second burst N packets`."""
    burst = min(per_second, 0xFFFF_FFFF)
    rate = codec.u64(1, per_second) + codec.u64(2, 1) + codec.u32(3, burst)
    return [_expression("limit", rate, codec.u32(4, 0), codec.u32(5, 0))]


def log(prefix: str, group: int, snap: int) -> list[bytes]:
    """`log prefix "P" group N snaplen N`."""
    which = codec.attribute(1, struct.pack(">H", group)) + codec.text(2, prefix)
    return [_expression("log", which, codec.u32(3, snap))]


def verdict(code: int, chain: str = "") -> list[bytes]:
    """`drop`, `accept`, `return`; with a chain `jump` or `goto`."""
    where = codec.text(2, chain) if chain else b""
    data = codec.nested(2, codec.nested(2, codec.u32(1, code & 0xFFFF_FFFF), where))
    return [_expression("immediate", codec.u32(1, _VERDICT_REGISTER), data)]


def jump(chain: str) -> list[bytes]:
    """`jump CHAIN`."""
    return verdict(JUMP, chain)


def goto(chain: str) -> list[bytes]:
    """`goto CHAIN`."""
    return verdict(GOTO, chain)


def comment(words: str) -> bytes:
    """Return userdata (libnftnl/udata.h: type, length, NUL-terminated string) of at most 255."""
    value = words.encode("ascii", "replace")[:128] + b"\0"
    return bytes([_USERDATA_COMMENT, len(value)]) + value
