"""The archive's keys, one a day (UTC): whoever drops one makes that day anonymous at once.

Addresses of a keyed day lie in its segments under Crypto-PAn (pseudonym.py) with the day's key.
DAY.json stays for good and says that the day is keyed, of which key by its SHA-256, and when that
was dropped; DAY.key is the key, 0600. A backup takes the first and never the second.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.history.pseudonym import KEY_BYTES, Pseudonyms

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FOLDER", "KeyedDay", "Keyring"]

FOLDER: Final = "archive-keys"
_DAY: Final = 86_400


class KeyedDay(msgspec.Struct, frozen=True, omit_defaults=True):
    """A day of the archive: `key` is the SHA-256 of its key; `dropped` 0 is not yet."""

    day: str
    key: str
    made: float
    dropped: float = 0.0
    by: str = ""


class Keyring:
    """The keys of one site's archive. `days` is how long each is kept, 0 makes no new ones."""

    def __init__(self, folder: Path, days: int) -> None:
        self._folder = folder
        self._days = days
        self._known: dict[str, Pseudonyms] = {}

    def listed(self) -> list[KeyedDay]:
        """Return the keyed days, oldest first; ValueError where a file of theirs is damaged."""
        if not self._folder.is_dir():
            return []
        return [self._read(path.stem) for path in sorted(self._folder.glob("????-??-??.json"))]

    def days(self) -> dict[str, Pseudonyms | None]:
        """Return each keyed day and what reads it, None where its key is gone."""
        return {one.day: None if one.dropped else self._names(one.day) for one in self.listed()}

    def writer(self, day: str, *, begun: bool, now: float) -> Pseudonyms | None:
        """Return what a day's new segments are written under, None for a day in clear.

        `begun` days keep the way they began. A flow that comes after its day's key was dropped is
        written under a key that nobody keeps.
        """
        if self._marker(day).exists():
            return self._names(day) or Pseudonyms(secrets.token_bytes(KEY_BYTES))
        if begun or not self._days:
            return None
        return self._make(day, now)

    def due(self, now: float) -> list[str]:
        """Return the days whose key's time is over, and those whose drop a crash cut short."""
        listed = self.listed()
        cut = [one.day for one in listed if one.dropped and self._key(one.day).exists()]
        if not self._days:
            return cut
        over = [one for one in listed if _ends(one.day) + self._days * _DAY <= now]
        return cut + [one.day for one in over if not one.dropped]

    def drop(self, day: str, now: float, by: str) -> tuple[KeyedDay, bytes]:
        """Destroy a day's key; return what is known of the day, and the key, to search for it.

        Raises LookupError where there is none. What was begun before a crash is finished again.
        """
        path = self._key(day)
        try:
            one, key = self._read(day), path.read_bytes()
        except FileNotFoundError:
            raise LookupError(
                f"there is no key of {day}: `archive-keys` lists those there are"
            ) from None
        done = one if one.dropped else msgspec.structs.replace(one, dropped=now, by=by)
        self._write(self._marker(day), msgspec.json.encode(done), 0o640)
        with path.open("r+b") as file:
            file.write(bytes(len(key)))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        _sync(self._folder)
        self._known.pop(day, None)
        return done, key

    def _marker(self, day: str) -> Path:
        return self._folder / f"{day}.json"

    def _key(self, day: str) -> Path:
        return self._folder / f"{day}.key"

    def _read(self, day: str) -> KeyedDay:
        path = self._marker(day)
        try:
            return msgspec.json.decode(path.read_bytes(), type=KeyedDay)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{path} is damaged ({error}): put it back from a backup") from None

    def _names(self, day: str) -> Pseudonyms | None:
        path = self._key(day)
        if not path.exists():  # dropped, perhaps by another process
            self._known.pop(day, None)
            return None
        if day not in self._known:
            key = path.read_bytes()
            if len(key) != KEY_BYTES or hashlib.sha256(key).hexdigest() != self._read(day).key:
                raise ValueError(f"{path} is damaged: put it back, or remove it")
            self._known[day] = Pseudonyms(key)
        return self._known[day]

    def _make(self, day: str, now: float) -> Pseudonyms:
        """Make a key, then say that the day is keyed, then let segments be written."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        key = secrets.token_bytes(KEY_BYTES)
        self._write(self._key(day), key, 0o600)
        made = KeyedDay(day, hashlib.sha256(key).hexdigest(), now)
        self._write(self._marker(day), msgspec.json.encode(made), 0o640)
        self._known[day] = Pseudonyms(key)
        return self._known[day]

    def _write(self, path: Path, data: bytes, mode: int) -> None:
        part = path.with_name(f"{path.name}.part")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync(self._folder)


def _ends(day: str) -> float:
    """Return when a day (UTC) is over; never, for what is none."""
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() + _DAY
    except ValueError:
        return float("inf")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
