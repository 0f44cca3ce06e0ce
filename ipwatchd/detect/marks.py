"""Which sources a table may hold, in whole columns: most of a batch's are none of them.

To ask a table for each source of a batch costs more than all else that most sources get.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.batch import address_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Marks"]

_BITS: Final = 20
_SHIFT: Final = np.uint64(64 - _BITS)
_FULL: Final = 1 << _BITS - 3  # marks beyond which those of sources long gone are wiped
_LOW: Final = (1 << 64) - 1


class Marks:
    """A mark for each source (its address' hash); what was marked is never said to be absent."""

    def __init__(self) -> None:
        self._marks = np.zeros(1 << _BITS, np.bool_)
        self._count = 0

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Mark sources."""
        places = (hashes >> _SHIFT).astype(np.intp)
        self._count += int(np.count_nonzero(~self._marks[places]))
        self._marks[places] = True

    def may_hold(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which of these may have been marked."""
        found: NDArray[np.bool_] = self._marks[(hashes >> _SHIFT).astype(np.intp)]
        return found

    def wipe(self, table: Iterable[object]) -> None:
        """Once too many are marked, keep the marks of the table's own sources (address numbers)."""
        if self._count <= _FULL:
            return
        held = [source for source in table if isinstance(source, int)]
        self._marks[:] = False
        self._count = 0
        hi = np.array([source >> 64 for source in held], np.uint64)
        self.add(address_hash(hi, np.array([source & _LOW for source in held], np.uint64)))
        self._count = 0
