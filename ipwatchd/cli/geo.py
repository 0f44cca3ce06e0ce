"""`ipwatchd geo`: install a database of countries, cities, operators or anonymous addresses."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ipwatchd.cli.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.config import Config

__all__ = ["add_geo", "geo"]

_ROLES = ("city", "country", "asn", "anonymous")


def add_geo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    command = commands.add_parser(
        "geo",
        help="install a database that says where addresses are and whose",
        # An address must stay in one piece.
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Install an mmdb file of MaxMind, DB-IP, IPinfo or iptoasn (.gz or not), from\n"
        "a file or an https address, into the state folder. It is tried first; a running agent\n"
        "takes it by itself. [geo] of the configuration, where it names a file, goes before it.",
        epilog="example:\n  ipwatchd geo install "
        "https://download.db-ip.com/free/dbip-country-lite-2026-11.mmdb.gz",
    )
    command.add_argument("action", choices=("install",))
    command.add_argument("source", metavar="FILE|URL")
    command.add_argument(
        "--as", dest="role", choices=_ROLES, default="", help="default: by content"
    )
    command.add_argument("--sha256", default="", metavar="HEX", help="refuse any other content")
    command.add_argument("--config", type=Path, help="whose state_dir; default: the usual one")
    command.add_argument("--state", type=Path, metavar="DIR", help="the state folder itself")


def geo(arguments: argparse.Namespace, config: Callable[[Path | None], Config]) -> int:
    """Install and say what."""
    import contextlib

    from ipwatchd.enrich.geo import GeoError
    from ipwatchd.enrich.install import install

    settings = config(arguments.config)
    state = arguments.state or Path(settings.site.state_dir)
    try:
        with contextlib.closing(Progress("geo")) as progress:
            done = install(
                arguments.source, state, role=arguments.role, sha256=arguments.sha256,
                progress=progress.update,
            )  # fmt: skip
    except GeoError as error:
        raise ValueError(str(error)) from None
    built = datetime.fromtimestamp(done.built, UTC).date() if done.built else "no date"
    print(f"{done.role}: {done.type} of {built} → {done.path} (sha256 {done.sha256})")
    if getattr(settings.geo, done.role):
        print(
            f"note: [geo] {done.role} names another file, which goes before this one: empty it",
            file=sys.stderr,
        )
    return 0
