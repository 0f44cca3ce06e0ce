"""Entries of one feed in columns: a million of them take tens of megabytes, not hundreds. Pure.

A Struct an entry costs some 600 bytes with its keys and texts; a row here costs 52 and the words
that only it says.
"""

from __future__ import annotations

import zlib
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import msgspec
import numpy as np

from ipwatchd.lists.compile import nanoseconds, network_ranges
from ipwatchd.records.address import address_text
from ipwatchd.records.entry import ListEntry
from ipwatchd.records.policy import RANGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from ipwatchd.lists.formats import Item

__all__ = ["Block", "DamagedError", "Step", "network_of", "patch", "step"]

_CHUNK: Final = 4096
"""Rows made at a time: what holds the interpreter's lock must be over in milliseconds."""
_KEYS: Final = ("last_lo", "last_hi", "first_lo", "first_hi")
_V4: Final = 0xFFFF_0000_0000


class DamagedError(ValueError):
    """Bytes that are no block."""


class _Body(msgspec.Struct, frozen=True, array_like=True):
    ranges: bytes
    created: bytes
    word: bytes
    words: tuple[str, ...]


class Block:
    """Rows sorted by address, each network once. Immutable.

    `ranges` (dtype RANGE, with the ends), `created` (epoch seconds), `word` (index into `words`,
    the reasons).
    """

    def __init__(
        self, ranges: NDArray[np.void], created: NDArray[np.float64], word: NDArray[np.uint32],
        words: tuple[str, ...],
    ) -> None:  # fmt: skip
        self.ranges = ranges
        self.created = created
        self.word = word
        self.words = words

    @classmethod
    def gather(cls, items: Iterable[Item], reason: str, now: float) -> Self:
        """Return items as a block; of a network that comes twice the later end counts."""
        known: dict[str, int] = {}
        parts, numbers = [np.zeros(0, RANGE)], [np.zeros(0, np.uint32)]
        source = iter(items)
        while chunk := [*islice(source, _CHUNK)]:
            ranges = network_ranges(item.network for item in chunk)
            ranges["expires"] = [nanoseconds(item.expires) for item in chunk]
            parts.append(ranges)
            said = [known.setdefault(item.reason or reason, len(known)) for item in chunk]
            numbers.append(np.array(said, np.uint32))
        ranges, word = np.concatenate(parts), np.concatenate(numbers)
        order = _order(ranges, latest_first=True)
        order = order[~_repeats(ranges[order])]
        created = np.full(len(order), now)
        return cls(ranges[order], created, word[order], (*known,))

    def __len__(self) -> int:
        return len(self.ranges)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Block:
        """Return the rows chosen."""
        return Block(self.ranges[chosen], self.created[chosen], self.word[chosen], self.words)

    def entry(self, row: int, source: str, list: str) -> ListEntry:  # noqa: A002 (the vocabulary's)
        """Return one row as an entry; it has no number of its own."""
        first_hi, first_lo, last_hi, last_lo, expires = self.ranges[row].tolist()
        return ListEntry(
            id=0, list=list, network=network_of(first_hi << 64 | first_lo, last_hi << 64 | last_lo),
            reason=self.words[self.word[row]], author=source, created=float(self.created[row]),
            expires=expires / 1e9, source=source,
        )  # fmt: skip

    def entries(
        self, source: str, list: str, begin: int = 0, many: int = -1  # noqa: A002 (the vocabulary's)
    ) -> Iterator[ListEntry]:  # fmt: skip
        """Yield rows as entries, from `begin` on, so many of them or all."""
        end = len(self) if many < 0 else min(begin + many, len(self))
        for row in range(begin, end):
            yield self.entry(row, source, list)

    def encode(self) -> bytes:
        """Return the block as bytes, with the words that are in use alone."""
        used, word = np.unique(self.word, return_inverse=True)
        body = _Body(
            self.ranges.tobytes(), self.created.tobytes(), word.astype(np.uint32).tobytes(),
            tuple(self.words[one] for one in used.tolist()),
        )  # fmt: skip
        return zlib.compress(msgspec.msgpack.encode(body), 1)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what `encode` gave; DamagedError where the bytes are not sound."""
        try:
            body = msgspec.msgpack.decode(zlib.decompress(data), type=_Body)
            block = cls(
                np.frombuffer(body.ranges, RANGE), np.frombuffer(body.created, np.float64),
                np.frombuffer(body.word, np.uint32), body.words,
            )  # fmt: skip
        except (zlib.error, msgspec.MsgspecError, ValueError) as error:
            raise DamagedError(f"a block of entries is damaged: {error}") from error
        if not len(block) == len(block.created) == len(block.word) or (
            len(block) and block.word.max() >= len(block.words)
        ):
            raise DamagedError("a block of entries is damaged: its columns differ in length")
        return block


class Step(NamedTuple):
    """What makes one block another. `block` is the new one, each row with when it first came.

    `put` are its rows that are new or say something else, `added` those that are new; `gone` are
    rows of the old one.
    """

    block: Block
    put: NDArray[np.bool_]
    added: NDArray[np.bool_]
    gone: NDArray[np.bool_]


def step(old: Block, new: Block) -> Step:
    """Return the difference; a network that stays keeps the time it came."""
    place = _places(old, new)
    stays = place >= 0
    kept = place[stays]
    created = new.created.copy()
    created[stays] = old.created[kept]
    other = np.zeros(len(new), np.bool_)
    other[stays] = (old.ranges["expires"][kept] != new.ranges["expires"][stays]) | ~_same_words(
        old, kept, new, np.flatnonzero(stays)
    )
    gone = np.ones(len(old), np.bool_)
    gone[kept] = False
    block = Block(new.ranges, created, new.word, new.words)
    return Step(block, ~stays | other, ~stays, gone)


def patch(old: Block, put: Block, gone: NDArray[np.intp]) -> Block:
    """Return `old` without the rows `gone`, with those of `put` in it or over it."""
    keep = np.ones(len(old), np.bool_)
    keep[gone] = False
    place = _places(old, put)
    keep[place[place >= 0]] = False
    ranges = np.concatenate([old.ranges[keep], put.ranges])
    order = _order(ranges)
    words = dict.fromkeys(old.words)
    number = {word: place for place, word in enumerate(dict.fromkeys([*words, *put.words]))}
    shift = np.array([number[word] for word in put.words] or [0], np.uint32)
    word = np.concatenate([old.word[keep], shift[put.word]])
    created = np.concatenate([old.created[keep], put.created])
    return Block(ranges[order], created[order], word[order], (*number,))


def network_of(first: int, last: int) -> str:
    """Return a network's canonical text from its ends: with its length, or first-last."""
    low, high = (address_text(end >> 64, end & (1 << 64) - 1) for end in (first, last))
    hosts = first ^ last
    width = 32 if first >> 32 == _V4 >> 32 else 128
    if hosts & hosts + 1 or first & hosts:
        return f"{low}-{high}"
    return f"{low}/{width - hosts.bit_length()}"


def _order(ranges: NDArray[np.void], *, latest_first: bool = False) -> NDArray[np.intp]:
    """Return the order by address; keys that are one value throughout are left out."""
    keys = [ranges[name] for name in _KEYS]
    if latest_first:
        ends = ranges["expires"]
        keys.insert(0, np.where(ends == 0, np.iinfo(np.int64).min, -ends))
    keys = [key for key in keys if len(key) and (key != key[0]).any()]
    return np.lexsort(keys) if keys else np.arange(len(ranges))


def _repeats(ranges: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which rows of sorted ranges are the same network as the row before."""
    same = np.zeros(len(ranges), np.bool_)
    if len(ranges):
        same[1:] = True
        for name in _KEYS:
            same[1:] &= ranges[name][1:] == ranges[name][:-1]
    return same


def _places(old: Block, new: Block) -> NDArray[np.intp]:
    """Return for each row of `new` the row of `old` with the same network, or -1."""
    both = np.concatenate([old.ranges, new.ranges])
    order = _order(both)  # stable: the old row stands before the new one
    again = np.flatnonzero(_repeats(both[order]))
    place = np.full(len(new), -1, np.intp)
    place[order[again] - len(old)] = order[again - 1]
    return place


def _same_words(
    old: Block, rows: NDArray[np.intp], new: Block, others: NDArray[np.intp]
) -> NDArray[np.bool_]:
    number = {word: place for place, word in enumerate(old.words)}
    meant = np.array([number.get(word, -1) for word in new.words] or [-1], np.int64)
    same: NDArray[np.bool_] = old.word[rows] == meant[new.word[others]]
    return same
