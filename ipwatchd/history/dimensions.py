"""Numbers instead of words in the big tables: of addresses, and of what traffic was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import aiosqlite

__all__ = ["Dimensions", "Traffic"]

Traffic = tuple[str, str, str]
"""Direction, the peer's zone, service."""

# 150 bytes each; an attacker who uses a new source each packet has all of them forgotten, and what
# is asked again is looked up again.
MAX_KNOWN: Final = 262_144
_AT_ONCE: Final = 5_000

_NEW: Final = """
INSERT INTO address (id, address, zone, first_seen, last_seen, flows, packets, bytes)
VALUES (?, ?, '', ?, ?, 0, 0, 0)
"""


class Dimensions:
    """Looks numbers up and hands new ones out. What a transaction made counts once it is kept."""

    def __init__(self) -> None:
        self._addresses: dict[bytes, int] = {}
        self._traffic: dict[Traffic, int] = {}
        self._new_addresses: dict[bytes, int] = {}
        self._new_traffic: dict[Traffic, int] = {}

    def keep(self) -> None:
        """Remember what the transaction that was committed made."""
        if len(self._addresses) > MAX_KNOWN:
            self._addresses.clear()
        self._addresses |= self._new_addresses
        self._traffic |= self._new_traffic
        self.drop()

    def drop(self) -> None:
        """Forget what a transaction made that was rolled back."""
        self._new_addresses, self._new_traffic = {}, {}

    def forget(self) -> None:
        """Look addresses up again: rows of theirs were deleted."""
        self._addresses.clear()

    async def addresses(
        self, db: aiosqlite.Connection, keys: Sequence[bytes], first: float, last: float
    ) -> list[int]:
        """Return the numbers of addresses (16 bytes each); new ones get a row with these times."""
        found = list(map(self._addresses.get, keys))
        unknown = {key for key, number in zip(keys, found, strict=True) if number is None}
        unknown -= self._new_addresses.keys()
        if unknown:
            await self._look_up(db, sorted(unknown))
            if fresh := sorted(unknown - self._new_addresses.keys()):
                await self._make(db, fresh, first, last)
        new = self._new_addresses
        return [
            new[key] if number is None else number for key, number in zip(keys, found, strict=True)
        ]

    async def _look_up(self, db: aiosqlite.Connection, keys: Sequence[bytes]) -> None:
        for at in range(0, len(keys), _AT_ONCE):
            some = keys[at : at + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            sql = f"SELECT address, id FROM address WHERE address IN ({marks})"  # noqa: S608 - question marks
            async with db.execute(sql, some) as rows:
                self._new_addresses |= {row[0]: row[1] for row in await rows.fetchall()}

    async def _make(
        self, db: aiosqlite.Connection, keys: Sequence[bytes], first: float, last: float
    ) -> None:
        async with db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'address'") as rows:
            row = await rows.fetchone()
        following = int(row[0]) + 1 if row else 1
        made = dict(zip(keys, range(following, following + len(keys)), strict=True))
        await db.executemany(_NEW, [(number, key, first, last) for key, number in made.items()])
        self._new_addresses |= made

    async def traffic(
        self, db: aiosqlite.Connection, kinds: Iterable[Traffic]
    ) -> dict[Traffic, int]:
        """Return the numbers of kinds of traffic; new ones get a row."""
        kinds = set(kinds)
        for kind in sorted(kinds - self._traffic.keys() - self._new_traffic.keys()):
            await db.execute(
                "INSERT OR IGNORE INTO traffic (direction, zone, service) VALUES (?, ?, ?)", kind
            )
            async with db.execute(
                "SELECT id FROM traffic WHERE direction = ? AND zone = ? AND service = ?", kind
            ) as rows:
                (row,) = await rows.fetchall()
            self._new_traffic[kind] = int(row[0])
        return {**self._traffic, **self._new_traffic}
