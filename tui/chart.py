"""Traffic over time as text: buckets resampled to columns, drawn in eighths of a cell."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.control.messages import Throughput

__all__ = ["WINDOWS", "bucket_seconds", "ceiling", "draw", "peak", "resample"]

WINDOWS: Final = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400}
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"


def bucket_seconds(buckets: Sequence[Throughput]) -> float:
    """Return the width of the buckets: the commonest distance; idle ones may be left out."""
    steps = Counter(
        round(after.ts - before.ts, 3)
        for before, after in itertools.pairwise(buckets)
        if after.ts > before.ts
    )
    if not steps:
        return 60.0
    most = max(steps.values())
    return min(step for step, times in steps.items() if times == most)


def resample(buckets: Sequence[Throughput], columns: int, start: float, end: float) -> list[float]:
    """Return bits per second for each column of the time from `start` to `end`.

    A bucket that goes beyond `end` has only been filled until then.
    """
    if columns <= 0 or end <= start:
        return []
    step = bucket_seconds(buckets)
    cell = (end - start) / columns
    bits = [0.0] * columns
    for bucket in buckets:
        opens, closes = max(bucket.ts, start), min(bucket.ts + step, end)
        filled = min(bucket.ts + step, end) - bucket.ts
        if closes <= opens or filled <= 0:
            continue
        per_second = bucket.bytes * 8 / filled
        first = int((opens - start) / cell)
        last = min(int((closes - start) / cell), columns - 1)
        for column in range(first, last + 1):
            left = start + column * cell
            overlap = min(closes, left + cell) - max(opens, left)
            bits[column] += per_second * max(overlap, 0.0) / cell
    return bits


def peak(buckets: Sequence[Throughput], start: float, end: float) -> float:
    """Return the greatest bits per second of any bucket between two times."""
    step = bucket_seconds(buckets)
    return max(
        (b.bytes * 8 / min(step, end - b.ts) for b in buckets if start <= b.ts < end), default=0.0
    )


def ceiling(peak: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten: a scale that does not flutter."""
    if peak <= 0:
        return 1000.0
    scale = 1.0
    while scale < peak:
        scale *= 10
    for part in (0.1, 0.2, 0.5):
        if scale * part >= peak:
            return scale * part
    return scale


def draw(values: Sequence[float], rows: int, top: float) -> list[str]:
    """Return `rows` lines from the top; any traffic shows at least an eighth."""
    heights = []
    for value in values:
        eighths = round(value / top * rows * 8) if top > 0 else 0
        heights.append(min(max(eighths, 1 if value > 0 else 0), rows * 8))
    return [
        "".join(_EIGHTHS[min(max(height - row * 8, 0), 8)] for height in heights)
        for row in range(rows - 1, -1, -1)
    ]
