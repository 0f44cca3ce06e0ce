"""Feeds in columns: what they hold, how one becomes another, and what is written of that."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.lists import Lists, NoEntryError
from ipwatchd.lists.block import Block, DamagedError, network_of, patch, step
from ipwatchd.lists.formats import Item
from ipwatchd.records.address import address_array
from ipwatchd.sqlite import CorruptStoreError

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = st.one_of(
    st.integers(0, 300).map(lambda n: str(ipaddress.ip_network((0xCB007100 + n, 32)))),
    st.integers(0, 3).map(lambda n: str(ipaddress.ip_network((0xCB007100 + 64 * n, 26)))),
    st.integers(0, 9).map(lambda n: f"2001:db8::{n + 1:x}/128"),
    st.just("203.0.113.7-203.0.113.20"),
)
ITEMS = st.lists(
    st.builds(
        lambda network, reason, expires: Item(1, network, reason, expires),
        NETWORK, st.sampled_from(["", "scan", "spam", "ü"]), st.sampled_from([0.0, 50.0, 90.0]),
    ),
    max_size=30,
)  # fmt: skip


def rows(block: Block) -> dict[str, tuple[str, float, float]]:
    """Return network → reason, end, time it came."""
    return {
        one.network: (one.reason, one.expires, one.created)
        for one in block.entries("feed:x", "deny")
    }


def model(items: list[Item]) -> dict[str, float]:
    """Return network → latest end, by hand."""
    ends: dict[str, float] = {}
    for item in items:
        old = ends.get(item.network)
        later = old is None or (old != 0 and (item.expires == 0 or item.expires > old))
        ends[item.network] = item.expires if later else ends[item.network]
    return ends


@given(ITEMS, ITEMS)
@settings(max_examples=200, deadline=None)
def test_a_difference_makes_the_one_into_the_other(first: list[Item], second: list[Item]) -> None:
    """Old plus difference is new, whatever they are; what stays keeps the time it came."""
    old, new = Block.gather(first, "listed", 1.0), Block.gather(second, "listed", 2.0)
    assert {name: row[1] for name, row in rows(old).items()} == model(first)
    change = step(old, new)
    after = rows(change.block)
    assert {name: row[:2] for name, row in after.items()} == {
        name: row[:2] for name, row in rows(new).items()
    }
    assert all(row[2] == (1.0 if name in rows(old) else 2.0) for name, row in after.items())
    patched = patch(old, change.block.take(change.put), change.gone.nonzero()[0])
    assert rows(patched) == after
    assert (patched.ranges == change.block.ranges).all()
    assert rows(Block.decode(change.block.encode())) == after


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_network_is_written_as_the_standard_library_does(a: int, b: int, six: bool) -> None:
    """Where the ends are a network's it is named by its length, else by both ends."""
    low, high = min(a, b), max(a, b)
    base = 0x20010DB8 << 96 if six else 0xFFFF_0000_0000
    kind = ipaddress.IPv6Address if six else ipaddress.IPv4Address
    start = base if six else 0
    ends = kind(start + low), kind(start + high)
    whole = [*ipaddress.summarize_address_range(*ends)]  # type: ignore[type-var]
    wanted = str(whole[0]) if len(whole) == 1 else f"{ends[0]}-{ends[1]}"
    assert network_of(base + low, base + high) == wanted


@pytest.mark.parametrize("data", [b"", b"x", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_bytes_that_are_no_block_are_named(data: bytes) -> None:
    """A damaged file is a sentence, not a crash."""
    with pytest.raises(DamagedError, match="damaged"):
        Block.decode(data)


def feed(first: int, many: int, expires: float = 0.0) -> Block:
    """Return so many addresses as a feed has them."""
    items = (
        Item(1, f"198.{51 + (n >> 16)}.{n >> 8 & 255}.{n & 255}/32", "", expires)
        for n in range(first, first + many)
    )
    return Block.gather(items, "listed", 1.0)


async def _written(lists: Lists) -> list[tuple[int, int]]:
    """Return of each part whether it is whole, and its bytes."""
    async with lists._db.execute("SELECT whole, length(body) FROM blocks ORDER BY seq") as cursor:
        return [tuple(row) for row in await cursor.fetchall()]


async def test_only_the_difference_is_written(tmp_path: Path) -> None:
    """One in a hundred that differs costs hundredths; what adds up is written whole again."""
    lists = await Lists.open(tmp_path)
    done = await lists.replace_feed("feed:x", "deny", feed(0, 20_000), now=1.0)
    assert (done.added, done.removed, done.renewed) == (20_000, 0, 0)
    done = await lists.replace_feed("feed:x", "deny", feed(200, 20_000), now=2.0)
    assert (done.added, done.removed, done.renewed) == (200, 200, 0)
    [(whole, size), (part, less)] = await _written(lists)
    assert (whole, part) == (1, 0)
    assert less < size / 20
    kept = lists.entries(now=3.0)
    await lists.close()
    lists = await Lists.open(tmp_path)
    assert lists.entries(now=3.0) == kept
    assert {entry.created for entry in kept} == {1.0}
    await lists.replace_feed("feed:x", "deny", feed(15_000, 20_000), now=4.0)
    assert [whole for whole, _ in await _written(lists)] == [1]
    edits = await lists.changes(10)
    assert [(one.action, one.network, one.reason) for one in edits[:2]] == [
        ("add", "*", "14800 entries"), ("remove", "*", "14800 entries"),
    ]  # fmt: skip
    await lists.close()


async def test_a_feed_is_on_the_lists_as_any_entry_is(tmp_path: Path) -> None:
    """It denies, is named by why, can't be taken off by hand, ends in time, and changes lists."""
    lists = await Lists.open(tmp_path, management=["192.0.2.0/24"])
    await lists.replace_feed("feed:x", "deny", feed(0, 100), now=1.0)
    await lists.replace_feed("feed:y", "deny", feed(50, 100, expires=20.0), now=1.0)
    asked = address_array(["198.51.0.149", "198.51.0.99", "198.51.0.150"])
    assert lists.denied(asked["hi"], asked["lo"]).tolist() == [True, True, False]
    why = lists.why("198.51.0.99", 2.0)
    assert why.decided_by is not None
    assert (why.decided_by.source, len(why.also)) == ("feed:x", 1)
    with pytest.raises(NoEntryError, match="would bring it back"):
        await lists.remove("deny", "198.51.0.149", author="m", reason="x", now=3.0)
    assert lists.next_expiry() == 20.0
    assert len(await lists.expire(20.0)) == 0
    assert lists.denied(asked["hi"], asked["lo"]).tolist() == [False, True, False]
    assert (lists.size("feed:x"), lists.size("feed:y")) == (100, 0)
    await lists.replace_feed("feed:x", "allow", feed(0, 100), now=21.0)
    assert lists.why("198.51.0.99", 22.0).verdict == "allow"
    assert lists.counters()["entries"] == 100
    await lists.close()


_NOWHERE: Final = msgspec.msgpack.encode(
    [Block.gather((), "", 0.0).encode(), (10**6).to_bytes(8, "little")]
)
"""A difference that takes away a row that there is none of."""


_SPOILED: Final = "UPDATE blocks SET body = ? WHERE NOT whole"


@pytest.mark.parametrize(
    ("damage", "values"),
    [("UPDATE blocks SET body = x'00'", ()), ("DELETE FROM blocks WHERE whole", ()),
     (_SPOILED, (b"\0",)), (_SPOILED, (_NOWHERE,)), (_SPOILED, (_NOWHERE[:-1],))],
    ids=["all", "without", "difference", "nowhere", "short"],
)  # fmt: skip
async def test_a_damaged_feed_is_named_with_its_file(
    tmp_path: Path, damage: str, values: tuple[bytes, ...]
) -> None:
    """The daemon does not start on half a feed."""
    lists = await Lists.open(tmp_path)
    await lists.replace_feed("feed:x", "deny", feed(0, 100), now=1.0)
    await lists.replace_feed("feed:x", "deny", feed(0, 101), now=2.0)
    assert [whole for whole, _ in await _written(lists)] == [1, 0]
    await lists._db.execute(damage, values)
    await lists._db.commit()
    await lists.close()
    with pytest.raises(CorruptStoreError, match=r"lists\.db is damaged"):
        await Lists.open(tmp_path)
