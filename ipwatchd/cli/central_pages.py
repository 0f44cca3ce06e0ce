"""What the commands of ipwatch-central about pages do."""

from __future__ import annotations

import getpass
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ipwatchd.cli.answer import as_json
from ipwatchd.cli.table import Column, print_table, say, when

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from ipwatchd.incidents import Incidents

__all__ = ["ack", "pages"]


def pages(options: argparse.Namespace) -> int:
    """List the open incidents of the centre's own log and how their pages stand."""

    async def show(log: Incidents) -> int:
        rows: list[dict[str, Any]] = [
            msgspec.to_builtins(one) for one in await log.list(limit=1000)
        ]
        if options.json:
            return as_json(rows)
        shown = [{**row, "answered": _answered(row)} for row in rows]
        columns = [
            Column("id", "ID"), Column("priority", "PRIO"), Column("rule", "WHY"),
            Column("title", "TITLE"), Column("opened", "SINCE", when),
            Column("answered", "ANSWERED BY"),
        ]  # fmt: skip
        print_table(columns, shown)
        return 0

    return _with_log(options, show)


def _answered(row: dict[str, Any]) -> str:
    paging = row.get("paging") or {}
    return ", ".join(paging.get("acks", ())) or "nobody"


def ack(options: argparse.Namespace) -> int:
    """Acknowledge; the running centre sees it in the log at its next look."""

    async def do(log: Incidents) -> int:
        after = await log.act(options.id, "ack", actor=getpass.getuser(), now=time.time())
        say(f"{after.id}: {after.title}", sys.stderr)
        return 0

    return _with_log(options, do)


def _with_log(options: argparse.Namespace, work: Callable[[Incidents], Awaitable[int]]) -> int:
    import asyncio

    from ipwatchd.central.watch import SITE
    from ipwatchd.config import IncidentSettings
    from ipwatchd.incidents import Incidents as _Incidents
    from ipwatchd.incidents.store import FILE

    folder = Path(options.state)
    if not (folder / FILE).exists():
        raise ValueError(
            f"there is no {FILE} in {folder}: the centre pages once it runs with --escalation"
        )

    async def run() -> int:
        log = await _Incidents.open(folder, SITE, IncidentSettings())
        try:
            return await work(log)
        finally:
            await log.close()

    return asyncio.run(run())
