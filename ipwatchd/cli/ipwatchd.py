"""`ipwatchd`: run the agent, check its configuration, read captures, play the lab."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipwatchd import __version__
from ipwatchd.cli.geo import add_geo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.config import Config

__all__ = ["main"]

CONFIG: Final = "/etc/ipwatchd/ipwatchd.toml"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ipwatchd",
        description="Watches, records and enforces which IP address may do what at a gateway.",
        epilog="example: ipwatchd flows capture.pcap --format csv -o flows.csv",
    )
    parser.add_argument("--version", action="version", version=f"ipwatchd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_replay(commands)
    _add_dump(commands, "flows", ("jsonl", "csv", "parquet", "zeek"))
    _add_dump(commands, "events", ("jsonl",))
    _add_lab(commands)
    _add_restore(commands)
    add_geo(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, help_text, example in (
        (
            "run",
            "run the agent in the foreground",
            "ipwatchd run --config /etc/ipwatchd/ipwatchd.toml",
        ),
        ("check", "say what is wrong with a configuration file", "ipwatchd check --config my.toml"),
    ):
        command = commands.add_parser(
            name, help=help_text, description=help_text, epilog=f"example: {example}"
        )
        command.add_argument("--config", type=Path, default=Path(CONFIG), help=f"default: {CONFIG}")


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "replay",
        help="put captured files through the whole agent, on the capture's clock",
        description="Put captured files through the whole agent, on the capture's clock; leaves a "
        "state folder that every ipwatchctl command reads with --state.",
        epilog="example: ipwatchd replay day.pcap --state out; ipwatchctl --state out status",
    )
    command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    command.add_argument("--state", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--config", type=Path, help="zones, thresholds, geo files; default: built in"
    )


def _add_dump(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str, formats: Sequence[str],
) -> None:  # fmt: skip
    command = commands.add_parser(
        name,
        help=f"print the {name} of captured files",
        description=f"Print the {name} of captured files.",
        epilog=f"example: ipwatchd {name} capture.pcap | head",
    )
    command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    command.add_argument("--format", choices=formats, default="jsonl")
    command.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="default: standard output"
    )
    command.add_argument("--config", type=Path, help="timeouts and table size; default: built in")


def _add_restore(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "restore",
        help="put a backup into a new state folder",
        description="Check a backup that `ipwatchctl backup` wrote and put it into a state folder "
        "that is new or empty.",
        epilog="example: ipwatchd restore /srv/backup/2026-03-01 --state /var/lib/ipwatchd",
    )
    command.add_argument("backup", type=Path, metavar="DIR")
    command.add_argument("--state", type=Path, required=True, metavar="DIR")


def _geo(arguments: argparse.Namespace) -> int:
    from ipwatchd.cli.geo import geo

    return geo(arguments, _config)


def _restore(arguments: argparse.Namespace) -> int:
    from ipwatchd.backup import restore
    from ipwatchd.cli.table import say

    found = restore(arguments.backup, arguments.state)
    say(f"{len(found.files)} files of site {found.site} → {arguments.state}", sys.stderr)
    return 0


def _add_lab(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from ipwatchd.lab import add_arguments

    command = commands.add_parser(
        "lab",
        help="a whole site in network namespaces, with real traffic and real attacks",
        description="Build a site in network namespaces, play a working day, show what was seen.",
        epilog="example: ipwatchd lab --once",
    )
    add_arguments(command)


def _config(path: Path | None) -> Config:
    from ipwatchd.config import Config
    from ipwatchd.config.load import load

    return load(path) if path else Config()


def _run(arguments: argparse.Namespace) -> int:
    config = _config(arguments.config)
    _may_write(Path(config.site.state_dir))
    if not os.environ.get("NUMBA_CACHE_DIR") and not os.access(Path(__file__).parents[1], os.W_OK):
        # An installed package is not ours to write to: keep compiled code with the state.
        os.environ["NUMBA_CACHE_DIR"] = f"{config.site.state_dir}/compiled"
    import asyncio

    from ipwatchd.cli.narration import narrate
    from ipwatchd.daemon import run

    narrate()
    asyncio.run(run(config, arguments.config))
    return 0


def _may_write(folder: Path) -> None:
    """Refuse a state folder of somebody else's before anything is compiled into it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _check(arguments: argparse.Namespace) -> int:
    config = _config(arguments.config)
    from ipwatchd.cli.check import check_policy, source, warnings
    from ipwatchd.cli.table import say

    check_policy(config)
    for warning in warnings(config):
        say(f"{arguments.config}: {warning}", sys.stderr)
    chosen = source(config)
    print(f"{arguments.config}: good (site {config.site.name}, firewall {config.firewall.mode})")
    print(f"flows from {chosen.source}: {chosen.why}")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    import asyncio

    from ipwatchd.cli.replay import replay

    return asyncio.run(replay(arguments.files, arguments.state, _config(arguments.config)))


def _flows(arguments: argparse.Namespace) -> int:
    from ipwatchd.cli.flows import run_flows

    settings = _config(arguments.config).capture
    return run_flows(arguments.files, settings, arguments.format, arguments.output)


def _events(arguments: argparse.Namespace) -> int:
    from ipwatchd.cli.flows import run_events

    return run_events(arguments.files, _config(arguments.config).capture, arguments.output)


def _lab(arguments: argparse.Namespace) -> int:
    from ipwatchd.lab import main as lab

    return lab(arguments)


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "check": _check,
    "replay": _replay,
    "flows": _flows,
    "events": _events,
    "lab": _lab,
    "restore": _restore,
    "geo": _geo,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; every refusal is one sentence on standard error."""
    parsed = _parser().parse_args(arguments)
    from ipwatchd.cli.refusal import refusal
    from ipwatchd.cli.table import say

    try:
        return _COMMANDS[parsed.command](parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader had enough (| head): nothing more to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ExceptionGroup) as error:
        text, status = refusal(error)
        say(f"ipwatchd: {text}", sys.stderr)
        return status


if __name__ == "__main__":
    sys.exit(main())
