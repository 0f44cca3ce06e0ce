"""What hangs on the log is held against it: incidents as they stand, mails, attachments, keys."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipwatchd.incidents.bodies import Collected
from ipwatchd.incidents.keep import Keep
from ipwatchd.incidents.signing import PUBLIC, Signer, is_signed, load_public
from ipwatchd.incidents.store import FILE, Incidents
from ipwatchd.incidents.verify import _all_hold, verify_file
from ipwatchd.incidents.whole import EVIDENCE, REPORTS, Whole, check_whole, whole_of
from ipwatchd.records.incident import Attachment, Exhibit, Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from ipwatchd.records.finding import Finding

    Open = Callable[..., AbstractAsyncContextManager[Incidents]]

BYTES = 1 << 20


@pytest.fixture
async def state(opened: Open, finding: Callable[..., Finding], tmp_path: Path) -> Path:
    """Return a state folder: a report by mail with an attachment, a finding with evidence."""
    reports, evidence = Keep(tmp_path / REPORTS, BYTES), Keep(tmp_path / EVIDENCE, BYTES)
    mail = reports.put(b"Subject: a laptop\n\nIt is gone.", ".eml")
    photo = reports.put(b"the desk")
    flows = evidence.put(b'{"flows": []}', ".json")
    report = Report(
        id="mail-1", received=1000.0, channel="e-mail", reporter="jose", text="It is gone.",
        original=mail, attachments=(Attachment(name="desk.jpg", sha256=photo, bytes=8),),
    )  # fmt: skip
    async with opened() as incidents:
        await incidents.report(report, 1000.0)
        scan = await incidents.finding(finding(), 1001.0)
        assert scan is not None
        exhibit = Exhibit(name="flows.json", sha256=flows, bytes=13, taken=1002.0)
        body = Collected(exhibits=(exhibit,))
        await incidents.append(scan.id, "collected", body, actor="ipwatchd", now=1002.0)
        await incidents.act(scan.id, "take", actor="ben", now=1003.0)
    return tmp_path


def changed(path: Path, place: int) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_what_nobody_touched_is_as_the_log_says(state: Path) -> None:
    """Every incident is the fold of its events, every file has its hash."""
    assert whole_of(state / FILE, "manila") == Whole(incidents=2, files=3)


def test_a_log_may_be_named_from_where_one_stands(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ipwatchctl --state out …`: those who check it stand elsewhere."""
    monkeypatch.chdir(state)
    here = Path(FILE)
    assert whole_of(here, "manila") == Whole(incidents=2, files=3)
    public = load_public(Path())
    assert public is not None
    newest = verify_file(here, "manila", public).events
    assert newest > 2
    assert _all_hold(here, "manila", public, newest, 2)


def test_a_turned_bit_in_any_file_is_found(state: Path) -> None:
    """The mail, its attachment and the evidence: each is named, wherever the bit is."""
    kept = [one for folder in (REPORTS, EVIDENCE) for one in (state / folder).glob("*/*")]
    assert len(kept) == 3
    for path in kept:
        for place in range(len(path.read_bytes())):
            changed(path, place)
            found = check_whole(state / FILE, "manila")
            assert (found.bad, path.name in found.faults[0]) == (1, True)
            changed(path, place)
    assert check_whole(state / FILE, "manila").bad == 0


def test_a_lost_file_is_named(state: Path) -> None:
    """What the log names and the disk has no more is said, with its place."""
    (path,) = (state / EVIDENCE).glob("*/*")
    path.unlink()
    assert check_whole(state / FILE, "manila").faults == (
        f"evidence/{path.parent.name}/{path.name} is gone",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE incidents SET doc = CAST(replace(CAST(doc AS TEXT), 'TRIAGE', 'CLOSED') AS BLOB)",
         "MANILA-000002 stands differently from what its events say: state"),
        ("UPDATE incidents SET priority = 'P5' WHERE number = 2",
         "MANILA-000002 is listed differently"),
        ("UPDATE incidents SET doc = X'00' WHERE number = 1", "MANILA-000001 can't be read"),
        ("DELETE FROM incidents WHERE number = 1", "MANILA-000001 was opened in the log and"),
        ("UPDATE incidents SET id = 'MANILA-000009' WHERE number = 1",
         "MANILA-000009 stands in the list and was never opened"),
    ],
)  # fmt: skip
def test_an_incident_that_was_edited_beside_the_log_is_found(
    state: Path, change: str, said: str
) -> None:
    """The chain holds then, and what people look at is another thing: it is named."""
    with sqlite3.connect(state / FILE) as db:
        db.execute(change)
    db.close()
    assert verify_file(state / FILE, "manila", load_public(state)).first_bad_seq is None
    assert any(one.startswith(said) for one in check_whole(state / FILE, "manila").faults)


@pytest.mark.parametrize(
    ("body", "said"),
    [("X'00'", "event 1 does not say which files are its own"),
     ("CAST(replace(CAST(body AS TEXT), '\"original\":\"', '\"original\":\"../../') AS BLOB)",
      "is no SHA-256")],
)  # fmt: skip
def test_an_event_that_names_no_hash_is_a_fault_and_nothing_is_read(
    state: Path, body: str, said: str
) -> None:
    """No event at all, and a path in the place of a hash: named, and the rest is checked."""
    with sqlite3.connect(state / FILE) as db:
        db.execute("DROP TRIGGER events_stay")
        db.execute(f"UPDATE events SET body = {body} WHERE seq = 1")  # noqa: S608 - words of this test
    db.close()
    found = check_whole(state / FILE, "manila")
    assert any(said in one for one in found.faults)
    assert found.files == 1


def test_a_turned_bit_in_the_file_of_the_log_never_passes_for_another_log(state: Path) -> None:
    """A bit of incidents.db turns: what is read is what was written, or a fault is said."""
    path = state / FILE
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        written = _said(db)
    db.close()
    data = path.read_bytes()
    for place in random.Random(7).sample(range(len(data)), 150):
        changed(path, place)
        try:
            bad = verify_file(path, "manila", load_public(state)).first_bad_seq is not None
            bad = bad or check_whole(path, "manila").bad > 0
            with sqlite3.connect(path) as db:
                same = _said(db) == written
            db.close()
        except (OSError, sqlite3.DatabaseError):
            bad = same = True
        assert bad or same, f"a bit of byte {place} was turned and nothing said so"
        path.write_bytes(data)


def _said(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    tables = ("events", "incidents")
    return [row for one in tables for row in db.execute(f"SELECT * FROM {one} ORDER BY 1")]  # noqa: S608 - two words of ours


def test_every_byte_of_the_public_key_counts(state: Path) -> None:
    """A key or a beginning that was changed is found: as a signature or as the key's other half."""
    path = state / PUBLIC
    for place in range(len(path.read_bytes().strip())):
        changed(path, place)
        try:
            found = verify_file(state / FILE, "manila", load_public(state)).first_bad_seq
            bad = found is not None or check_whole(state / FILE, "manila").bad > 0
        except OSError:
            bad = True
        assert bad, f"byte {place} of {PUBLIC} was changed and nothing said so"
        changed(path, place)


async def test_a_beginning_that_was_moved_hides_no_event(state: Path) -> None:
    """Who writes that signing began later has the events before named as signed."""
    public = load_public(state)
    assert public is not None
    (state / PUBLIC).write_text(f"{public.key} 999\n")
    found = verify_file(state / FILE, "manila", load_public(state))
    assert found.first_bad_seq == 4
    assert "says that signing began with 999" in found.why


def test_a_signature_in_capitals_is_another_byte(tmp_path: Path) -> None:
    """Hex reads the same in capitals; the log has it in small letters and nothing else."""
    signer = Signer.open(tmp_path, 0)
    digest = hashlib.sha256(b"an event").hexdigest()
    signature = signer.sign(digest)
    assert is_signed(signer.public.key, digest, signature)
    assert not is_signed(signer.public.key, digest, signature.upper())
