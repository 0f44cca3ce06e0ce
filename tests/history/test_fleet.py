"""docs/fleet-history.md: its view and its five questions run over the archives of two sites."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from ipwatchd.history import History
from tests.history.made import SMALL, T0, ZONES, flow, locate

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs" / "fleet-history.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
VIEW = re.findall(r"^```sql duckdb\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NIGHT = T0 // 86_400 * 86_400 + 23 * 3600


async def record(folder: Path, site: str, inside: str) -> None:
    """Record what a site saw: a visitor of all sites, a scan, traffic by night, IPv6."""
    history = await History.open(folder / site, site, SMALL, locate=locate, zones=ZONES)
    visitor = {"direction": "incoming", "zones": (2, 0)}
    history.add_flows(flow("203.0.113.9", inside, **visitor), T0)  # type: ignore[arg-type]
    for port in (22, 23, 3389):
        target = inside.removesuffix("5") + str(port % 9)
        history.add_flows(
            flow("198.51.100.66", target, port=port, state="S0", **visitor), T0  # type: ignore[arg-type]
        )  # fmt: skip
    history.add_flows(flow(inside, "203.0.113.77", start=NIGHT, octets=(9000, 10)), NIGHT)
    history.add_flows(flow("2001:db8::5", "2001:db8:ffff::1", start=NIGHT), NIGHT)
    await history.close(NIGHT + 60)


@pytest.fixture
async def lake(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """Return the page's view over the archives of two sites."""
    (tmp_path / "lake").mkdir()
    for site, inside in (("manila", "10.20.0.5"), ("cebu", "10.21.0.5")):
        await record(tmp_path, site, inside)
        (tmp_path / site / "archive" / f"site={site}").rename(tmp_path / "lake" / f"site={site}")
    db = duckdb.connect()
    db.execute(VIEW[0].replace("LAKE", str(tmp_path / "lake")))
    return db


@pytest.fixture
def answers(lake: duckdb.DuckDBPyConnection) -> Iterator[list[list[tuple[Any, ...]]]]:
    """Return the rows of each question."""
    yield [lake.execute(question).fetchall() for question in QUESTIONS]
    lake.close()


def test_the_five_questions(answers: list[list[tuple[Any, ...]]]) -> None:
    """Each question finds what was put there."""
    both, network, scan, most, night = answers
    assert {row[1] for row in both} == {"203.0.113.9", "198.51.100.66"}
    assert {row[2] for row in both} == {2}
    assert [(row[0], row[1], row[4]) for row in network] == [
        ("cebu", "10.21.0.5", 2), ("manila", "10.20.0.5", 2)
    ]  # fmt: skip
    assert scan[0][0] == "198.51.100.66"
    assert scan[0][1] == 2
    assert {row[2] for row in most} >= {"10.20.0.5", "10.21.0.5"}
    assert ("manila", "RU", "tls", 1, 9000) in night


def test_addresses_are_readable(lake: duckdb.DuckDBPyConnection) -> None:
    """IPv4 is dotted; IPv6 is its 32 digits."""
    found = {row[0] for row in lake.execute("SELECT DISTINCT orig FROM flow").fetchall()}
    assert "10.20.0.5" in found
    assert f"{0x20010DB8:08x}{0:023x}5" in found
    lake.close()
