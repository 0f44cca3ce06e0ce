"""A history in a folder of its own, opened as often as a test wants."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ipwatchd.history import History
from tests.history.made import SMALL, T0, ZONES, locate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ipwatchd.config import HistorySettings
    from tests.history.made import Open


@pytest.fixture
def open_history(tmp_path: Path) -> Open:
    """Open the history of one folder."""

    @asynccontextmanager
    async def opened(
        settings: HistorySettings = SMALL, *, now: float = T0 + 60, read_only: bool = False
    ) -> AsyncIterator[History]:
        history = await History.open(
            tmp_path, "manila", settings, locate=locate, zones=ZONES, read_only=read_only
        )
        try:
            yield history
        finally:
            await history.close(now)

    return opened
