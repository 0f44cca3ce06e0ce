"""Compare flows read from captures with the published answers, per capture and unordered 5-tuple.

Run it: python tests/capture/compare_expected.py [--only NAME] [--verbose] [FOLDER of shared data]
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ipwatchd.capture import CaptureFileError, read_files
from ipwatchd.config import CaptureSettings
from ipwatchd.records.address import address_texts, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Key = tuple[int, tuple[tuple[int, int], int], tuple[tuple[int, int], int]]
Sums = tuple[int, int, int, int]


class Agreement(NamedTuple):
    """One capture: rows that agree, rows that differ (with what was seen), and an error."""

    file: str
    rows: int
    confirmed: int
    differing: list[tuple[Key, Sums, Sums | None, bool]]
    extra: list[tuple[Key, Sums]]
    error: str = ""

    @property
    def confirmed_differing(self) -> int:
        """Return how many rows that a second source confirms differ."""
        return sum(confirmed for *_, confirmed in self.differing)


def key_of(proto: int, a: tuple[tuple[int, int], int], b: tuple[tuple[int, int], int]) -> Key:
    """Return an unordered 5-tuple, and put the sides in order."""
    return (proto, *sorted((a, b)))  # type: ignore[return-value]


def expected(table: Path) -> dict[str, dict[Key, tuple[Sums, bool]]]:
    """Return the published rows of layers only and inner by file and unordered 5-tuple."""
    files: dict[str, dict[Key, tuple[Sums, bool]]] = defaultdict(dict)
    with table.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["layer"] == "outer" or not row["a"]:
                continue
            a, b = (split(row["a"]), int(row["aport"])), (split(row["b"]), int(row["bport"]))
            names = ("pkts_ab", "ip_bytes_ab", "pkts_ba", "ip_bytes_ba")
            sums = tuple(int(row[name]) for name in names)
            if a > b:
                sums = (*sums[2:], *sums[:2])
            if a == b:
                sums = (sums[0] + sums[2], sums[1] + sums[3], 0, 0)
            key = key_of(int(row["proto"]), a, b)
            files[row["file"]][key] = (sums, bool(row["confirmed_by"]))  # type: ignore[assignment]
    return files


def measured(path: Path, settings: CaptureSettings) -> dict[Key, Sums]:
    """Return what we count in a capture, per unordered 5-tuple."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for capture in read_files([path], settings, dissect=False):
        for flow in capture.flows:
            a = (int(flow["orig_hi"]), int(flow["orig_lo"])), int(flow["orig_port"])
            b = (int(flow["resp_hi"]), int(flow["resp_lo"])), int(flow["resp_port"])
            counts = [int(flow[f"{side}_{what}"]) for side in ("orig", "resp")
                      for what in ("packets", "bytes")]  # fmt: skip
            if a > b:
                counts = counts[2:] + counts[:2]
            total = sums[key_of(int(flow["proto"]), a, b)]
            for place, count in enumerate(counts):
                total[place if a != b else place % 2] += count
    return {key: tuple(total) for key, total in sums.items()}  # type: ignore[misc]


def compare(file: str, path: Path, rows: Mapping[Key, tuple[Sums, bool]]) -> Agreement:
    """Compare one capture with its rows."""
    confirmed = sum(sure for _, sure in rows.values())
    try:
        found = measured(path, CaptureSettings())
    except CaptureFileError as error:
        differing = [(key, sums, None, sure) for key, (sums, sure) in rows.items()]
        return Agreement(file, len(rows), confirmed, differing, [], str(error))
    differing = [
        (key, sums, found.get(key), sure)
        for key, (sums, sure) in rows.items()
        if found.get(key) != sums
    ]
    extra = [(key, sums) for key, sums in found.items() if key not in rows]
    return Agreement(file, len(rows), confirmed, differing, extra)


def compare_all(data: Path, only: str = "") -> Iterable[Agreement]:
    """Compare every capture that has rows."""
    for file, rows in sorted(expected(data / "EXPECTED_flows.csv").items()):
        if only in file:
            yield compare(file, data / file, rows)


def _text(key: Key) -> str:
    proto, (a, a_port), (b, b_port) = key
    hi, lo = np.array([a, b], np.uint64).T
    texts = address_texts(hi, lo)
    return f"{proto} {texts[0]}:{a_port} {texts[1]}:{b_port}"


def main() -> int:
    """Print the agreement of every capture that does not agree, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    shared = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser.add_argument("data", nargs="?", type=Path, default=shared)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    files = agreeing = agreeing_confirmed = rows = good = 0
    for result in compare_all(options.data, options.only):
        files += 1
        rows += result.rows
        good += result.rows - len(result.differing)
        agreeing += not result.differing
        agreeing_confirmed += not result.confirmed_differing
        if result.differing or (options.verbose and result.extra):
            sys.stdout.write(
                f"{result.file}: {len(result.differing)} of {result.rows} rows differ "
                f"({result.confirmed_differing} of {result.confirmed} confirmed), "
                f"{len(result.extra)} extra {result.error}\n"
            )
            if options.verbose:
                for key, wanted, seen, sure in result.differing:
                    sys.stdout.write(f"    {_text(key)} want {wanted} got {seen}"
                                     f"{' confirmed' if sure else ''}\n")  # fmt: skip
                for key, seen in result.extra:
                    sys.stdout.write(f"    {_text(key)} extra {seen}\n")
    sys.stdout.write(
        f"{files} captures: {agreeing} agree in every row, {agreeing_confirmed} in every confirmed "
        f"row; {good} of {rows} rows agree\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
