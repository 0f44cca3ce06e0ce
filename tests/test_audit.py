"""The audit log keeps every line and shows tampering."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from ipwatchd.audit import Audit

if TYPE_CHECKING:
    from pathlib import Path


async def _filled(path: Path) -> None:
    audit = await Audit.open(path)
    for number in range(5):
        await audit.write("maria", "show", f"10.0.0.{number}", now=100.0 + number)
    assert await audit.verify() == 0
    await audit.close()


async def test_lines_come_back_newest_first(tmp_path: Path) -> None:
    """What was written is there after a restart, in order."""
    await _filled(tmp_path)
    audit = await Audit.open(tmp_path)
    lines = await audit.lines(2)
    assert [(line.seq, line.actor, line.subject) for line in lines] == [
        (5, "maria", "10.0.0.4"),
        (4, "maria", "10.0.0.3"),
    ]
    await audit.close()


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ("UPDATE audit SET subject = '10.9.9.9' WHERE seq = 3", 3),
        ("UPDATE audit SET time = time + 1 WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 4", 4),
    ],
)
async def test_tampering_is_found(tmp_path: Path, change: str, bad: int) -> None:
    """The first line that was changed or taken out is named."""
    await _filled(tmp_path)
    with sqlite3.connect(tmp_path / "audit.db") as db:
        db.execute(change)
    db.close()
    audit = await Audit.open(tmp_path)
    assert await audit.verify() == bad
    await audit.close()
