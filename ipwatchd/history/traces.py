"""The proof of an erasure: every file of a state folder is searched for what was erased.

Databases and their write-ahead logs are searched byte by byte, free pages too, for the text and
for the 16-byte key; segments, which are compressed, by their address columns.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipwatchd.history.subject import Subject

__all__ = ["Search", "search"]


class Search(NamedTuple):
    """What a search saw: `found` maps file → how often; `unreadable` could not be searched."""

    files: int
    bytes: int
    found: dict[str, int]
    unreadable: list[str]


def search(state_dir: Path, who: Subject) -> Search:
    """Search every file under a state folder; runs long on a large one: call it in a thread."""
    files = size = 0
    found: dict[str, int] = {}
    unreadable: list[str] = []
    for path in _files(state_dir):
        name = str(path.relative_to(state_dir))
        try:
            count = _in_segment(path, who) if path.suffix == ".parquet" else _in_bytes(path, who)
            size += path.stat().st_size
        except FileNotFoundError:  # a segment that was compacted or a log that was cut meanwhile
            continue
        except (OSError, ValueError):
            unreadable.append(name)
            continue
        files += 1
        if count:
            found[name] = count
    return Search(files, size, found, unreadable)


def _files(state_dir: Path) -> Iterator[Path]:
    for path in sorted(state_dir.rglob("*")):
        # A socket or a pipe holds nothing.
        if path.is_file() and not path.is_symlink():
            yield path


def _in_bytes(path: Path, who: Subject) -> int:
    if path.suffix == ".bad":
        raise ValueError(f"{path} is a damaged segment")
    if not path.stat().st_size:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return sum(1 for _ in who.pattern().finditer(data))


def _in_segment(path: Path, who: Subject) -> int:
    if not who.key:  # a segment holds addresses and no names of people
        return 0
    import pyarrow.parquet as pq

    from ipwatchd.history.archive import about

    columns = ["orig_hi", "orig_lo", "resp_hi", "resp_lo"]
    return int(sum(about(pq.read_table(path, columns=columns), who.key)))
