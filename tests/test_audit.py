"""The audit log keeps every line and shows tampering."""

from __future__ import annotations

import asyncio
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
    assert (await audit.verify())[1:3] == (0, 0)
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


async def test_many_look_at_the_same_time(tmp_path: Path) -> None:
    """Everybody's look is a line of the chain; nobody is refused because somebody else looks."""
    audit = await Audit.open(tmp_path)
    await asyncio.gather(
        *(audit.write(f"user{n % 4}", "show", f"lab-{n}", now=100.0 + n) for n in range(40)),
        *(audit.look(f"user{n % 4}", "list", f"page {n}", now=100.0 + n) for n in range(40)),
    )
    assert await audit.verify() == (80, 0, 0, (tmp_path / "audit.head").read_text().strip())
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
    assert (await audit.verify()).broken == bad
    await audit.close()


async def test_a_cut_tail_is_found(tmp_path: Path) -> None:
    """The newest lines, taken out, are missed by audit.head, or by a head that somebody noted."""
    await _filled(tmp_path)
    audit = await Audit.open(tmp_path)
    noted = (await audit.verify()).head
    await audit.close()
    with sqlite3.connect(tmp_path / "audit.db") as db:
        db.execute("DELETE FROM audit WHERE seq > 3")
    db.close()
    audit = await Audit.open(tmp_path)
    assert (await audit.verify())[:3] == (3, 0, 2)
    (tmp_path / "audit.head").unlink()
    assert (await audit.verify()).missing == 0  # both gone: only what was noted elsewhere tells
    assert (await audit.verify(noted)).missing == 2
    # Lines written in their place do not bring the chain to the same end.
    for number in range(2):
        await audit.write("maria", "show", f"10.9.9.{number}", now=200.0)
    assert (await audit.verify(noted)).broken == 5
    with pytest.raises(ValueError, match="no head of an audit log"):
        await audit.verify("nonsense")
    await audit.close()


@pytest.mark.parametrize("text", ["xx", "5:ü", "5:short"])
async def test_a_head_that_was_changed_is_named(tmp_path: Path, text: str) -> None:
    """Another hand wrote audit.head: the answer says so, which file, and what to do."""
    await _filled(tmp_path)
    (tmp_path / "audit.head").write_text(text, encoding="utf-8")
    audit = await Audit.open(tmp_path)
    with pytest.raises(ValueError, match=r"audit\.head was changed by another hand.* --head"):
        await audit.verify()
    await audit.close()


async def test_a_screen_that_polls_is_one_look(tmp_path: Path) -> None:
    """The same look in ten minutes is one line; another person, question or hour is another."""
    audit = await Audit.open(tmp_path)
    for now, actor, subject in (
        (0.0, "ana", "1h"), (1.0, "ana", "1h"), (599.0, "ana", "1h"), (600.0, "ana", "1h"),
        (601.0, "ben", "1h"), (602.0, "ana", "7d"), (300.0, "ana", "1h"),
    ):  # fmt: skip
        await audit.look(actor, "top", subject, now=now)
    lines = [(line.time, line.actor, line.subject) for line in reversed(await audit.lines(10))]
    assert lines == [
        (0.0, "ana", "1h"), (600.0, "ana", "1h"), (601.0, "ben", "1h"), (602.0, "ana", "7d"),
        (300.0, "ana", "1h"),
    ]  # fmt: skip
    await audit.close()
