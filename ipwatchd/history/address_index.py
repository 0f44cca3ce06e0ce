"""Beside a merged segment, which of its row groups hold which address, at either end.

A segment is sorted by originator; a responder's flows lie all over it. The index (a hidden file, so
that no reader of the lake takes it for a segment) answers for both ends with a few reads of a
mapped file: a question about one address reads the row groups that hold it and no others.

File: `MAGIC`, then `rows` `groups` `v4` `v6` (little-endian 64-bit: rows and row groups of the
segment, number of addresses), the IPv4 addresses in order (32-bit), their masks of row groups
(64-bit), the others' high halves, low halves and masks. Without its index a segment is read whole.
"""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.history.groups import factorise
from ipwatchd.records.address import V4_PREFIX, is_v4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "CONSTANT", "MOST_GROUPS", "Masks", "beside", "constants", "holds", "pick", "write_index",
]  # fmt: skip

Host = tuple[int, int]
"""An address as its two halves."""

MAGIC: Final = b"IPWINDX1"
MOST_GROUPS: Final = 64
CONSTANT: Final = b"ipwatchd.constant"
_HEAD: Final = 5 * 8
_ENDS: Final = ("orig_hi", "orig_lo", "resp_hi", "resp_lo")


def beside(segment: Path) -> Path:
    """Return where the index of a segment is."""
    return segment.with_name(f".{segment.stem}.idx")


class Masks:
    """The row groups of each address, gathered while a segment is written."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._rows = 0
        self._found: list[tuple[NDArray[np.void], NDArray[np.uint64]]] = []

    def add(self, ends: Mapping[str, NDArray[np.uint64]]) -> None:
        """Take the address columns of the rows that come next: whole row groups, save the last."""
        rows, both = len(ends["orig_hi"]), np.concatenate
        distinct, place = factorise(
            both([ends["orig_hi"], ends["resp_hi"]]), both([ends["orig_lo"], ends["resp_lo"]])
        )
        masks = np.zeros(len(distinct), np.uint64)
        numbers = (np.arange(self._rows, self._rows + rows) // self._group).astype(np.uint64)
        np.bitwise_or.at(masks, place, np.tile(np.left_shift(np.uint64(1), numbers), 2))
        self._rows += rows
        self._found.append((distinct, masks))

    def write(self, segment: Path) -> None:
        """Write the index beside a segment."""
        parts = [distinct for distinct, _ in self._found]
        hi, lo = (np.concatenate([part[half] for part in parts]) for half in ("hi", "lo"))
        distinct, place = factorise(hi, lo)
        masks = np.zeros(len(distinct), np.uint64)
        np.bitwise_or.at(masks, place, np.concatenate([some for _, some in self._found]))
        _write(segment, distinct, masks, [self._rows, -(-self._rows // self._group)])


def write_index(segment: Path, ends: Mapping[str, NDArray[np.uint64]], group: int) -> None:
    """Write the index of a segment from its address columns; `group` is the rows of a row group."""
    masks = Masks(group)
    masks.add(ends)
    masks.write(segment)


def _write(
    segment: Path, distinct: NDArray[np.void], masks: NDArray[np.uint64], counts: list[int]
) -> None:
    short = is_v4(distinct["hi"], distinct["lo"])
    wide = distinct[~short]
    counts = [*counts, int(short.sum()), len(wide)]
    path = beside(segment)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(MAGIC + np.array(counts, "<u8").tobytes())
        file.write((distinct["lo"][short] & np.uint64(0xFFFF_FFFF)).astype("<u4").tobytes())
        for column in (masks[short], wide["hi"], wide["lo"], masks[~short]):
            file.write(column.astype("<u8").tobytes())
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


class _Index:
    """An index, mapped."""

    def __init__(self, segment: Path) -> None:
        data = np.memmap(beside(segment), np.uint8, "r")
        if len(data) < _HEAD or data[:8].tobytes() != MAGIC:
            raise ValueError(f"{beside(segment)} is no index")
        self.rows, self.groups, v4, v6 = data[8:_HEAD].view("<u8").tolist()
        if len(data) != _HEAD + 12 * v4 + 24 * v6:
            raise ValueError(f"{beside(segment)} is cut short")
        at = _HEAD

        def column(count: int, kind: str) -> NDArray[Any]:
            nonlocal at
            size = count * np.dtype(kind).itemsize
            found = np.frombuffer(data, kind, count, at)
            at += size
            return found

        self.short, self.short_masks = column(v4, "<u4"), column(v4, "<u8")
        self.hi, self.lo, self.masks = (column(v6, "<u8") for _ in range(3))

    def mask(self, host: Host) -> int:
        """Return the row groups that hold an address, a bit for each."""
        hi, lo = host
        if hi == 0 and lo >> 32 == V4_PREFIX >> 32:
            low = np.uint32(lo & 0xFFFF_FFFF)
            at = int(np.searchsorted(self.short, low))
            there = at < len(self.short) and self.short[at] == low
            return int(self.short_masks[at]) if there else 0
        first, end = (int(np.searchsorted(self.hi, np.uint64(hi), side)) for side in _SIDES)
        at = first + int(np.searchsorted(self.lo[first:end], np.uint64(lo)))
        return int(self.masks[at]) if at < end and int(self.lo[at]) == lo else 0


_SIDES: Final = ("left", "right")
_HALVES: Final = struct.Struct(">QQ")


def holds(index: Path, first: bytes, last: bytes) -> int:
    """Return how many addresses from one to another (16 bytes each) an index names.

    Raises ValueError where it is damaged.
    """
    found = _Index(index.with_name(f"{index.stem.removeprefix('.')}.parquet"))
    (low_hi, low_lo), (high_hi, high_lo) = (_HALVES.unpack(key) for key in (first, last))
    hi = np.concatenate([np.zeros(len(found.short), np.uint64), found.hi])
    lo = np.concatenate([found.short.astype(np.uint64) | np.uint64(V4_PREFIX), found.lo])
    above = (hi > low_hi) | ((hi == low_hi) & (lo >= low_lo))
    below = (hi < high_hi) | ((hi == high_hi) & (lo <= high_lo))
    return int((above & below).sum())


def pick(segment: Path, hosts: Sequence[Host]) -> pa.Table | None:
    """Return the rows of a segment that have one of some addresses at either end.

    None where there are none. Raises OSError or ValueError where there is no sound index, or the
    segment itself is damaged: read it whole to know.
    """
    index = _Index(segment)
    mask = 0
    for host in hosts:
        mask |= index.mask(host)
    groups = [group for group in range(index.groups) if mask >> group & 1]
    if not groups:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(segment, memory_map=True) as file:
        if (file.metadata.num_rows, file.metadata.num_row_groups) != (index.rows, index.groups):
            raise ValueError(f"{beside(segment)} is of another segment")
        schema = file.schema_arrow
        same = json.loads((schema.metadata or {}).get(CONSTANT, b"{}"))
        columns = [name for name in schema.names if name not in same or name in _ENDS]
        # One by one: a call for several joins them first, which takes longer than reading them.
        found = []
        for group in groups:
            rows = file.read_row_group(group, columns=columns, use_threads=False)
            chosen = _with_any({name: rows[name].to_numpy() for name in _ENDS}, hosts)
            found.append(rows.filter(chosen))
    rows = pa.concat_tables(found)
    return pa.table([
        rows[field.name] if field.name in columns else _repeat(field, same[field.name], len(rows))
        for field in schema
    ], names=schema.names)  # fmt: skip


def constants(rows: pa.Table) -> dict[bytes, bytes]:
    """Return the metadata that says which columns of a segment hold one value throughout.

    Reading a row group costs by the column, and half of them are often of one value.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    same = {}
    for name in rows.column_names if len(rows) else ():
        column = rows[name]
        if pa.types.is_timestamp(column.type):
            continue
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        if pc.all(pc.equal(column, column[0])).as_py():
            same[name] = column[0].as_py()
    return {CONSTANT: json.dumps(same).encode()}


def _repeat(field: pa.Field, value: object, rows: int) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_dictionary(field.type):
        places = pa.array(np.zeros(rows, np.int32))
        return pa.DictionaryArray.from_arrays(places, pa.array([value], pa.string()))
    return pa.repeat(pa.scalar(value, field.type), rows)


def _with_any(ends: Mapping[str, NDArray[np.uint64]], hosts: Sequence[Host]) -> NDArray[np.bool_]:
    found = np.zeros(len(ends["orig_hi"]), np.bool_)
    for hi, lo in hosts:
        for side in ("orig", "resp"):
            low = ends[f"{side}_lo"] == np.uint64(lo)
            found |= low & (ends[f"{side}_hi"] == np.uint64(hi))
    return found
