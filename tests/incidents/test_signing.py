"""A changed byte anywhere in the log is found, and who has not the key can't mend the chain."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents import verify as verify_module
from ipwatchd.incidents.chain import START, after, link
from ipwatchd.incidents.signing import (
    PRIVATE,
    PUBLIC,
    Signer,
    fingerprint,
    is_signed,
    load_public,
)
from ipwatchd.incidents.store import FILE, Incidents
from ipwatchd.incidents.verify import verify_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ipwatchd.records.finding import Finding

    Open = Callable[..., AbstractAsyncContextManager[Incidents]]

COLUMNS = ("seq", "time", "incident", "actor", "kind", "body", "previous", "hash", "signature")
EVENTS = 12


@pytest.fixture
async def log(opened: Open, finding: Callable[..., Finding], tmp_path: Path) -> Path:
    """Return the file of a log of EVENTS events, its triggers out of the way."""
    async with opened() as incidents:
        first = await incidents.finding(finding(), 1000.0)
        assert first is not None
        for number in range(1, EVENTS):
            await incidents.act(
                first.id, "note", actor="ben", reason=f"nóte {number}", now=1000.0 + number
            )
    path = tmp_path / FILE
    with sqlite3.connect(path) as db:
        db.executescript("DROP TRIGGER events_stay; DROP TRIGGER events_are_kept")
    db.close()
    return path


def verdict(path: Path) -> tuple[int | None, str]:
    """Return the first bad event and why."""
    found = verify_file(path, "manila", load_public(path.parent))
    return found.first_bad_seq, found.why


def changed(value: Any, rng: random.Random) -> Any:
    """Return a value with one byte or digit changed."""
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, bytes):
        place = rng.randrange(len(value))
        return value[:place] + bytes([value[place] ^ 1 << rng.randrange(8)]) + value[place + 1 :]
    place = rng.randrange(len(value))
    letter = chr(ord(value[place]) ^ 1 << rng.randrange(5))
    return value[:place] + letter + value[place + 1 :]


async def test_a_changed_byte_anywhere_is_found_and_named(log: Path) -> None:
    """200 times one byte of one field of one event: found each time, named with its seq."""
    assert verdict(log) == (None, "")
    rng = random.Random(11)
    whole = await asyncio.to_thread(log.read_bytes)
    for _ in range(200):
        seq, column = rng.randrange(1, EVENTS + 1), rng.choice(COLUMNS)
        db = sqlite3.connect(log)
        row = db.execute(f"SELECT {column} FROM events WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 - names of ours
        new = EVENTS + seq + 5 if column == "seq" else changed(row[0], rng)
        db.execute(f"UPDATE events SET {column} = ? WHERE seq = ?", (new, seq))  # noqa: S608
        db.commit()
        db.close()
        bad, why = await asyncio.to_thread(verdict, log)
        assert why
        assert bad == seq, (column, row[0], new)
        await asyncio.to_thread(log.write_bytes, whole)


async def test_an_event_less_or_one_too_many_is_found(log: Path) -> None:
    """What is cut out of the middle, or put in without the key, is named."""
    whole = await asyncio.to_thread(log.read_bytes)
    db = sqlite3.connect(log)
    db.execute("DELETE FROM events WHERE seq = 5")
    db.commit()
    db.close()
    assert verdict(log) == (5, "event 5 is missing: 6 follows 4")
    await asyncio.to_thread(log.write_bytes, whole)
    db = sqlite3.connect(log)
    db.execute("INSERT INTO events SELECT 13, time, "
               "incident, actor, kind, body, previous, hash, '' "
               "FROM events WHERE seq = 12")  # fmt: skip
    db.commit()
    db.close()
    assert verdict(log)[0] == 13


@pytest.mark.parametrize("signed", [True, False])
async def test_who_has_not_the_key_cannot_write_history_anew(
    log: Path, tmp_path_factory: pytest.TempPathFactory, *, signed: bool
) -> None:
    """Every hash made right again from event 7 on: the signatures give it away, 7 is named."""
    thieves = tmp_path_factory.mktemp("thief")
    thief = Signer.open(thieves, 0)
    db = sqlite3.connect(log)
    db.row_factory = sqlite3.Row
    from ipwatchd.incidents.log import event_of

    events = [event_of("manila", row) for row in db.execute("SELECT * FROM events ORDER BY seq")]
    head = START
    for event in events:
        if event.seq >= 7:
            event = link(  # noqa: PLW2901 - the forged one
                "manila", head, time=event.time, incident=event.incident, actor="mallory",
                kind=event.kind, body=event.body, sign=thief.sign if signed else None,
            )  # fmt: skip
            db.execute(
                "UPDATE events SET actor = 'mallory', previous = ?, hash = ?, signature = ? "
                "WHERE seq = ?",
                (event.previous, event.hash, event.signature, event.seq),
            )
        head = after(event)
    db.commit()
    db.close()
    bad, why = verdict(log)
    assert bad == 7
    assert "sign" in why


async def test_the_key_is_made_once_and_for_its_owner_alone(opened: Open, tmp_path: Path) -> None:
    """0600 from the first moment, the same after a restart, known by its fingerprint."""
    async with opened() as incidents:
        first = incidents.public_key
    mode = (tmp_path / PRIVATE).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    async with opened() as incidents:
        assert incidents.public_key == first
    assert len(first) == 64
    assert first not in (tmp_path / PRIVATE).read_text()
    assert len(fingerprint(first)) == 39


async def test_a_log_older_than_its_key_stays_valid(
    opened: Open, finding: Callable[..., Finding], tmp_path: Path
) -> None:
    """Events from before the key are taken unsigned, those after it are not."""
    async with opened() as incidents:
        await incidents.finding(finding(), 1000.0)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.executescript("DROP TRIGGER events_stay; UPDATE events SET signature = ''")
    db.close()
    for name in (PRIVATE, PUBLIC):
        (tmp_path / name).unlink()
    async with opened() as incidents:
        public = load_public(tmp_path)
        assert public is not None
        assert public.since == 2
        await incidents.finding(finding("203.0.113.9"), 1001.0)
        assert (await incidents.verify()).first_bad_seq is None
        (event,) = await incidents.after(1)
    assert is_signed(public.key, event.hash, event.signature)
    assert not is_signed(public.key, event.hash, "00" * 64)
    assert not is_signed("zz", event.hash, event.signature)


async def test_a_lost_key_is_said(tmp_path: Path) -> None:
    """A damaged key stops the start with the file's name and the mend; nothing is signed anew."""
    (tmp_path / PRIVATE).write_text("not a key")
    with pytest.raises(OSError, match=r"site.key holds no key"):
        await Incidents.open(tmp_path, "manila", IncidentSettings())


async def test_a_long_log_is_followed_in_pieces_with_the_same_answer(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several processes find a log whole, or the very event that one alone finds."""
    monkeypatch.setattr(verify_module, "ALONE", 5)
    assert (await asyncio.to_thread(verdict, log)) == (None, "")
    whole = await asyncio.to_thread(log.read_bytes)
    for seq in (1, 3, 4, 6, 7, 9, 12):
        db = sqlite3.connect(log)
        db.execute("UPDATE events SET signature = replace(signature, '1', '2'), "
                   "hash = replace(hash, 'a', 'b') WHERE seq = ?", (seq,))  # fmt: skip
        db.commit()
        db.close()
        assert (await asyncio.to_thread(verdict, log))[0] == seq
        await asyncio.to_thread(log.write_bytes, whole)
