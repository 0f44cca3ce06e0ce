"""The papers at the end of the day, and a log that somebody tampered with."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any

from ipwatchd.lab.programs import ProgramError

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.lab.case_scene import Scene


__all__ = ["central_rows", "papers"]


async def papers(scene: Scene) -> None:
    """Write what is written at the end of a day, and hold the logs against themselves."""
    scene.say("the day's papers: verify, trends, reports, exports", "22:00")
    await scene.delivered()
    desk, texts, folder = scene.desk, scene.story.texts, scene.kept
    folder.mkdir(exist_ok=True)
    leak = scene.story.ids["leak"]
    texts["verify"] = await desk.do("", "incidents", "verify", "--whole")
    texts["verify at the centre"] = await scene.centre.ctl("verify", "--json")
    texts["trends"] = await desk.do("ana", "incidents", "trends", "--since", "7d")
    texts["trends at the centre"] = await scene.centre.ctl("trends", "--since", "7d")
    for name, words in (
        ("case.html", ("report", leak)), ("case.pdf", ("report", leak)),
        ("week.html", ("report", "--since", "7d")), ("week.pdf", ("report", "--since", "7d")),
        ("case.zip", ("export", leak)), ("week.csv", ("export", "--since", "7d")),
        ("week.stix", ("export", "--since", "7d", "--format", "stix")),
        ("week.ocsf", ("export", "--since", "7d", "--format", "ocsf")),
    ):  # fmt: skip
        try:
            await desk.do("", "incidents", *words, "-o", str(folder / name))
        except ProgramError as error:
            texts[f"failed {name}"] = str(error)
    texts["sums"] = await asyncio.to_thread(_sums, folder / "case.zip")
    texts["week at the centre"] = await scene.centre.ctl(
        "report", "--since", "7d", "-o", str(folder / "all-sites.html")
    )
    (folder / "pages.txt").write_text(_pages(scene), "utf-8")
    scene.story.papers = {one.name: one.stat().st_size for one in folder.iterdir()}
    await _change_a_mail(scene)
    await _change_a_byte(scene)


async def _change_a_mail(scene: Scene) -> None:
    """Change one byte of a mail and of a piece of evidence in a copy, and have it verified."""
    copy = scene.kept.with_name("spoiled")
    await asyncio.to_thread(_copied, scene.gateway.state, copy)
    for name in ("reports", "evidence"):
        path = min((copy / name).glob("??/*"))
        data = await asyncio.to_thread(path.read_bytes)
        await asyncio.to_thread(path.write_bytes, bytes([data[0] ^ 1]) + data[1:])
    await scene.desk.refused(
        "a byte changed in a copy of a mail, and of evidence", "2 of 12 incidents and", "",
        "--state", str(copy), "incidents", "verify", "--whole",
    )  # fmt: skip


async def _change_a_byte(scene: Scene) -> None:
    """Change one byte in a copy of the log, and have the copy verified."""
    copy = scene.kept.with_name("forged")
    await asyncio.to_thread(_copied, scene.gateway.state, copy)
    seq = await asyncio.to_thread(_forge, copy, scene.story.ids["leak"])
    scene.story.forged = seq
    await scene.desk.refused(
        "a byte changed in a copy of the log", f"event {seq} does not hold", "",
        "--state", str(copy), "incidents", "verify",
    )  # fmt: skip


async def central_rows(scene: Scene) -> list[dict[str, Any]]:
    """Return the incidents that the centre holds."""
    return list(json.loads(await scene.centre.ctl("incidents", "--in", "all", "--json")))


def _pages(scene: Scene) -> str:
    """Return all pages as their receivers read them."""
    taken = [*scene.mail.receipts, *scene.hook.receipts, *scene.far_mail.receipts]
    return "\n".join(
        f"{one.way} {one.to}\n{one.subject}\n{one.body}\n"
        for one in sorted(taken, key=lambda one: one.time)
    )


def _sums(path: Path) -> str:
    """Return what sha256sum, which knows nothing of us, says of a case's archive."""
    if not path.exists():
        return "there is no archive"
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(path) as archive:
        archive.extractall(name)
        done = subprocess.run(
            ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=name, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
    return (
        f"{done.stdout.count(': OK')} files are as the manifest says{done.stderr and '; no: '}"
        + (done.stderr.strip())
    )


def _copied(state: Path, copy: Path) -> None:
    copy.mkdir()
    for path in state.iterdir():
        if path.is_file() and not path.name.startswith("incidents.db"):
            shutil.copy(path, copy / path.name)
    for name in ("reports", "evidence"):
        shutil.copytree(state / name, copy / name)
    with (
        sqlite3.connect(state / "incidents.db") as source,
        sqlite3.connect(copy / "incidents.db") as target,
    ):
        source.backup(target)


def _forge(state: Path, identity: str) -> int:
    """Turn one byte of an event in the file, past the database's own guard; return its seq."""
    with sqlite3.connect(state / "incidents.db") as database:
        seq, body = database.execute(
            "SELECT seq, body FROM events WHERE incident = ? AND kind = 'assessed' LIMIT 1",
            (identity,),
        ).fetchone()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    path = state / "incidents.db"
    data = path.read_bytes()
    place = data.index(bytes(body)) + bytes(body).index(b'"P1"') + 2
    path.write_bytes(data[:place] + b"2" + data[place + 1 :])
    return int(seq)
