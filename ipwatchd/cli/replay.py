"""`ipwatchd replay`: captured files through the very same pipeline, on the capture's clock."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import msgspec

from ipwatchd.capture import read_files
from ipwatchd.cli.progress import Progress
from ipwatchd.cli.table import say
from ipwatchd.pipeline import Pipeline
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ipwatchd.config import Config

__all__ = ["replay"]


async def replay(files: Sequence[Path], state: Path, config: Config) -> int:
    """Replay `files` into the folder `state` and say on standard error what was found."""
    site = msgspec.structs.replace(config.site, state_dir=str(state))
    stores = await Stores.open(msgspec.structs.replace(config, site=site), state)
    now = 0.0
    flows = events = 0
    opened: dict[str, str] = {}
    try:
        pipeline = Pipeline(stores)
        with contextlib.closing(Progress("replay")) as progress:
            source = read_files(files, config.capture, progress=progress.update)
            for capture in source:
                now = max(now, capture.now)
                stores.history.rename(interfaces=source.interfaces)
                outcome = await pipeline.take(capture)
                flows += len(capture.flows)
                events += len(capture.events)
                opened |= {one.id: f"{one.priority} {one.title}" for one in outcome.incidents}
                await stores.history.flush(capture.now)
                await stores.casework.work(capture.now)
            pipeline.save()
    finally:
        await stores.close(now)
    for warning in source.report.warnings:
        say(f"warning: {warning}", sys.stderr)
    print(f"{flows} flows, {events} events, {len(opened)} incidents → {state}", file=sys.stderr)
    for reason, count in pipeline.silenced.counts.items():
        say(f"  silenced as expected ({reason}): {count} findings", sys.stderr)
    for identity, words in sorted(opened.items()):
        say(f"  {identity}  {words}", sys.stderr)
    return 0
