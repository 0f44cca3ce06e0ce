"""Checking a whole log at full speed: every hash on the way, then the newest signature.

An event's hash covers the hash and the signature before it, so the newest signature vouches for
all; only where it fails is the first bad one searched for.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from ipwatchd.incidents.chain import Verdict
from ipwatchd.incidents.signing import PUBLIC, PublicKey, is_signed
from ipwatchd.records.incident import GENESIS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ROOT: Final = Path(__file__).parents[2]

__all__ = ["Row", "first_unsigned", "open_read_only", "verify_file", "verify_rows"]

Row = tuple[int, float, str, str, str, bytes, str, str, str]
"""seq, time, incident, actor, kind, body (canonical JSON), previous, hash, signature"""

_QUERY: Final = (
    "SELECT seq, time, incident, actor, kind, body, previous, hash, signature FROM events "
    "WHERE seq BETWEEN ? AND ? ORDER BY seq"
)
_NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM events"
ALONE: Final = 300_000
"""Events that one process follows; of a longer log each process takes a piece."""
WORKERS: Final = 4
_ALL: Final = (1 << 63) - 1


def verify_file(path: Path, site: str, public: PublicKey | None, workers: int = WORKERS) -> Verdict:
    """Follow the log of a database, beside whoever writes it; OSError where it can't be read."""
    try:
        with closing(open_read_only(path)) as db:
            db.execute("BEGIN")
            newest = int(db.execute(_NEWEST).fetchone()[0])
            if misdated := _misdated(public, newest, lambda seq: _look(db, seq)):
                return misdated
            workers = min(workers, len(os.sched_getaffinity(0))) if newest > ALONE else 1
            # A piece that is bad is followed again from the start, to name the first bad event.
            if workers > 1 and _all_hold(path, site, public, newest, workers):
                return _signed(newest, _look(db, newest), public, lambda seq: _look(db, seq))
            rows = db.execute(_QUERY, (-_ALL, _ALL))
            return verify_rows(site, rows, public, lambda seq: _look(db, seq))
    except sqlite3.DatabaseError as error:
        raise OSError(f"can't read {path}: {error}") from error


def verify_rows(
    site: str, rows: Iterable[Any], public: PublicKey | None, look: Callable[[int], tuple[str, str]]
) -> Verdict:
    """Follow rows from the first event on; `look` returns hash and signature of one by its seq."""
    bad, count, last = _follow(site, rows, public, 0, (GENESIS, ""))
    return bad or _signed(count, last, public, look)


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a database beside whoever writes it."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def _look(db: sqlite3.Connection, seq: int) -> tuple[str, str]:
    row = db.execute("SELECT hash, signature FROM events WHERE seq = ?", (seq,)).fetchone()
    return (row[0], row[1]) if row else ("", "")


def _all_hold(path: Path, site: str, public: PublicKey | None, newest: int, workers: int) -> bool:
    """Follow a long log in several processes; False where a piece is bad or can't be followed.

    Each begins with the stored hash and signature before its piece, which the piece before checks.
    """
    edges = [newest * number // workers for number in range(workers + 1)]
    key = [public.key, str(public.since)] if public else ["", "0"]
    log = str(path.absolute())  # the children stand in a folder of their own
    command = [sys.executable, "-P", "-m", "ipwatchd.incidents.verify", log, site, *key]
    started = []
    try:
        for first, last in pairwise(edges):
            words = [*command, str(first + 1), str(last)]
            started.append(subprocess.Popen(words, stdout=subprocess.PIPE, cwd=_ROOT))
        answers = [one.communicate()[0].strip() for one in started]
    except OSError:  # no more processes or memory: one does it alone, more slowly
        return False
    finally:
        for one in started:
            one.kill()
            one.wait()
    return answers == [b"holds"] * workers


def _follow(
    site: str, rows: Iterable[Any], public: PublicKey | None, count: int, last: tuple[str, str]
) -> tuple[Verdict | None, int, tuple[str, str]]:
    """Follow rows after event `count`, whose hash and signature are `last`."""
    head = last[0] + last[1]
    since = public.since if public else 0
    encode, sha256, raw = msgspec.json.Encoder().encode, hashlib.sha256, msgspec.Raw
    for seq, time, incident, actor, kind, body, previous, hash_, signature in rows:
        if seq != count + 1:
            why = f"event {count + 1} is missing: {seq} follows {count}"
            return Verdict(count, count + 1, why), count, last
        if previous != head:
            return _unlinked(seq, last, public), count, last
        content = raw(body if type(body) is bytes else str(body).encode())
        fields = (site, seq, time, incident, actor, kind, content, previous)
        if sha256(encode(fields)).hexdigest() != hash_:
            why = f"event {seq} was changed: its hash is not that of its content"
            return Verdict(count, seq, why), count, last
        if not signature and since and seq >= since:
            why = f"event {seq} is not signed: it was written without the key"
            return Verdict(count, seq, why), count, last
        head, last, count = hash_ + signature, (hash_, signature), seq
    return None, count, last


def _unlinked(seq: int, last: tuple[str, str], public: PublicKey | None) -> Verdict:
    """Name which of two events that don't follow from each other was changed."""
    if public and last[1] and not is_signed(public.key, *last):
        return Verdict(seq - 2, seq - 1, f"event {seq - 1} was changed: its signature is not ours")
    why = f"event {seq} does not follow from event {seq - 1}: one of them was changed"
    return Verdict(seq - 1, seq, why)


def _misdated(
    public: PublicKey | None, newest: int, look: Callable[[int], tuple[str, str]]
) -> Verdict | None:
    """Return the fault of a public key that says it signed later than it did, None for none."""
    before = min(public.since - 1, newest) if public else 0
    if public is None or before < 1 or not is_signed(public.key, *look(before)):
        return None
    why = f"event {before} is signed, and {PUBLIC} says that signing began with {public.since}"
    return Verdict(before - 1, before, why)


def _signed(
    count: int, last: tuple[str, str], public: PublicKey | None,
    look: Callable[[int], tuple[str, str]],
) -> Verdict:  # fmt: skip
    if public is None or count < public.since or is_signed(public.key, *last):
        return Verdict(count)
    bad = first_unsigned(public, count, look)
    why = f"event {bad} was changed: its signature is not the site's, nor any after it"
    return Verdict(bad - 1, bad, why)


def first_unsigned(public: PublicKey, last: int, look: Callable[[int], tuple[str, str]]) -> int:
    """Return the first event that the key did not sign, where the last one is not.

    All before what was changed are signed and none after, so that halving finds it.
    """
    low, high = public.since, last
    while low < high:
        middle = (low + high) // 2
        if is_signed(public.key, *look(middle)):
            low = middle + 1
        else:
            high = middle
    return low


def main(words: list[str]) -> int:
    """Follow one piece of a log: PATH SITE KEY SINCE FIRST LAST; print "holds" where it does."""
    path, site, key, since, first, last = words
    public = PublicKey(key, int(since)) if key else None
    begin, end = int(first), int(last)
    with closing(open_read_only(Path(path))) as db:
        before = _look(db, begin - 1) if begin > 1 else (GENESIS, "")
        # Also what somebody put before the first event.
        rows = db.execute(_QUERY, (begin if begin > 1 else -_ALL, end))
        bad, count, _ = _follow(site, rows, public, begin - 1, before)
    print("holds" if bad is None and count == end else "broken")  # noqa: T201 - read by the parent
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
