"""What the kernel holds of our table, read back over netlink: generation, structure, elements."""

from __future__ import annotations

import errno
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.firewall import codec
from ipwatchd.firewall.codec import ACK, DUMP, Nft
from ipwatchd.firewall.elements import keys_message, read_elements
from ipwatchd.firewall.layout import range_of_keys
from ipwatchd.firewall.rules import GATE, PAUSE
from ipwatchd.firewall.transport import failure
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.policy import RANGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ipwatchd.firewall.layout import SetSpec
    from ipwatchd.firewall.transport import NetlinkSocket

__all__ = ["Counter", "Hits", "KernelTable", "SetState", "Structure", "read_flowtables"]

_KEYS: Final = 512
"""Keys of one look-up message; the answers to it must fit into the receive buffer."""
_OBJECT_COUNTER: Final = 1
_HW_OFFLOAD: Final = 1


class SetState(NamedTuple):
    """A set's handle, flags and count; -1 where the kernel tells no count (before Linux 6.16)."""

    handle: int
    flags: int
    elements: int


class Counter(NamedTuple):
    """What a named counter has seen."""

    packets: int
    bytes: int


class Hits(NamedTuple):
    """What an element (list, first and last address as a number) has met since it was put down."""

    list: str
    first: int
    last: int
    packets: int
    bytes: int


class Structure(NamedTuple):
    """All of the table but elements. A handle is new with every object, a changed rule's too."""

    table: tuple[int, int]
    chains: tuple[tuple[str, int, bytes], ...]
    rules: tuple[tuple[str, int], ...]
    sets: tuple[tuple[str, int, int], ...]


class KernelTable:
    """Reads one inet table by name. Raises OSError with a sentence where the kernel refuses."""

    def __init__(self, socket: NetlinkSocket, name: str) -> None:
        self._socket = socket
        self._name = name

    def generation(self) -> int:
        """Return the number of commits of this namespace's rules so far (NFT_MSG_GETGEN)."""
        answer = self._socket.ask(codec.message(Nft.GETGEN, ACK, family=0))
        if answer is None:
            raise failure(errno.EIO, "the kernel did not tell the generation of its rules")
        return codec.be32(codec.attributes(answer.body, 4).get(1))

    def table(self) -> tuple[int, int] | None:
        """Return the table's (handle, flags), None where there is none."""
        asked = codec.message(Nft.GETTABLE, ACK, codec.text(1, self._name))
        try:
            answer = self._socket.ask(asked)
        except FileNotFoundError:
            return None
        if answer is None:
            return None
        found = codec.attributes(answer.body, 4)
        return codec.be64(found.get(4)), codec.be32(found.get(2))

    def structure(self) -> Structure | None:
        """Return what there is of our table, None where there is none."""
        table = self.table()
        if table is None:
            return None
        sets = tuple((name, one.handle, one.flags) for name, one in self.sets().items())
        return Structure(table, self._chains(), self._rules(), sets)

    def _dump(self, kind: int, *more: bytes) -> list[dict[int, memoryview]]:
        """Return the attributes of every object of a kind that is in our table."""
        asked = codec.message(kind, DUMP, codec.text(1, self._name), *more)
        try:
            found = [codec.attributes(answer.body, 4) for answer in self._socket.request(asked)]
        except FileNotFoundError:
            return []
        name = memoryview(self._name.encode() + b"\0")
        return [one for one in found if one.get(1) == name]

    def _chains(self) -> tuple[tuple[str, int, bytes], ...]:
        """Return chains as (name, handle, hook and policy as they are encoded)."""
        return tuple(
            (
                codec.string(one[3]),
                codec.be64(one.get(2)),
                bytes(one.get(4, b"")) + bytes(one.get(5, b"")),
            )
            for one in self._dump(Nft.GETCHAIN)
            if 3 in one
        )

    def _rules(self) -> tuple[tuple[str, int], ...]:
        return tuple(
            (codec.string(one[2]), codec.be64(one.get(3)))
            for one in self._dump(Nft.GETRULE)
            if 2 in one
        )

    def sets(self) -> dict[str, SetState]:
        """Return our table's sets by name."""
        return {
            codec.string(one[2]): SetState(
                codec.be64(one.get(16)),
                codec.be32(one.get(3)),
                codec.be32(one[20]) if 20 in one else -1,
            )
            for one in self._dump(Nft.GETSET)
            if 2 in one
        }

    def counters(self) -> dict[str, Counter]:
        """Return our table's named counters."""
        found: dict[str, Counter] = {}
        for one in self._dump(Nft.GETOBJ, codec.u32(3, _OBJECT_COUNTER)):
            if 2 in one and 4 in one:
                data = codec.attributes(one[4])
                found[codec.string(one[2])] = Counter(
                    codec.be64(data.get(2)), codec.be64(data.get(1))
                )
        return found

    def flowtables(self) -> tuple[str, ...]:
        """Return everybody's flowtables in use: connections in one by-pass every rule."""
        asked = codec.message(Nft.GETFLOWTABLE, DUMP, family=0)
        try:
            return read_flowtables(answer.body for answer in self._socket.request(asked))
        except OSError:
            return ()  # a kernel without flowtables

    def mode(self) -> str:
        """Return what the kernel does: off (no table), enforce (the gate is open) or observe."""
        try:
            enforcing = len(read_elements(self._elements(GATE), 1).keys)
            paused = enforcing and len(read_elements(self._elements(PAUSE), 1).keys)
        except FileNotFoundError:
            return "off"
        return "enforce" if enforcing and not paused else "observe"

    def _elements(self, name: str) -> list[memoryview]:
        """Return the messages of a dump of a set."""
        asked = codec.message(Nft.GETSETELEM, DUMP, codec.text(1, self._name), codec.text(2, name))
        return [answer.body for answer in self._socket.request(asked)]

    def present(self, spec: SetSpec, keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which of these first keys (shape (n, key)) a set holds, by keyed look-ups.

        The kernel answers a message of keys one by one, up to the first that is not there.
        """
        there = np.ones(len(keys), np.bool_)
        place, many = 0, _KEYS
        while place < len(keys):
            part = keys[place : place + many]
            bodies: list[memoryview] = []
            asked = keys_message(self._name, spec.name, part)
            try:
                # What came before the refusal stays in the list.
                bodies.extend(answer.body for answer in self._socket.request(asked))
            except FileNotFoundError:
                place_of_missing = place + len(bodies)
            else:
                place_of_missing = place + len(part)
            found = read_elements(bodies, spec.key).keys
            # An interval set answers with the interval that holds the key: it must start there.
            there[place : place + len(found)] = (found == part[: len(found)]).all(axis=1)
            missed = place_of_missing < place + len(part)
            if missed:
                there[place_of_missing] = False
            place = place_of_missing + missed
            many = 1 if missed else min(many * 2, _KEYS)
        return there

    def ranges(self, spec: SetSpec, now: float) -> NDArray[np.void]:
        """Return what a set holds, by a dump, dtype RANGE, sorted; expires from the time left.

        The dump of a hash set that is just being resized can leave elements out (the kernel walks
        it anew for every datagram): ask `present` before saying that one is missing.
        """
        try:
            bodies = self._elements(spec.name)
        except FileNotFoundError:
            return np.zeros(0, RANGE)
        keys, ends, left, _ = read_elements(bodies, spec.key)
        ranges = range_of_keys(keys, keys, spec.family, spec.length)
        ranges["expires"] = np.where(left < 0, 0, int(now * 1e9) + left * 1_000_000)
        # At one address an interval ends before the next begins.
        order = np.lexsort((~ends, ranges["first_lo"], ranges["first_hi"]))
        found = ranges[order]
        return _paired(found, ends[order], spec.family) if spec.interval else _once(found)

    def hits(self, spec: SetSpec) -> list[Hits]:
        """Return what each element of a set with counters has met, by a dump."""
        try:
            found = read_elements(self._elements(spec.name), spec.key)
        except FileNotFoundError:
            return []
        starts = range_of_keys(found.keys, found.keys, spec.family)
        numbers = [
            hi << 64 | lo
            for hi, lo in zip(starts["first_hi"].tolist(), starts["first_lo"].tolist(), strict=True)
        ]
        if not spec.interval:
            return [
                Hits(spec.list, one, one, packets, octets)
                for one, (octets, packets) in zip(numbers, found.met.tolist(), strict=True)
            ]
        rows = sorted(zip(numbers, (~found.ends).tolist(), found.met.tolist(), strict=True))
        top = [(_top(spec.family) + 1, False, [0, 0])]
        return [
            Hits(spec.list, start, after - 1, packets, octets)
            for (start, begins, (octets, packets)), (after, _, _) in pairwise([*rows, *top])
            if begins
        ]


def read_flowtables(bodies: Iterable[memoryview]) -> tuple[str, ...]:
    """Return the flowtables that a rule fills as TABLE NAME, out of NFT_MSG_NEWFLOWTABLE bodies.

    One that a network card works off (NFT_FLOWTABLE_HW_OFFLOAD) is named as such.
    """
    found = (codec.attributes(body, 4) for body in bodies)
    return tuple(
        f"{codec.string(one[1])} {codec.string(one[2])}"
        + (" (in the network card)" if codec.be32(one.get(7)) & _HW_OFFLOAD else "")
        for one in found
        if 1 in one and 2 in one and codec.be32(one.get(4))
    )


def _top(family: int) -> int:
    """Return the highest address of a family as it is in a range."""
    return V4_PREFIX | 0xFFFF_FFFF if family == 4 else (1 << 128) - 1


def _paired(ranges: NDArray[np.void], ends: NDArray[np.bool_], family: int) -> NDArray[np.void]:
    """Return intervals of start and end elements; a start without an end goes up to the next."""
    starts = np.flatnonzero(~ends)
    found = ranges[starts]
    top = range_of_keys(*(np.full((1, 4 if family == 4 else 16), 0xFF, np.uint8),) * 2, family)
    follows = np.concatenate([ranges[1:], top])[starts]
    last = starts == len(ranges) - 1
    found["last_lo"] = follows["first_lo"] - ~last
    found["last_hi"] = follows["first_hi"] - (~last & (follows["first_lo"] == 0))
    return found


def _once(ranges: NDArray[np.void]) -> NDArray[np.void]:
    """Return sorted single addresses without those that a dump told twice."""
    first = np.ones(len(ranges), np.bool_)
    first[1:] = (ranges["first_lo"][1:] != ranges["first_lo"][:-1]) | (
        ranges["first_hi"][1:] != ranges["first_hi"][:-1]
    )
    once: NDArray[np.void] = ranges[first]
    return once
