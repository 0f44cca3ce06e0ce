"""Ends the connections of denied addresses: removes their entries of connection tracking.

The deny rules drop packets of open connections by themselves. Without its entry a connection is
also gone for NAT, for a flowtable and for whoever lists connections. Entries are found by any of
their four addresses (original and reply tuple), so that translated ones are found by the address
inside and outside. Layouts: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.firewall import codec
from ipwatchd.firewall.codec import ACK, DUMP
from ipwatchd.firewall.transport import NetlinkSocket, failure
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.policy import contains, empty_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Entry", "kill", "read_entry", "selected"]

_GET: Final = 0x101  # IPCTNL_MSG_CT_GET in NFNL_SUBSYS_CTNETLINK
_DELETE: Final = 0x102
_GET_STATS: Final = 0x105
_CTA_TUPLE_ORIG: Final = 1
_CTA_TUPLE_REPLY: Final = 2
_CTA_ID: Final = 12
_CTA_ZONE: Final = 18
_CTA_FILTER: Final = 25
_CTA_IP_BYTES: Final = {4: (1, 2), 16: (3, 4)}
_CTA_FILTER_SOURCE: Final = 1
_CTA_FILTER_DESTINATION: Final = 2
_AF: Final = {4: 2, 16: 10}
_ENTRIES: Final = 4_000_000
"""Entries of one dump: more than any table this house has seen, and 1 GB at the worst."""
_FILTERED: Final = 16
"""Up to so many single addresses the kernel filters its dump by each; else all is read here."""

_READ_WHOLE: Final = 2000
"""Up to so many connections one dump of all is less work than a filtered one for each place of an
address: the kernel walks its whole table for every dump."""


class Entry(NamedTuple):
    """One connection: family (AF_INET, AF_INET6), addresses in network order, raw tuple to delete.

    `addresses` are original source and destination, reply source and destination.
    """

    family: int
    addresses: tuple[bytes, bytes, bytes, bytes]
    which: bytes


def kill(
    ranges: Sequence[NDArray[np.void]],
    *,
    allow: Sequence[NDArray[np.void]] = (),
    management: NDArray[np.void] | None = None,
    socket: NetlinkSocket | None = None,
) -> int:
    """Remove the entries with an end in `ranges` and return how many there were.

    Each array is sorted and disjoint; two of them may overlap. Spared are ends in `allow` or
    `management`, and all that a management address opened. Raises OSError with a sentence where the
    kernel refuses.
    """
    if socket is None:
        with NetlinkSocket() as own:
            return kill(ranges, allow=allow, management=management, socket=own)
    found = list(_candidates(socket, ranges))
    managed = empty_ranges() if management is None else management
    chosen = selected(found, ranges, allow, managed)
    return sum(_delete(socket, entry) for entry in chosen)


def selected(
    entries: list[Entry],
    ranges: Sequence[NDArray[np.void]],
    allow: Sequence[NDArray[np.void]],
    management: NDArray[np.void],
) -> list[Entry]:
    """Return the entries that `kill` is to remove; pure."""
    if not entries:
        return []
    hi, lo = _halves([address for entry in entries for address in entry.addresses])
    managed = contains(management, hi, lo)
    hit = _in_any(ranges, hi, lo) & ~_in_any(allow, hi, lo) & ~managed
    chosen = hit.reshape(-1, 4).any(axis=1) & ~managed.reshape(-1, 4)[:, 0]
    return [entries[row] for row in np.flatnonzero(chosen).tolist()]


def _in_any(
    lists: Sequence[NDArray[np.void]], hi: NDArray[np.uint64], lo: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    found = np.zeros(len(hi), np.bool_)
    for ranges in lists:
        found |= contains(ranges, hi, lo)
    return found


def _halves(addresses: list[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    mapped = V4_PREFIX.to_bytes(16, "big")[:12]
    whole = b"".join(one if len(one) == 16 else mapped + one for one in addresses)
    both = np.frombuffer(whole, ">u8").reshape(-1, 2).astype(np.uint64)
    return both[:, 0].copy(), both[:, 1].copy()


def _candidates(socket: NetlinkSocket, lists: Sequence[NDArray[np.void]]) -> Iterator[Entry]:
    """Yield entries that may match, each once: the kernel's filter for few addresses, else all."""
    if sum(map(len, lists)) > _FILTERED or _tracked(socket) <= _READ_WHOLE:
        yield from _dump(socket, codec.message(_GET, DUMP, family=0))
        return
    ranges = np.concatenate([empty_ranges(), *lists])
    single = (ranges["first_hi"] == ranges["last_hi"]) & (ranges["first_lo"] == ranges["last_lo"])
    if not single.all():
        yield from _dump(socket, codec.message(_GET, DUMP, family=0))
        return
    seen: set[bytes] = set()
    for hi, lo in zip(ranges["first_hi"].tolist(), ranges["first_lo"].tolist(), strict=True):
        address = (hi << 64 | lo).to_bytes(16, "big")
        if address[:12] == V4_PREFIX.to_bytes(16, "big")[:12]:
            address = address[12:]
        for request in _filtered(address):
            for entry in _dump(socket, request):
                if entry.which not in seen:
                    seen.add(entry.which)
                    yield entry


def _tracked(socket: NetlinkSocket) -> int:
    """Return how many connections are tracked."""
    answer = socket.ask(codec.message(_GET_STATS, codec.ACK, family=0))
    return codec.be32(codec.attributes(answer.body, 4).get(1)) if answer else _ENTRIES


def _filtered(address: bytes) -> Iterator[bytes]:
    """Yield dump requests for an address in each of the four places (CTA_FILTER, Linux 5.8)."""
    for tuple_attribute, flag_attribute in ((_CTA_TUPLE_ORIG, 1), (_CTA_TUPLE_REPLY, 2)):
        for end, flag in zip(
            _CTA_IP_BYTES[len(address)], (_CTA_FILTER_SOURCE, _CTA_FILTER_DESTINATION), strict=True
        ):
            ip = codec.nested(1, codec.attribute(end, address))
            flags = {1: 0, 2: 0} | {flag_attribute: flag}
            wanted = codec.nested(
                _CTA_FILTER, *(
                    codec.attribute(kind, value.to_bytes(4, codec.BYTE_ORDER))
                    for kind, value in flags.items()
                )
            )  # fmt: skip
            yield codec.message(
                _GET, DUMP, codec.nested(tuple_attribute, ip), wanted, family=_AF[len(address)]
            )


def _dump(socket: NetlinkSocket, request: bytes) -> Iterator[Entry]:
    for count, header in enumerate(socket.request(request)):
        if count >= _ENTRIES:
            raise failure(errno.E2BIG, f"more than {_ENTRIES} connections are tracked: none ended")
        entry = read_entry(header.body)
        if entry is not None:
            yield entry


def read_entry(body: memoryview) -> Entry | None:
    """Read an IPCTNL_MSG_CT_NEW (after nlmsghdr); None where it holds no IP addresses."""
    parts = codec.attributes(body, 4)
    original, reply = parts.get(_CTA_TUPLE_ORIG), parts.get(_CTA_TUPLE_REPLY)
    if original is None or reply is None:
        return None
    one, other = _addresses(original), _addresses(reply)
    if one is None or other is None:
        return None
    which = codec.attribute(_CTA_TUPLE_ORIG | codec.NESTED, bytes(original))
    for kind in (_CTA_ZONE, _CTA_ID):
        if kind in parts:
            which += codec.attribute(kind, bytes(parts[kind]))
    return Entry(body[0], (*one, *other), which)


def _addresses(tuple_: memoryview) -> tuple[bytes, bytes] | None:
    ip = codec.attributes(codec.attributes(tuple_).get(1, memoryview(b"")))
    for size, (source, destination) in _CTA_IP_BYTES.items():
        if source in ip and destination in ip:
            pair = bytes(ip[source]), bytes(ip[destination])
            return pair if len(pair[0]) == len(pair[1]) == size else None
    return None


def _delete(socket: NetlinkSocket, entry: Entry) -> bool:
    """Delete one entry; False where it ended meanwhile (CTA_ID tells it from a new one)."""
    asked = codec.message(_DELETE, ACK, entry.which, family=entry.family)
    try:
        socket.ask(asked)
    except FileNotFoundError:
        return False
    return True
