"""The flow archive: Parquet segments under archive/site=NAME/date=YYYY-MM-DD/.

A segment is written under a name that no reader looks at, synced, renamed, and its folder synced:
what bears its final name is whole. Columns: `start`, `end` (µs, UTC), addresses as two unsigned
halves (records.address), names instead of indices, sorted by originator, responder and start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ipwatchd.history.address_index import beside, constants, write_index
from ipwatchd.history.columns import Columns
from ipwatchd.history.groups import factorise, keys
from ipwatchd.records.address import unique_addresses
from ipwatchd.records.flow import DIRECTIONS, FLOW, PROTOCOLS, SERVICES, STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from ipwatchd.history.keyring import Keyring
    from ipwatchd.history.pseudonym import Pseudonyms
    from ipwatchd.records.place import Place

__all__ = [
    "ROW_GROUP", "Archive", "Names", "Segment", "about", "complete", "order_of", "table", "writing",
]  # fmt: skip

ROW_GROUP: Final = 65_536
# Of a merged segment, whose index says which of them to read for an address.
SMALL_GROUP: Final = 16_384
_LEVEL: Final = 1
# Merging has time: zstd tries harder, and packets, few different numbers, get a dictionary.
_MERGED_LEVEL: Final = 3
_FEW: Final = ["orig_packets", "resp_packets"]
_DAY_NS: Final = 86_400 * 1_000_000_000
_TEMPORARY: Final = ".part"
_SERVICE_NAMES: Final = [*SERVICES, *("" for _ in range(256 - len(SERVICES)))]
_STATE_NAMES: Final = [*STATES, *("OTH" for _ in range(256 - len(STATES)))]
_DIRECTION_NAMES: Final = [*DIRECTIONS, *("unknown" for _ in range(256 - len(DIRECTIONS)))]
_PROTOCOL_NAMES: Final = [PROTOCOLS.get(number, str(number)) for number in range(256)]
_PLAIN: Final = (
    "orig_hi", "orig_lo", "resp_hi", "resp_lo", "orig_port", "resp_port", "orig_packets",
    "orig_bytes", "resp_packets", "resp_bytes", "vlan", "orig_flags", "resp_flags", "icmp_type",
    "icmp_code", "nat_hi", "nat_lo", "nat_port",
)  # fmt: skip
_DICTIONARY: Final = [
    "proto", "state", "service", "direction", "orig_zone", "resp_zone", "iface", "vlan",
    "orig_country", "resp_country", "orig_asn", "resp_asn", "resp_port", "orig_flags",
    "resp_flags", "icmp_type", "icmp_code", "orig_hi", "resp_hi", "orig_lo", "resp_lo", "nat_hi",
    "nat_lo", "nat_port",
]  # fmt: skip
_LATER: Final = ("nat_hi", "nat_lo", "nat_port")
_SORTED: Final = ("orig_hi", "orig_lo", "resp_hi", "resp_lo")
# What a reader skips row groups by; minima and maxima of more columns cost a fifth of the writing.
_STATISTICS: Final = ["start", "end", *_SORTED, "resp_port"]
# Packed numbers without a pattern: zstd makes nothing of them but work.
_RANDOM: Final = frozenset({"start", "end", "orig_port"})
_DELTA: Final = dict.fromkeys(
    ("start", "end", "orig_port", "orig_packets", "orig_bytes", "resp_packets", "resp_bytes"),
    "DELTA_BINARY_PACKED",
)
# Lets a reader skip a row group for a responder, which the sort order does not cluster.
_BLOOM: Final = {"resp_lo": {"ndv": 16_384, "fpp": 0.01}}


class Names(NamedTuple):
    """What a segment needs beside the flows: names by index, and places by address key."""

    zones: Sequence[str]
    interfaces: Sequence[str]
    places: dict[bytes, Place]


class Segment(NamedTuple):
    """A sealed file: its path under the site's folder, rows, bytes, earliest start, latest end."""

    name: str
    rows: int
    bytes: int
    first: float
    last: float


def _strings(indices: NDArray[np.integer], names: Sequence[str]) -> pa.DictionaryArray:
    import pyarrow as pa

    used = np.flatnonzero(np.bincount(indices))
    place = np.zeros(int(used[-1]) + 1 if len(used) else 1, np.int32)
    place[used] = np.arange(len(used))
    words = [names[index] if index < len(names) else "" for index in used.tolist()]
    return pa.DictionaryArray.from_arrays(pa.array(place[indices]), pa.array(words, pa.string()))


def _places(
    hi: NDArray[np.uint64], lo: NDArray[np.uint64], places: dict[bytes, Place]
) -> tuple[pa.DictionaryArray, pa.Array]:
    """Return the country and AS number of one end of each flow, as far as they are known."""
    import pyarrow as pa

    distinct, row = factorise(hi, lo)
    found = [places.get(key) for key in keys(distinct)]
    countries = sorted({place.country for place in found if place})
    rank = {country: index for index, country in enumerate(countries)}
    index = np.array([rank[place.country] if place else -1 for place in found], np.int32)[row]
    numbers = np.array([place.asn if place else 0 for place in found], np.uint32)[row]
    words = pa.array([*countries, ""], pa.string())
    codes = np.where(index < 0, len(countries), index).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(codes), words), pa.array(numbers)


def order_of(flows: Columns) -> NDArray[np.intp]:
    """Return the order by originator, responder and start.

    One sort of one number: many times faster than a sort by five columns.
    """
    first, orig = factorise(flows["orig_hi"], flows["orig_lo"])
    second, resp = factorise(flows["resp_hi"], flows["resp_lo"])
    since = (flows["start"] - flows["start"].min()) // 1000
    bits = int(since.max(initial=0)).bit_length()
    pair = orig * np.int64(len(second)) + resp
    if (len(first) * len(second)).bit_length() + bits > 63:
        # Ranks of the pairs: 20 bits, and microseconds of the rest, 101 days; a segment is a day.
        pair, bits = np.unique(pair, return_inverse=True)[1].astype(np.int64), 43
        since = np.minimum(since, (1 << bits) - 1)
    # Stable: rows of equal times stay in their order, and what is sorted is not sorted again.
    return np.argsort(pair << bits | since, kind="stable")


def table(flows: Columns, names: Names, order: NDArray[np.intp] | None = None) -> pa.Table:
    """Return flows (records.flow) as the columns of the archive, in an order or as they are."""
    import pyarrow as pa

    def column(name: str) -> NDArray[Any]:
        values = flows[name]
        # Many columns are 0 throughout, in whatever order.
        return values if order is None or not values.any() else values[order]

    columns = {
        name: pa.array(column(name) // 1000).cast(pa.timestamp("us", "UTC"))
        for name in ("start", "end")
    }
    plain = {name: column(name) for name in _PLAIN}
    columns |= {name: pa.array(values) for name, values in plain.items()}
    for name, words in (
        ("proto", _PROTOCOL_NAMES), ("state", _STATE_NAMES), ("service", _SERVICE_NAMES),
        ("direction", _DIRECTION_NAMES), ("orig_zone", names.zones), ("resp_zone", names.zones),
        ("iface", names.interfaces),
    ):  # fmt: skip
        columns[name] = _strings(column(name), words)
    for side in ("orig", "resp"):
        country, asn = _places(plain[f"{side}_hi"], plain[f"{side}_lo"], names.places)
        columns[f"{side}_country"], columns[f"{side}_asn"] = country, asn
    columns["partial"] = pa.array(column("partial") != 0)
    return pa.table(columns)


def _shadowed(flows: Columns, names: Names, key: Pseudonyms) -> pa.Table:
    """Return the table of flows with the addresses' pseudonyms, in their order, without NAT's."""
    import pyarrow as pa

    hidden = {name: flows[name] for name in _SORTED}
    for side in ("orig", "resp"):
        distinct, place = unique_addresses(hidden[f"{side}_hi"], hidden[f"{side}_lo"])
        hi, lo = key.addresses(distinct["hi"].copy(), distinct["lo"].copy())
        hidden[f"{side}_hi"], hidden[f"{side}_lo"] = hi[place], lo[place]
    order = order_of(Columns({**hidden, "start": flows["start"]}, len(flows)))
    rows = table(flows, names, order)
    columns = {name: hidden[name][order] for name in _SORTED}
    columns |= {name: np.zeros(len(flows), FLOW[name]) for name in _LATER}
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values))
    return rows


def about(rows: pa.Table, first: bytes, last: bytes) -> NDArray[np.bool_]:
    """Tell which rows of a segment have an address of a network (16 bytes each) at either end."""
    hi, lo, high, low = (
        np.uint64(int.from_bytes(half)) for half in (first[:8], first[8:], last[:8], last[8:])
    )
    found = np.zeros(len(rows), np.bool_)
    for side in ("orig", "resp"):
        column = {half: rows[f"{side}_{half}"].to_numpy() for half in ("hi", "lo")}
        inside = (column["hi"] >= hi) & (column["hi"] <= high)
        if hi == high:  # else it is of whole high halves
            inside &= (column["lo"] >= lo) & (column["lo"] <= low)
        found |= inside
    return found


class Archive:
    """The segments of one site. `folder` is archive/site=NAME."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._merging = Lock()
        self._child: subprocess.Popen[str] | None = None
        self._given_up = Event()

    def clean(self) -> int:
        """Remove what a crash left half-written; return how many files that were."""
        leftovers = list(self.folder.glob(f"date=*/*{_TEMPORARY}"))
        for index in self.folder.glob("date=*/.*.idx"):
            if not index.with_name(f"{index.stem[1:]}.parquet").exists():
                index.unlink()
        for path in leftovers:
            path.unlink()
        return len(leftovers)

    def names(self) -> set[str]:
        """Return the sealed segments that are on disk."""
        return {f"{path.parent.name}/{path.name}" for path in self.folder.glob("date=*/*.parquet")}

    def inspect(self, name: str) -> Segment:
        """Read a segment's footer; ValueError or OSError where it is damaged."""
        import pyarrow.parquet as pq

        path = self.folder / name
        footer = pq.read_metadata(path)
        first, last = float("inf"), float("-inf")
        for group in range(footer.num_row_groups):
            start, end = (footer.row_group(group).column(column).statistics for column in (0, 1))
            first = min(first, start.min.timestamp())
            last = max(last, end.max.timestamp())
        return Segment(name, footer.num_rows, path.stat().st_size, first, last)

    def write(
        self, flows: Columns, names: Names, mark: str, keyring: Keyring | None = None,
        now: float = 0.0,
    ) -> Iterator[Segment]:  # fmt: skip
        """Seal flows, a segment for each day (UTC) they start in; OSError where the disk refuses.

        `mark` makes the names unique: no two calls for one folder may use the same. Days of a
        keyring are written under their keys.
        """
        days = flows["start"] // _DAY_NS
        for day in np.unique(days).tolist():
            date = _date(day)
            begun = any((self.folder / f"date={date}").glob("*.parquet"))
            key = keyring.writer(date, begun=begun, now=now) if keyring else None
            yield self._seal(flows.where(days == day), names, date, mark, key)

    def _seal(
        self, flows: Columns, names: Names, date: str, mark: str, key: Pseudonyms | None
    ) -> Segment:
        folder = self.folder / f"date={date}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        first, last = int(flows["start"].min()), int(flows["end"].max())
        final = folder / f"{first // 1_000_000}-{mark}.parquet"
        part = folder / f"{final.stem}{_TEMPORARY}"
        try:
            _write(
                _shadowed(flows, names, key) if key else table(flows, names, order_of(flows)), part
            )
            part.rename(final)
            _sync(folder)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        name = f"{folder.name}/{final.name}"
        return Segment(name, len(flows), final.stat().st_size, first / 1e9, last / 1e9)

    def merge(self, names: Sequence[str], mark: str) -> Path | None:
        """Write segments of one day as one, under a name that no reader looks at; return that.

        None where one of them is damaged or the merge was given up. A child does it: `merging`.
        """
        with self._merging:
            first = min(int(Path(name).name.partition("-")[0]) for name in names)
            part = (self.folder / names[0]).with_name(f"{first}-{mark}{_TEMPORARY}")
            try:
                done = self._run(names, part)
            except BaseException:
                _forget(part)
                raise
            if not done:
                _forget(part)
            return part if done else None

    def _run(self, names: Sequence[str], part: Path) -> bool:
        if self._given_up.is_set():
            return False
        asked = {
            "paths": [str(self.folder / name) for name in names], "part": str(part),
            "group": SMALL_GROUP,
        }  # fmt: skip
        with subprocess.Popen(
            # -P: no module out of the folder that root may stand in (replay).
            [sys.executable, "-P", "-m", "ipwatchd.history.merging"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as child:  # fmt: skip
            self._child = child
            if self._given_up.is_set():
                child.kill()
            try:
                _, said = child.communicate(json.dumps(asked))
            finally:
                self._child = None
        if child.returncode == 1:
            raise OSError(said.strip().rpartition("\n")[2] or "merging failed")
        return child.returncode == 0

    def give_up_merge(self) -> None:
        """End a merge that runs or begins, and remove what one left that has no name yet.

        No segment may be written meanwhile.
        """
        self._given_up.set()
        if child := self._child:
            child.kill()
        with self._merging:
            self.clean()

    def discard(self, part: Path) -> None:
        """Remove a merged segment that has no name yet."""
        _forget(part)

    def begin_merge(self) -> None:
        """Allow a merge, which may be given up from now on."""
        self._given_up.clear()

    def stamp(self, names: Sequence[str]) -> list[tuple[int, int, int]]:
        """Return what changes when a segment is written anew; OSError where one is gone."""
        found = [(self.folder / name).stat() for name in names]
        return [(one.st_ino, one.st_mtime_ns, one.st_size) for one in found]

    def final(self, part: Path) -> str:
        """Return the name that a merged segment will bear."""
        return f"{part.parent.name}/{part.stem}.parquet"

    def reveal(self, part: Path) -> None:
        """Give a merged segment its name."""
        try:
            part.rename(part.with_suffix(".parquet"))
            _sync(part.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def without(self, name: str, first: bytes, last: bytes) -> tuple[Segment | None, int]:
        """Write a segment anew without a network; return it as it is then and how many rows went.

        None is a segment of which nothing stayed. Raises ValueError where it is
        damaged or gone, OSError where the disk refuses.
        """
        import pyarrow.parquet as pq

        path = self.folder / name
        try:
            rows = pq.read_table(path)
        except OSError as error:
            raise ValueError(f"{path} can't be read: {error}") from error
        gone = about(rows, first, last)
        if gone.all():
            self.remove(name)
            return None, len(rows)
        if gone.any():
            self._replace(rows.filter(~gone), path)
        return self.inspect(name), int(gone.sum())

    def _replace(self, rows: pa.Table, path: Path) -> None:
        part = path.with_suffix(_TEMPORARY)
        indexed = beside(path).exists()
        # Without an index until it has the new one: row groups begin elsewhere from now on.
        beside(path).unlink(missing_ok=True)
        try:
            _write(rows, part, merged=indexed)
            part.replace(path)
            if indexed:
                write_index(path, {name: rows[name].to_numpy() for name in _SORTED}, SMALL_GROUP)
            _sync(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def set_aside(self, name: str) -> None:
        """Rename a damaged segment so that no reader meets it again."""
        path = self.folder / name
        path.rename(path.with_suffix(".bad"))
        beside(path).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a segment, and its day's folder with the last one."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        beside(path).unlink(missing_ok=True)
        try:
            path.parent.rmdir()
        except OSError:  # there are others in it
            return


def complete(rows: pa.Table) -> pa.Table:
    """Return rows with the columns that older segments lack: there is nothing in them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in _LATER:
        nothing = pa.scalar(0, pa.from_numpy_dtype(FLOW[name]))
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.repeat(nothing, len(rows)))
        elif rows[name].null_count:
            at = rows.column_names.index(name)
            rows = rows.set_column(at, name, pc.fill_null(rows[name], nothing))
    return rows


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")


@contextmanager
def writing(schema: pa.Schema, path: Path, *, merged: bool = False) -> Iterator[pq.ParquetWriter]:
    """Write a segment, and sync it at the end."""
    import pyarrow.parquet as pq

    level, few = (_MERGED_LEVEL, _FEW) if merged else (_LEVEL, [])
    with path.open("wb") as file:
        writer = pq.ParquetWriter(
            file, schema, version="2.6",
            compression={name: "NONE" if name in _RANDOM else "ZSTD" for name in schema.names},
            compression_level={name: level for name in schema.names if name not in _RANDOM},
            use_dictionary=[*_DICTIONARY, *few],
            column_encoding={name: how for name, how in _DELTA.items() if name not in few},
            bloom_filter_options=_BLOOM,
            write_statistics=_STATISTICS,
        )  # fmt: skip
        with writer:
            yield writer
        file.flush()
        os.fsync(file.fileno())


def _write(rows: pa.Table, path: Path, *, merged: bool = False) -> None:
    if merged:
        rows = rows.replace_schema_metadata(constants(rows))
    with writing(rows.schema, path, merged=merged) as writer:
        writer.write_table(rows, row_group_size=SMALL_GROUP if merged else ROW_GROUP)


def _forget(part: Path) -> None:
    for path in (part, beside(part), beside(part).with_suffix(_TEMPORARY)):
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make the rename itself durable, and the folder's own entry in its parent."""
    for path in (folder, folder.parent):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
