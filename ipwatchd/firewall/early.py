"""Denies in the kernel before their entry is on the disk: for a minute, then it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.firewall.layout import LIVE, columns, of_family
from ipwatchd.firewall.rules import set_change
from ipwatchd.records.policy import empty_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.firewall.kernel import KernelTable

__all__ = ["Early"]

Message = bytes | memoryview

_SECONDS: Final = 60.0
"""So long one stands without an entry: a crash between the two leaves no more."""
_MOST: Final = 1000
"""At a time: a storm of findings must not fill the set with what no list knows."""
_SPECS: Final = tuple(spec for spec in LIVE if spec.list == "deny" and spec.single)


class Early:
    """Single addresses in the live deny sets that no list holds yet."""

    def __init__(self, table: str) -> None:
        """Begin with none, for a table by name."""
        self._table = table
        self._rows = empty_ranges()

    def __len__(self) -> int:
        return len(self._rows)

    def forget(self) -> None:
        """Take note that they are gone from the kernel, or an entry's."""
        self._rows = empty_ranges()

    def added(self, kernel: KernelTable, rows: NDArray[np.void], now: float) -> list[Message]:
        """Take some more; return the messages that put all of them down, from now on."""
        parts = self.gone(kernel, now)
        both = np.concatenate([rows, self._rows])
        both["expires"][: len(rows)] = int((now + _SECONDS) * 1e9)
        _, once = np.unique(both[["first_hi", "first_lo"]], return_index=True)
        self._rows = both[np.sort(once)][:_MOST]
        for spec in _SPECS:
            parts += set_change(self._table, spec, of_family(self._rows, spec.family), now)
        return parts

    def dropped(self, kernel: KernelTable, rows: NDArray[np.void], now: float) -> list[Message]:
        """Let go of some; return the messages that take them out."""
        names = ["first_hi", "first_lo"]
        mine = np.isin(self._rows[names], rows[names])
        parts = self._out(kernel, self._rows[mine], now)
        self._rows = self._rows[~mine]
        return parts

    def gone(self, kernel: KernelTable, now: float) -> list[Message]:
        """Return the messages that take out those that have not ended by themselves."""
        return self._out(kernel, self._rows, now)

    def _out(self, kernel: KernelTable, early: NDArray[np.void], now: float) -> list[Message]:
        parts: list[Message] = []
        for spec in _SPECS if len(early) else ():
            rows = of_family(early, spec.family)
            if len(rows):
                there = kernel.present(spec, columns(rows, spec.family, now).first)
                parts += set_change(self._table, spec, rows[there], now, delete=True)
        return parts
