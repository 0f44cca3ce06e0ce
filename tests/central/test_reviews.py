"""Looking back over all sites: trends and the report of a period at the centre."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from ipwatchd.central.store import Store
from ipwatchd.incidents.chain import START, Head, link

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ipwatchd.records.incident import IncidentEvent
    from tests.central.conftest import Process

    Central = Callable[..., subprocess.CompletedProcess[str]]
    Collector = Callable[..., AbstractContextManager[Process]]

NOW = time.time()


def log(site: str, took: float) -> list[IncidentEvent]:
    """Return the log of a site whose one incident was taken after some seconds."""
    opened = {
        "rule": "port-scan", "subject": "203.0.113.7", "title": "40 ports", "severity": "high",
        "priority": "P2", "impact": 1, "urgency": 2, "first_seen": NOW - 4000,
        "last_seen": NOW - 3900, "count": 40, "classification": "scanner",
    }  # fmt: skip
    moved = {"action": "take", "before": "NEW", "after": "TRIAGE", "owner": "ana"}
    head, events = START, []
    for kind, body, at in (("opened", opened, NOW - 3600), ("state", moved, NOW - 3600 + took)):
        event = link(
            site, head, time=at, incident=f"{site.upper()}-000001", actor="ana", kind=kind,
            body=body,
        )  # fmt: skip
        events.append(event)
        head = Head(event.seq, event.hash)
    return events


def filled(folder: Path) -> None:
    """Put two sites' logs into a centre's store."""

    async def fill() -> None:
        store = await Store.open(folder)
        for site, took in (("manila", 60.0), ("cebu", 600.0)):
            await store.receive(site, log(site, took), NOW)
        await store.close()

    asyncio.run(fill())


def test_trends_are_divided_by_site(tmp_path: Path, central: Central) -> None:
    """Each site's median stands beside the whole."""
    filled(tmp_path / "centre")
    done = central("trends", "--json")
    found = json.loads(done.stdout)
    sites = {one["name"]: one for one in found["by"]["site"]}
    assert sites["manila"]["spans"]["acknowledge"]["median"] == 60.0
    assert sites["cebu"]["spans"]["acknowledge"]["median"] == 600.0
    assert found["total"]["count"] == 2
    shown = central("trends").stdout
    assert "manila" in shown
    assert "10 min" in shown


def test_the_report_of_all_sites(tmp_path: Path, central: Central) -> None:
    """One page with both sites; a period that ends before it begins is refused."""
    filled(tmp_path / "centre")
    page = tmp_path / "fleet.html"
    done = central("report", "-o", str(page))
    assert done.returncode == 0
    assert "By site" in page.read_text()
    wrong = central("trends", "--since", "1d", "--until", "2d")
    assert wrong.returncode == 2
    assert "ends before it begins" in wrong.stderr


def test_the_centre_makes_reports_by_itself(
    tmp_path: Path, central: Central, collector: Collector
) -> None:
    """What became due while it was stopped is made at the start, over all sites and marked."""
    filled(tmp_path / "centre")
    after = {"after": {"week": NOW - 8 * 86_400}}
    (tmp_path / "centre" / "papers.json").write_text(json.dumps(after))
    folder = tmp_path / "papers"
    words = ("--weekly", "mon 00:00", "--zone", "Asia/Manila", "--tlp", "tlp:green")
    with collector(*words, "--reports", str(folder)):
        give_up = time.monotonic() + 30
        while not (made := [*folder.glob("week-*.html")]) and time.monotonic() < give_up:
            time.sleep(0.02)
    assert made
    assert '<div class="marking">TLP:GREEN</div>' in made[0].read_text()
    assert "all sites" in made[0].read_text()
    wrong = central("run", "--weekly", "monday")
    assert wrong.returncode == 2
    assert "--weekly 'mon 07:00'" in wrong.stderr
