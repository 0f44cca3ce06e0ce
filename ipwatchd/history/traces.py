"""The proof of an erasure: every file of a state folder is searched for what was erased.

Databases and their write-ahead logs are searched byte by byte, free pages too, for the text and
for the 16-byte key; segments, which are compressed, by their address columns.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from ipwatchd.history.rollup import pack
from ipwatchd.history.shadows import shadow_networks
from ipwatchd.records.address import network_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ipwatchd.history.pseudonym import Pseudonyms
    from ipwatchd.history.subject import Subject
    from ipwatchd.records.address import IPNetwork

__all__ = ["Search", "ends_under", "search", "search_bytes"]


# A database may be larger than the memory.
_PART: Final = 1 << 20


class Search(NamedTuple):
    """What a search saw: `found` maps file → how often; `unreadable` could not be searched.

    `anonymous` are days of the archive whose key was dropped: nobody can tell who is in them.
    """

    files: int
    bytes: int
    found: dict[str, int]
    unreadable: list[str]
    anonymous: list[str]


def search(state_dir: Path, who: Subject, keyed: Mapping[str, Pseudonyms | None]) -> Search:
    """Search every file under a state folder; runs long on a large one: call it in a thread.

    `keyed` are the days of the archive that lie under keys.
    """
    files = size = 0
    found: dict[str, int] = {}
    unreadable: list[str] = []
    lost = sorted(day for day, names in keyed.items() if names is None) if who.key else []
    for path in _files(state_dir):
        name = str(path.relative_to(state_dir))
        if path.is_symlink():  # not followed: where it points to may hold anything
            unreadable.append(name)
            continue
        try:
            columns = path.suffix in {".parquet", ".idx"}
            count = _in_segment(path, who, keyed) if columns else _in_bytes(path, who)
            size += path.stat().st_size
        except FileNotFoundError:  # a segment that was compacted or a log that was cut meanwhile
            continue
        except (OSError, ValueError):
            unreadable.append(name)
            continue
        files += 1
        if count:
            found[name] = count
    return Search(files, size, found, unreadable, lost)


def search_bytes(state_dir: Path, secret: bytes) -> Search:
    """Search every file under a state folder for bytes: a key that was dropped."""
    files = size = 0
    found: dict[str, int] = {}
    unreadable: list[str] = []
    for path in _files(state_dir):
        name = str(path.relative_to(state_dir))
        if path.is_symlink():
            unreadable.append(name)
            continue
        try:
            count, many = _count(path, secret)
        except FileNotFoundError:  # a segment that was merged or a log that was cut meanwhile
            continue
        except OSError:
            unreadable.append(name)
            continue
        files, size = files + 1, size + many
        if count:
            found[name] = count
    return Search(files, size, found, unreadable, [])


def _count(path: Path, secret: bytes) -> tuple[int, int]:
    """Return how often a file holds bytes, and its size; no more than a part is in memory."""
    count = size = 0
    tail = b""
    with path.open("rb") as file:
        while part := file.read(_PART):
            size += len(part)
            data = tail + part
            count += data.count(secret)
            tail = data[1 - len(secret) :]
    return count, size


def _files(state_dir: Path) -> Iterator[Path]:
    for path in sorted(state_dir.rglob("*")):
        # A socket or a pipe holds nothing. A folder that lies elsewhere is to be named.
        if path.is_dir() if path.is_symlink() else path.is_file():
            yield path


def _in_bytes(path: Path, who: Subject) -> int:
    if path.suffix == ".bad":
        raise ValueError(f"{path} is a damaged segment")
    if not path.stat().st_size:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return who.hits(data)


def _in_segment(path: Path, who: Subject, keyed: Mapping[str, Pseudonyms | None]) -> int:
    if not who.key:  # a segment holds addresses and no names of people
        return 0
    day = path.parent.name.removeprefix("date=")
    if day in keyed and keyed[day] is None:
        return 0
    import pyarrow.parquet as pq

    from ipwatchd.history.address_index import holds
    from ipwatchd.history.archive import about

    columns = ["orig_hi", "orig_lo", "resp_hi", "resp_lo"]
    ends = ends_under(who, keyed.get(day))
    if path.suffix == ".idx":
        return holds(path, *ends)
    return int(sum(about(pq.read_table(path, columns=columns, partitioning=None), *ends)))


def ends_under(who: Subject, names: Pseudonyms | None) -> tuple[bytes, bytes]:
    """Return the first and last address of a subject as segments of a day hold them."""
    if names is None:
        return who.key, who.last
    found = shadow_networks(names, [who.network()])[0]
    first, last = network_range(cast("IPNetwork", found))
    return pack(*first), pack(*last)
