"""`ipwatchd geo`: install a database of countries, cities, operators or anonymous addresses."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ipwatchd.cli.progress import Progress
from ipwatchd.cli.table import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipwatchd.config import Config
    from ipwatchd.enrich.install import Installed

__all__ = ["add_geo", "geo"]

_ROLES = ("city", "country", "asn", "anonymous")


def add_geo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    command = commands.add_parser(
        "geo",
        help="install a database that says where addresses are and whose",
        # An address must stay in one piece.
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Install the newest free databases of countries and operators (DB-IP Lite,\n"
        "CC BY 4.0), or an mmdb file of MaxMind, DB-IP, IPinfo or iptoasn (.gz or not) from a\n"
        "file or an https address, into the state folder. Each is tried first; a running agent\n"
        "takes it by itself. [geo] of the configuration, where it names a file, goes before it.",
        epilog="example: ipwatchd geo install; ipwatchd geo install GeoLite2-City.mmdb",
    )
    command.add_argument("action", choices=("install",))
    command.add_argument("source", metavar="FILE|URL", nargs="?", default="")
    command.add_argument(
        "--as", dest="role", choices=_ROLES, default="",
        help="what it is for; default: by content; of the free ones country and asn",
    )  # fmt: skip
    command.add_argument(
        "--mirror", metavar="URL", default="", help="where the free ones lie instead of at DB-IP"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--sha256", default="", metavar="HEX", help="refuse any other content")
    command.add_argument("--config", type=Path, help="whose state_dir; default: the usual one")
    command.add_argument("--state", type=Path, metavar="DIR", help="the state folder itself")


def geo(arguments: argparse.Namespace, config: Callable[[Path | None], Config]) -> int:
    """Install and say what."""
    import contextlib

    from ipwatchd.enrich.geo import GeoError

    settings = config(arguments.config)
    state = arguments.state or Path(settings.site.state_dir)
    done = []
    try:
        with contextlib.closing(Progress("geo")) as progress:
            for one in _installed(arguments, state, progress.update):
                done.append(one)
                if not arguments.json:
                    say(_line(one))
    except GeoError as error:
        raise ValueError(str(error)) from None
    if arguments.json:
        print(msgspec.json.encode(done).decode())
    for one in done:
        if getattr(settings.geo, one.role):
            print(
                f"note: [geo] {one.role} names another file, which goes before this one: empty it",
                file=sys.stderr,
            )
    return 0


def _installed(
    arguments: argparse.Namespace, state: Path, progress: Callable[[int, int], None]
) -> Iterator[Installed]:
    from ipwatchd.enrich import install

    if arguments.source:
        yield install.install(
            arguments.source, state, role=arguments.role, sha256=arguments.sha256,
            progress=progress,
        )  # fmt: skip
        return
    if arguments.sha256:
        raise ValueError("--sha256 is of one file: name it")
    roles = (arguments.role,) if arguments.role else install.FREE_ROLES
    if arguments.role == "anonymous":
        raise ValueError("there is no free database of anonymous addresses: name a file of yours")
    yield from install.install_free(
        state, datetime.now(UTC).date(), roles,
        base=(arguments.mirror or install.FREE).rstrip("/"), progress=progress,
    )  # fmt: skip


def _line(done: Installed) -> str:
    built = datetime.fromtimestamp(done.built, UTC).date() if done.built else "no date"
    return f"{done.role}: {done.type} of {built} → {done.path} (sha256 {done.sha256})"
