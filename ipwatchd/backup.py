"""Backups: a whole state folder while the daemon runs, and back into an empty one.

Databases go through SQLite's online backup, segments never change and are linked or copied; the
manifest holds every file's SHA-256 and is written last: a folder without one is no backup.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd import __version__
from ipwatchd.sqlite import uri

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Manifest", "backup", "restore"]

MANIFEST: Final = "manifest.json"
DATABASES: Final = ("audit.db", "lists.db", "incidents.db", "history.db")
# Not copied as files: databases have their own way, the rest is of a running process.
_NOT: Final = (".db", ".db-wal", ".db-shm", ".db-journal", ".part", ".new", "audit.head")
_KEYS: Final = "archive-keys"
_PAGES: Final = 1024
"""Pages a step: the writer waits for no more than these."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: path → SHA-256, the release that wrote it, when and of which site."""

    version: str
    site: str
    made: float
    bytes: int
    files: dict[str, str]


def backup(state_dir: Path, target: Path, *, site: str, now: float) -> Manifest:
    """Write a backup into a folder that is new or empty; runs long: call it in a thread.

    Raises OSError with a sentence where the folder is used or the disk refuses.
    """
    _need_empty(target)
    for name in DATABASES:
        if (state_dir / name).exists():
            _copy_database(state_dir / name, target / name)
    for path in _plain_files(state_dir):
        _copy(path, target / path.relative_to(state_dir))
    files = {str(path.relative_to(target)): _digest(path) for path in _all_files(target)}
    size = sum(path.stat().st_size for path in _all_files(target))
    manifest = Manifest(version=__version__, site=site, made=now, bytes=size, files=files)
    _write(target / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def restore(source: Path, state_dir: Path) -> Manifest:
    """Check a backup and put it into a state folder that is new or empty.

    Raises OSError or ValueError with a sentence, before anything is written where the backup is
    damaged.
    """
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{source} is no whole backup (no {MANIFEST}): name a folder that `ipwatchctl backup` "
            "wrote to its end"
        ) from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"{source / MANIFEST} is damaged: {error}") from None
    for name, digest in manifest.files.items():
        path = source / name
        if not path.resolve().is_relative_to(source.resolve()):
            raise ValueError(f"{source / MANIFEST} names {name}, which lies outside the backup")
        if not path.is_file() or _digest(path) != digest:
            raise ValueError(f"{path} is not as it was written: use another backup")
    _need_empty(state_dir)
    for name in manifest.files:
        _copy(source / name, state_dir / name, link=False)
    return manifest


def _need_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")


def _copy_database(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(uri(source, read_only=True), uri=True)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy, pages=_PAGES)
        copy.execute("PRAGMA journal_mode = DELETE")
    target.chmod(0o600)


def _plain_files(state_dir: Path) -> Iterator[Path]:
    for path in _all_files(state_dir):
        first = path.relative_to(state_dir).parts[0]
        # A key of the archive in a backup would outlive the day that it is to end on.
        secret = first == _KEYS and path.suffix == ".key"
        if path.name.endswith(_NOT) or path.name == "lock" or first == "compiled" or secret:
            continue
        yield path


def _all_files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*"))
    # Where one points to would be left out, or be a file that root alone may read.
    if link := next((path for path in found if path.is_symlink()), None):
        raise OSError(
            f"{link} is a link, which no backup follows: put there what it points to (a folder of "
            "another disk by mount --bind)"
        )
    return [path for path in found if path.is_file()]


def _copy(source: Path, target: Path, *, link: bool = True) -> None:
    """Link a segment, which never changes; copy what does, or what lies on another disk."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    try:
        if link and source.suffix == ".parquet":
            target.hardlink_to(source)
            return
    except FileNotFoundError:  # it was merged into another meanwhile
        raise FileNotFoundError(f"{source} was merged while it was copied: back up again") from None
    except OSError:
        pass
    shutil.copyfile(source, target)
    target.chmod(0o600)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
