"""kill -9 and a full disk: no accepted incident is lost or doubled, nothing is half written."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents.fold import fold
from ipwatchd.incidents.store import Incidents
from ipwatchd.records.incident import STATES

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import asyncio, sys
from pathlib import Path
from ipwatchd.config import IncidentSettings
from ipwatchd.incidents.store import Incidents
from ipwatchd.records.finding import Finding

async def main(folder, round_):
    incidents = await Incidents.open(Path(folder), "manila", IncidentSettings())
    print("ready", flush=True)
    for number in range(100_000):
        subject = f"{round_}.{number}"
        f = Finding(rule="scan", subject=subject, key=f"scan|{subject}", title="t", first_seen=1.0,
                    last_seen=1.0, count=1, severity="high", classification="", score=1.0,
                    value=1.0, threshold=1.0, evidence={"pad": "x" * int(sys.argv[3])})
        incident = await incidents.finding(f, 10.0 + number)
        print(incident.id, subject, flush=True)
        if number % 3 == 0:
            await incidents.act(incident.id, "take", actor="ben", reason="", now=11.0 + number)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def killed_after(folder: Path, round_: int, lines: int) -> list[tuple[str, str]]:
    """Let a writer accept some incidents, kill it in the middle of the next; return them."""
    command = [sys.executable, "-c", WRITER, str(folder), str(round_), "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        accepted = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        accepted += writer.stdout.readlines()
    pairs = [line.split() for line in accepted if line.endswith("\n")]
    return [(identity, subject) for identity, subject in pairs]


async def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed at random points: every accepted incident is there once, the chain is whole."""
    rng = random.Random(7)
    accepted: dict[str, str] = {}
    for round_ in range(5):
        for identity, subject in killed_after(tmp_path, round_, rng.randrange(1, 60)):
            assert identity not in accepted
            accepted[identity] = subject
    incidents = await Incidents.open(tmp_path, "manila", IncidentSettings())
    try:
        assert (await incidents.verify()).first_bad_seq is None
        rows = await incidents.list(states=STATES, limit=10_000)
        held = {incident.id: incident.subject for incident in rows}
        assert accepted.items() <= held.items()
        assert len({incident.key for incident in rows}) == len(rows) <= len(accepted) + 5
        assert fold(await incidents.after(0, 10_000)) == {row.id: row for row in rows}
    finally:
        await incidents.close()


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """On a full file system `finding` raises OSError (ENOSPC); after space is made it goes on."""
    script = """
import asyncio, sys
from pathlib import Path
from ipwatchd.config import IncidentSettings
from ipwatchd.incidents.store import Incidents
from ipwatchd.records.finding import Finding
from ipwatchd.records.incident import STATES

def scan(subject):
    return Finding(rule="scan", subject=subject, key=subject, title="t", first_seen=1.0,
                   last_seen=1.0, count=1, severity="high", classification="", score=1.0,
                   value=1.0, threshold=1.0, evidence={"pad": "x" * 10_000})

async def main(folder):
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(200_000))
    incidents = await Incidents.open(folder, "manila", IncidentSettings())
    accepted = 0
    try:
        while accepted < 1000:
            await incidents.finding(scan(str(accepted)), 1.0)
            accepted += 1
    except OSError as error:
        print(error.errno, error)
    assert (await incidents.verify()).first_bad_seq is None
    assert len(await incidents.list(states=STATES, limit=1000)) == accepted == incidents.last_seq
    ballast.unlink()
    await incidents.finding(scan("after"), 2.0)
    await incidents.close()
    incidents = await Incidents.open(folder, "manila", IncidentSettings())
    verdict = await incidents.verify()
    assert verdict.first_bad_seq is None and verdict.events == accepted + 1
    await incidents.close()

asyncio.run(main(Path(sys.argv[1])))
"""
    mount = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "$@"'
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    command = [*unshare, "sh", "-c", mount, "sh", sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{errno.ENOSPC} ")
    assert "free space" in done.stdout


async def test_a_cancelled_write_leaves_the_log_usable(tmp_path: Path) -> None:
    """A task cancelled anywhere in a write: the next write follows from what is on the disk."""
    from ipwatchd.records.finding import Finding

    def scan(subject: str) -> Finding:
        return Finding(
            rule="scan", subject=subject, key=subject, title="t", first_seen=1.0, last_seen=1.0,
            count=1, severity="high", classification="", score=1.0, value=1.0, threshold=1.0,
        )  # fmt: skip

    incidents = await Incidents.open(tmp_path, "manila", IncidentSettings())
    try:
        for number in range(60):
            task = asyncio.ensure_future(incidents.finding(scan(str(number)), 1.0))
            await asyncio.sleep(number * 0.00005)
            task.cancel()
            await asyncio.wait([task])
        await incidents.finding(scan("last"), 2.0)
        verdict = await incidents.verify()
        assert verdict.first_bad_seq is None
        assert verdict.events == len(await incidents.list(limit=100)) == incidents.last_seq
    finally:
        await incidents.close()
