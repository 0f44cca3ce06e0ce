"""Checking all that belongs to a log: the file, each incident against its events, each kept file.

The chain (`verify`) proves the events. What people look at is the incidents as they stand, which
are kept beside the log, and the mails, attachments and evidence that the log names by hash. This
runs as a process of its own, so that hours of hashing hold nobody up.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.incidents.fold import FoldError, fold
from ipwatchd.incidents.log import columns_of, event_of, incident_of
from ipwatchd.incidents.signing import PRIVATE, PUBLIC, key_of, load_public
from ipwatchd.incidents.verify import open_read_only

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["EVIDENCE", "REPORTS", "Whole", "check_whole", "named_files", "whole_of"]

REPORTS: Final = "reports"
EVIDENCE: Final = "evidence"
"""Folders of a state folder that keep what reports and evidence consist of."""
SHOWN: Final = 20
"""Faults that are named; all are counted."""
PIECE: Final = 1 << 20
_ROOT: Final = Path(__file__).parents[2]
_NAMING: Final = ("opened", "reported", "collected")
"""Events that name files."""
_HASH: Final = re.compile("[0-9a-f]{64}")
_COLUMNS: Final = "key, state, open, priority, doc, due"


class Whole(msgspec.Struct, frozen=True):
    """What was held against the log, how much of it is not as the log says, and the first of it."""

    incidents: int
    files: int
    bad: int = 0
    faults: tuple[str, ...] = ()


def whole_of(path: Path, site: str) -> Whole:
    """Check a log's file, incidents and files in a process of its own; OSError where it can't."""
    command = [sys.executable, "-P", "-m", "ipwatchd.incidents.whole", str(path.absolute()), site]
    done = subprocess.run(command, capture_output=True, cwd=_ROOT, check=False)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OSError(f"can't check {path}: {lines[-1] if lines else 'its check was killed'}")
    return msgspec.json.decode(done.stdout, type=Whole)


def check_whole(path: Path, site: str) -> Whole:
    """Check a log's file, the incidents as they stand, kept files and keys."""
    faults: list[str] = []
    with closing(open_read_only(path)) as db:
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")
        faults += _damage(db, path)
        incidents = 0
        for row in db.execute(f"SELECT id, {_COLUMNS} FROM incidents ORDER BY number"):  # noqa: S608 - our own words
            incidents += 1
            faults += _standing(db, site, row)
        faults += _unlisted(db)
        named = named_files(db, faults)
    for relative, digest in sorted(named.items()):
        faults += _content(path.parent / relative, digest)
    faults += _keys(path.parent)
    return Whole(incidents, len(named), len(faults), tuple(faults[:SHOWN]))


def _damage(db: sqlite3.Connection, path: Path) -> Iterator[str]:
    for (word,) in db.execute(f"PRAGMA integrity_check({SHOWN})"):
        if word != "ok":
            yield f"{path.name} is damaged: {word}"


def _standing(db: sqlite3.Connection, site: str, row: sqlite3.Row) -> Iterator[str]:
    """Yield how an incident as it stands differs from what its events make of it."""
    identity = row["id"]
    events = db.execute("SELECT * FROM events WHERE incident = ? ORDER BY seq", (identity,))
    try:
        incident = fold(event_of(site, one) for one in events).get(identity)
        held = incident_of(row)
    except (FoldError, msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        yield f"{identity} can't be read: {error}"
        return
    if incident is None:
        yield f"{identity} stands in the list and was never opened in the log"
        return
    if held != incident:
        names = [name for name in incident.__struct_fields__
                 if getattr(held, name) != getattr(incident, name)]  # fmt: skip
        yield f"{identity} stands differently from what its events say: {', '.join(names)}"
        return
    state, is_open, priority, _, due = columns_of(incident)
    wanted = (incident.key, state, is_open, priority, due)
    if wanted != tuple(row[name] for name in ("key", "state", "open", "priority", "due")):
        yield f"{identity} is listed differently from what its events say"


def _unlisted(db: sqlite3.Connection) -> Iterator[str]:
    query = (
        "SELECT DISTINCT incident FROM events WHERE kind = 'opened' "
        "AND incident NOT IN (SELECT id FROM incidents)"
    )
    for row in db.execute(query):
        yield f"{row['incident']} was opened in the log and stands nowhere in the list"


def named_files(db: sqlite3.Connection, faults: list[str]) -> dict[str, str]:
    """Return the files that a log names: path in the state folder → SHA-256.

    Events that can't be read are added to `faults`.
    """
    marks = ", ".join("?" * len(_NAMING))
    found: dict[str, str] = {}
    for seq, body in db.execute(f"SELECT seq, body FROM events WHERE kind IN ({marks})", _NAMING):  # noqa: S608 - question marks alone
        try:
            found |= {_place(*one): one[1] for one in _digests(msgspec.json.decode(body))}
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError) as error:
            faults.append(f"event {seq} does not say which files are its own: {error}")
    return found


def _digests(body: dict[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Yield folder, hash and suffix of what an event names."""
    report = body.get("report") or {}
    if report.get("original"):
        yield REPORTS, report["original"], ".eml"
    for one in report.get("attachments", ()):
        yield REPORTS, one["sha256"], ""
    for one in body.get("exhibits", ()):
        yield EVIDENCE, one["sha256"], f".{one['name'].rpartition('.')[2]}"


def _place(folder: str, digest: str, suffix: str) -> str:
    if not _HASH.fullmatch(digest):
        # A log that was edited must not have us read ../../dev/zero to its end.
        raise ValueError(f"{digest[:80]!r} is no SHA-256")
    return f"{folder}/{digest[:2]}/{digest}{suffix}"


def _content(path: Path, digest: str) -> Iterator[str]:
    """Yield what is wrong with a kept file."""
    name = f"{path.parent.parent.name}/{path.parent.name}/{path.name}"
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                found.update(piece)
    except FileNotFoundError:
        yield f"{name} is gone"
    except OSError as error:
        yield f"{name} can't be read: {error.strerror}"
    else:
        if found.hexdigest() != digest:
            yield f"{name} was changed: its SHA-256 is not its name"


def _keys(folder: Path) -> Iterator[str]:
    """Yield where the public key that is shown is not the one that we sign with."""
    try:
        public, digits = load_public(folder), key_of(folder)
    except OSError as error:
        yield str(error)
        return
    if public and digits and public.key != digits:
        yield f"{PUBLIC} is not the public half of {PRIVATE}: start the daemon once"


def main(words: list[str]) -> int:
    """Check PATH SITE and print what was found as JSON."""
    try:
        found = check_whole(Path(words[0]), words[1])
    except (OSError, sqlite3.Error) as error:
        print(error, file=sys.stderr)  # noqa: T201 - read by the parent
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
