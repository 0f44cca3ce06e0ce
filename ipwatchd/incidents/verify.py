"""Checking a whole log at full speed: every hash on the way, then the newest signature.

An event's hash covers the hash and the signature before it, so the newest signature vouches for
all; only where it fails is the first bad one searched for.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from ipwatchd.incidents.chain import Verdict
from ipwatchd.incidents.signing import PublicKey, is_signed
from ipwatchd.records.incident import GENESIS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Row", "first_unsigned", "verify_file", "verify_rows"]

Row = tuple[int, float, str, str, str, bytes, str, str, str]
"""seq, time, incident, actor, kind, body (canonical JSON), previous, hash, signature"""

_QUERY: Final = (
    "SELECT seq, time, incident, actor, kind, body, previous, hash, signature FROM events "
    "ORDER BY seq"
)


def verify_file(path: Path, site: str, public: PublicKey | None) -> Verdict:
    """Follow the log of a database, beside whoever writes it; OSError where it can't be read."""
    try:
        db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        try:
            db.execute("BEGIN")
            return _verify(db, site, public)
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        raise OSError(f"can't read {path}: {error}") from error


def _verify(db: sqlite3.Connection, site: str, public: PublicKey | None) -> Verdict:
    cursor = db.execute(_QUERY)
    cursor.arraysize = 1000

    def look(seq: int) -> tuple[str, str]:
        row = db.execute("SELECT hash, signature FROM events WHERE seq = ?", (seq,)).fetchone()
        return (row[0], row[1]) if row else ("", "")

    return verify_rows(site, cursor, public, look)


def verify_rows(
    site: str, rows: Iterable[Any], public: PublicKey | None, look: Callable[[int], tuple[str, str]]
) -> Verdict:
    """Follow rows from the first event on; `look` returns hash and signature of one by its seq."""
    count, head, last = 0, GENESIS, ("", "")
    since = public.since if public else 0
    encode, sha256 = msgspec.json.Encoder().encode, hashlib.sha256
    for seq, time, incident, actor, kind, body, previous, hash_, signature in rows:
        if seq != count + 1:
            why = f"event {count + 1} is missing: {seq} follows {count}"
            return Verdict(count, count + 1, why)
        if previous != head:
            return _unlinked(seq, last, public)
        raw = msgspec.Raw(body if type(body) is bytes else str(body).encode())
        fields = (site, seq, time, incident, actor, kind, raw, previous)
        if sha256(encode(fields)).hexdigest() != hash_:
            why = f"event {seq} was changed: its hash is not that of its content"
            return Verdict(count, seq, why)
        if not signature and since and seq >= since:
            return Verdict(count, seq, f"event {seq} is not signed: it was written without the key")
        head, last, count = hash_ + signature, (hash_, signature), seq
    return _signed(count, last, public, look)


def _unlinked(seq: int, last: tuple[str, str], public: PublicKey | None) -> Verdict:
    """Name which of two events that don't follow from each other was changed."""
    if public and last[1] and not is_signed(public.key, *last):
        return Verdict(seq - 2, seq - 1, f"event {seq - 1} was changed: its signature is not ours")
    why = f"event {seq} does not follow from event {seq - 1}: one of them was changed"
    return Verdict(seq - 1, seq, why)


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
