"""The exports that are open: few, and no user has them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipwatchd.control.call import UnavailableError
from ipwatchd.control.open_exports import EACH, MOST, Exports, OpenExport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ipwatchd.history.streams import Batch


async def _nothing() -> AsyncIterator[Batch]:
    for batch in ():
        yield batch


async def test_no_user_takes_every_place() -> None:
    """Who has some may not have more while another may; a place is free again at the end."""
    exports = Exports()
    names = [await exports.begin(OpenExport("ana", _nothing(), None)) for _ in range(EACH)]
    with pytest.raises(UnavailableError, match="of yours"):
        await exports.begin(OpenExport("ana", _nothing(), None))
    for number in range(MOST - EACH):
        await exports.begin(OpenExport(f"user {number}", _nothing(), None))
    with pytest.raises(UnavailableError, match="already"):
        await exports.begin(OpenExport("ben", _nothing(), None))
    await exports.end(names[0], "ana")
    await exports.begin(OpenExport("ana", _nothing(), None))
    await exports.close()
