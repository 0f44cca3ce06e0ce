"""One merge of segments, in a process of its own: python -m ipwatchd.history.merging.

A child, because what Arrow and numpy took goes back to the system when it ends, and so that the
daemon's threads never wait for it. It holds the sort keys of all rows and, of each segment, a
window: segments are sorted already. Standard input is a `Request` in JSON; exit status 3 says that
a segment is damaged, 1 (a line on standard error) that the disk refused.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.history.address_index import CONSTANT, Masks
from ipwatchd.history.archive import ROW_GROUP, complete, order_of, writing
from ipwatchd.history.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["DAMAGED", "main", "merge"]

DAMAGED: Final = 3
_ENDS: Final = ("orig_hi", "orig_lo", "resp_hi", "resp_lo")
_BATCH: Final = 4_096


class DamagedError(ValueError):
    """A segment that can't be read."""


def _batches(path: Path) -> Iterator[pa.Table]:
    """Read a segment a window at a time, with the columns of today."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, use_threads=False):
                yield complete(pa.Table.from_batches([batch]))
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DamagedError(f"{path}: {error}") from error


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, ValueError) as error:
        raise DamagedError(f"{path}: {error}") from error


class _Keys:
    """What is known before a row is written: all sort keys, and columns of one value."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.same: dict[str, object] = {}
        self.schema: pa.Schema | None = None
        self.counts = [_rows(path) for path in paths]
        total, at = sum(self.counts), 0
        # Zeroed pages that nobody writes to take no memory: the high halves of IPv4.
        fields = {name: np.zeros(total, np.uint64) for name in _ENDS}
        starts = np.zeros(total, np.int64)
        for path in paths:
            for batch in _batches(path):
                self._compare(batch)
                some = slice(at, at + len(batch))
                starts[some] = batch["start"].to_numpy().astype(np.int64)
                for name in _ENDS:
                    values = batch[name].to_numpy()
                    if values.any():
                        fields[name][some] = values
                at = some.stop
        starts *= 1000
        self.order = order_of(Columns({**fields, "start": starts}, total))

    def _compare(self, batch: pa.Table) -> None:
        """Drop the columns that this batch has another value of."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = list(self.same)
        if self.schema is None:
            self.schema = batch.schema.remove_metadata()
            names = [field.name for field in self.schema if not pa.types.is_timestamp(field.type)]
            self.same = {name: batch[name][0].as_py() for name in names}
        for name in names:
            values = pc.unique(batch[name])
            if len(values) != 1 or values[0].as_py() != self.same[name]:
                del self.same[name]


class _Run:
    """A sorted segment that is taken from its beginning on."""

    def __init__(self, path: Path, place: NDArray[np.int64]) -> None:
        self._batches = _batches(path)
        self._place = place
        """Where in the merged segment each row goes."""
        self._held: list[pa.Table] = []
        self._first = self._end = 0

    def take(self, rows: NDArray[np.int64], until: int) -> pa.Table:
        """Return rows; none that goes before `until` is asked for again."""
        import pyarrow as pa

        while self._end <= int(rows[-1]):
            batch = next(self._batches, None)
            if batch is None:
                raise DamagedError("a segment became shorter")
            self._held.append(batch)
            self._end += len(batch)
        held = pa.concat_tables(self._held).unify_dictionaries()
        found = held.take(rows - self._first)
        # Usually all before the last; the releases before this one ordered equal times otherwise.
        left = np.flatnonzero(self._place[self._first : self._end] >= until)
        keep = self._first + int(left[0]) if len(left) else self._end
        self._held = [held.slice(keep - self._first)] if keep < self._end else []
        self._first = keep
        return found


def _runs(paths: Sequence[Path], keys: _Keys) -> tuple[list[_Run], NDArray[np.int64]]:
    begins = np.cumsum([0, *keys.counts])
    place = np.empty(len(keys.order), np.int64)
    place[keys.order] = np.arange(len(keys.order))
    runs = [_Run(path, place[begins[at] : begins[at + 1]]) for at, path in enumerate(paths)]
    return runs, begins


def _part(
    runs: Sequence[_Run], begins: NDArray[np.int64], order: NDArray[np.intp], until: int
) -> pa.Table:
    """Return the rows that come next, in order."""
    import pyarrow as pa

    by_run = np.sort(order)
    edges = np.searchsorted(by_run, begins)
    some = [
        run.take(by_run[edges[at] : edges[at + 1]] - begins[at], until)
        for at, run in enumerate(runs)
        if edges[at] < edges[at + 1]
    ]
    joined = pa.concat_tables(some, promote_options="default").unify_dictionaries()
    return joined.take(np.searchsorted(by_run, order)).combine_chunks()


def merge(paths: Sequence[Path], part: Path, group: int) -> None:
    """Write segments of one day as one, with its index, in row groups of `group` rows.

    Raises DamagedError where one can't be read, OSError where the disk refuses.
    """
    keys = _Keys(paths)
    assert keys.schema is not None  # noqa: S101 - no segment is empty
    runs, begins = _runs(paths, keys)
    schema = keys.schema.with_metadata({CONSTANT: json.dumps(keys.same).encode()})
    masks = Masks(group)
    with writing(schema, part, merged=True) as writer:
        # In row groups' own steps: their rows are what the index has a bit for.
        step = max(group, ROW_GROUP // 4 // group * group)
        for at in range(0, len(keys.order), step):
            rows = _part(runs, begins, keys.order[at : at + step], at + step)
            masks.add({name: rows[name].to_numpy() for name in _ENDS})
            writer.write_table(rows.cast(schema), row_group_size=group)
            if os.getppid() != _PARENT:  # killed: nobody will give it its name
                raise OSError("the daemon went")
    masks.write(part)


_PARENT: Final = os.getppid()


def main() -> int:
    """Do what standard input asks."""
    import pyarrow as pa

    asked = json.load(sys.stdin)
    pa.set_cpu_count(1)
    try:
        merge([Path(path) for path in asked["paths"]], Path(asked["part"]), asked["group"])
    except DamagedError:
        return DAMAGED
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
