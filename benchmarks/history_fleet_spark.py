"""Run docs/fleet-history.md in PySpark and in DuckDB over the archives of a lake, and compare.

    python benchmarks/history_fleet_spark.py LAKE

Needs pyspark (and Java) and duckdb. LAKE is a folder with site=…/date=…/*.parquet. Status 1 where
an answer differs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "fleet-history.md"


def blocks(kind: str) -> list[str]:
    """Return the page's code blocks of a kind: `sql`, `sql duckdb`, `python pyspark`."""
    return re.findall(
        rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def plain(value: Any) -> Any:
    """Return a value as both engines give it."""
    if hasattr(value, "timestamp"):
        return round(value.timestamp(), 6)
    return int(value) if isinstance(value, int) else value


def main() -> int:
    """Compare and say."""
    if len(sys.argv) < 2:
        print("name a lake and install pyspark to compare: see the top of this file")
        return 0
    import duckdb

    lake = str(Path(sys.argv[1]).resolve())
    db = duckdb.connect()
    for setup in blocks("sql duckdb"):
        db.execute(setup.replace("LAKE", lake))
    names: dict[str, Any] = {}
    for setup in blocks("python pyspark"):
        exec(setup.replace("LAKE", lake), names)  # noqa: S102 - the page's own code is what is tested
    wrong = 0
    for number, query in enumerate(blocks("sql"), 1):
        ours = [[plain(value) for value in row] for row in db.execute(query).fetchall()]
        theirs = [[plain(value) for value in row] for row in names["spark"].sql(query).collect()]
        same = ours == theirs
        wrong += not same
        print(f"question {number}: {len(ours)} rows, {'the same' if same else 'DIFFERENT'}")
        if not same:
            print(f"  DuckDB  {ours[:3]}\n  PySpark {theirs[:3]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
