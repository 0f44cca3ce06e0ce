"""The exports that are being read: few, each its owner's, let go where nobody reads on."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from ipwatchd.control.call import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ipwatchd.history.pseudonym import Pseudonyms
    from ipwatchd.history.streams import Batch

__all__ = ["Exports", "OpenExport"]

# An open export holds a connection and a snapshot of the database: one that nobody reads any more
# must not keep the log from being written back.
MOST: Final = 4
EACH: Final = 2
"""Of one user: nobody takes every place from the others."""
IDLE_SECONDS: Final = 60.0


class OpenExport:
    """One export that is being read. Whoever is called from here on is its owner alone."""

    def __init__(self, owner: str, batches: AsyncIterator[Batch], names: Pseudonyms | None) -> None:
        self.owner = owner
        self.batches = batches
        self.names = names
        self.busy = asyncio.Lock()
        self._clock = asyncio.get_running_loop().time
        self._touched = self._clock()

    def touch(self) -> None:
        """Somebody reads it."""
        self._touched = self._clock()

    def idle(self) -> bool:
        """Tell whether nobody has read it for long."""
        return not self.busy.locked() and self._clock() - self._touched >= IDLE_SECONDS

    async def close(self) -> None:
        """Stop the query."""
        async with self.busy:
            await self.batches.aclose()  # type: ignore[attr-defined]  # it is a generator


class Exports:
    """The exports that are open, few."""

    def __init__(self) -> None:
        self._open: dict[str, OpenExport] = {}

    async def begin(self, export: OpenExport) -> str:
        """Take an export up; UnavailableError where too many are being read."""
        for name, other in list(self._open.items()):
            if other.idle():
                await self.end(name, other.owner)
        if len(self._open) >= MOST:
            raise UnavailableError(f"{MOST} exports are being read already: wait for one to end")
        if sum(one.owner == export.owner for one in self._open.values()) >= EACH:
            raise UnavailableError(f"{EACH} exports of yours are being read: wait for one to end")
        name = secrets.token_hex(8)
        self._open[name] = export
        return name

    def of(self, name: str, owner: str) -> OpenExport:
        """Return an open export of this owner, NotFoundError where there is none."""
        export = self._open.get(name)
        if export is None or export.owner != owner:
            raise NotFoundError("this export has ended: begin it again")
        return export

    async def end(self, name: str, owner: str) -> None:
        """Stop an export."""
        export = self.of(name, owner)
        del self._open[name]
        await export.close()

    async def close(self) -> None:
        """Stop them all."""
        for name, export in list(self._open.items()):
            await self.end(name, export.owner)
