"""`ipwatchd lab`: look what is there, then run the lab inside namespaces of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ipwatchd lab`."""
    parser.add_argument(
        "--once", action="store_true",
        help="no UI: print what happens and a summary; exit 0 if all that was expected happened",
    )  # fmt: skip
    parser.add_argument(
        "--cases", action="store_true",
        help="the desk's day: twelve incidents from intake to closing, pages, clocks, the centre "
        "away; prints what happens and a summary; exit 0 if all that was expected happened",
    )  # fmt: skip
    parser.add_argument(
        "--keep", metavar="DIR", type=Path, default=None,
        help="keep the state (databases, archive, logs, papers) in this empty or new folder",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Run the lab; 0 where everything expected happened, 1 where not, 2 where it can't run."""
    from ipwatchd.lab import shelter

    lacking = shelter.missing()
    if lacking:
        return _refuse(lacking)
    try:
        import asyncssh  # noqa: F401 - only whether it is there
    except ImportError:
        return _refuse("asyncssh is needed: pip install 'ipwatchd[lab]'")
    arguments = ["--play", _play(args)]
    if args.keep is not None:
        try:
            args.keep.mkdir(parents=True, exist_ok=True)
            if any(args.keep.iterdir()):
                return _refuse(f"{args.keep} is not empty: name a new folder for --keep")
        except OSError as error:
            return _refuse(f"{args.keep} can't be used for --keep: {error.strerror}")
        arguments += ["--keep", str(args.keep.resolve())]
    try:
        flags = shelter.flags(several=_play(args) == "cases")
    except shelter.NoShelterError as error:
        return _refuse(str(error))
    return shelter.hold(flags, "ipwatchd.lab.inside", arguments)


def _play(args: argparse.Namespace) -> str:
    """Return what is to be played: the desk's cases, the day once, or days behind the TUI."""
    wish = os.environ.get("LAB")
    if args.cases or wish == "cases":
        return "cases"
    return "once" if args.once or wish == "once" or not sys.stdout.isatty() else "tui"


def _refuse(sentence: str) -> int:
    print(f"ipwatchd lab: {sentence}", file=sys.stderr)
    return 2
