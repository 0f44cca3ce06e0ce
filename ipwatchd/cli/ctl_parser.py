"""The command line of `ipwatchctl`: each command's words, and the function that serves it.

Of some hundred commands only the one that was asked for is built, and only what it needs is
imported: building and importing all of them takes most of the time that one command takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipwatchd import __version__
from ipwatchd.cli.commands import LONG
from ipwatchd.cli.table import columns_of_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ipwatchd.control.client import Client

__all__ = ["KINDS", "SOCKET", "parser_for"]

SOCKET: Final = "/run/ipwatchd/control.sock"
_FORMATS: Final = ("plain", "csv", "json", "nft")
KINDS: Final = ("incoming", "agent", "session", "list", "geo", "api", "activity")


class _Form(argparse.HelpFormatter):
    """Help as wide as the terminal; argparse makes one of each parser and asks shutil each time."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns_of_terminal() - 2)


class Commands:
    """Adds commands; each has help with an example and the function that serves it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._group = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        self, name: str, help_text: str, example: str,
        action: Callable[[Client, argparse.Namespace], int] | None = None,
    ) -> argparse.ArgumentParser:  # fmt: skip
        parser = self._group.add_parser(
            name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.",
            epilog=f"example: ipwatchctl {example}", formatter_class=_Form,
        )  # fmt: skip
        # Also after the command, where people put it.
        parser.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
        )
        if action:
            parser.set_defaults(action=action)
        return parser


def parser_for(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser that takes these words, or any where they name no command or ask for help."""
    parser = argparse.ArgumentParser(
        prog="ipwatchctl",
        description="Look at and steer the ipwatchd of this gateway.",
        epilog="example: ipwatchctl deny add 203.0.113.7 --for 2h --reason 'guessing passwords'",
        formatter_class=_Form,
    )
    parser.add_argument("--version", action="version", version=f"ipwatchctl {__version__}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--socket", type=Path, help=f"default: $IPWATCHD_SOCKET or {SOCKET}")
    where.add_argument("--state", type=Path, metavar="DIR", help="a state folder, no daemon needed")
    commands = Commands(parser)
    meant = _named(words)
    found = [add for names, add in _ADDERS if meant in names]
    for add in found or [add for _, add in _ADDERS]:
        add(commands)
    return parser


def _named(words: Iterable[str]) -> str:
    """Return the first word that is no option; "" where help on all commands is asked for."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return word
        if word.startswith(("-h", "--h")):
            return ""
        if word.startswith("--s") and "=" not in word:  # --socket and --state take a value
            next(rest, None)
    return ""


def _add_overview(commands: Commands) -> None:
    from ipwatchd.cli import actions

    commands.add("status", "show the agent at a glance", "status", actions.status)
    commands.add("doctor", "check every part of the installation", "doctor", actions.doctor)
    top = commands.add(
        "top", "show the busiest addresses, or what a filter's by: names",
        "top country:RU by:service every:1h --since 24h", actions.top,
    )  # fmt: skip
    top.add_argument("filter", nargs="*", metavar="FILTER", help="such as !port:53 by:country")
    top.add_argument("--by", choices=("bytes", "packets", "flows"), default="bytes")
    top.add_argument(
        "--since", default="1h", metavar="SPAN", help="90s, 15m, 24h, 7d (default: 1h)"
    )
    top.add_argument("--limit", type=int, default=20)
    agents = commands.add(
        "agents", "list who is at which address, and how sure that is", "agents maria",
        actions.agents,
    )  # fmt: skip
    agents.add_argument("name", nargs="?", metavar="AGENT|ADDRESS")
    agents.add_argument("--all", action="store_true", help="also those of the roster who are away")
    commands.add("zones", "list the zones", "zones", actions.zones)


def _add_records(commands: Commands) -> None:
    from ipwatchd.cli import actions

    example = "records incoming country:RU since:24h"
    command = commands.add("records", "list records of one kind", example, actions.records)
    command.add_argument("kind", choices=KINDS)
    command.add_argument("--offset", type=int, default=0, help="rows to leave out first")
    for name, example in (
        ("flows", "flows src:10.20.0.0/16 port:443"),
        ("events", "events kind:dns since:1h"),
    ):
        _filtered(commands.add(name, f"list {name}, newest first", example, getattr(actions, name)))
    _filtered(command)
    show = commands.add(
        "show", "show all that is known of an address", "show 203.0.113.7", actions.show
    )
    show.add_argument("address")


def _add_privacy(commands: Commands) -> None:
    from ipwatchd.cli import privacy_actions

    audit = commands.add(
        "audit", "show who looked at what", "audit --limit 20", privacy_actions.audit
    )
    audit.add_argument("--limit", type=int, default=100)
    audit.add_argument("verify", nargs="?", choices=("verify",), help="check the log's chain")
    audit.add_argument(
        "--head", default="", metavar="SEQ:HASH", help="what an earlier verify said was the end"
    )
    export = commands.add(
        "export", "write all rows to a file, under pseudonyms",
        "export flows since:24h --format parquet -o flows.parquet", privacy_actions.export,
    )  # fmt: skip
    export.add_argument("what", choices=(*KINDS, "events", "flows"))
    export.add_argument("filter", nargs="*", metavar="FILTER", help="such as since:24h")
    export.add_argument(
        "--format", choices=("jsonl", "csv", "parquet", "zeek", "ocsf"), default="jsonl"
    )
    export.add_argument("-o", "--output", type=Path, metavar="FILE")
    export.add_argument("--clear", action="store_true", help="true addresses and names")
    export.add_argument("--reason", default="", metavar="TEXT", help="needed with --clear")
    subject = commands.add(
        "subject", "write everything held on an address or agent",
        "subject 203.0.113.7 -o held.json --html held.html", privacy_actions.subject,
    )  # fmt: skip
    subject.add_argument("subject", metavar="ADDRESS|NETWORK|AGENT")
    subject.add_argument("-o", "--output", type=Path, metavar="FILE")
    subject.add_argument("--html", type=Path, metavar="FILE", help="as a page, too")
    backup = commands.add(
        "backup", "write everything the agent keeps into a folder",
        "backup /srv/backup/2026-03-01", privacy_actions.backup,
    )  # fmt: skip
    backup.add_argument("folder", type=Path)
    for one in (audit, export, subject, backup):
        one.set_defaults(patience=LONG)
    _add_forgetting(commands)


def _add_forgetting(commands: Commands) -> None:
    from ipwatchd.cli import privacy_actions

    erase = commands.add(
        "erase", "erase an address, network or agent everywhere, and prove it",
        "erase 203.0.113.7 --reason 'request 12' --yes", privacy_actions.erase,
    )  # fmt: skip
    erase.add_argument("subject", metavar="ADDRESS|NETWORK|AGENT")
    erase.add_argument("--reason", required=True, metavar="TEXT")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    reveal = commands.add(
        "reveal", "say whom a pseudonym stands for",
        "reveal 151.140.114.167 --reason 'case 7'", privacy_actions.reveal,
    )  # fmt: skip
    reveal.add_argument("pseudonym")
    reveal.add_argument("--reason", required=True, metavar="TEXT")
    keys = Commands(
        commands.add("archive-keys", "show and drop the keys of the archive", "archive-keys list")
    )
    keys.add(
        "list", "list the days of the archive that lie under keys", "archive-keys list",
        privacy_actions.archive_keys,
    )  # fmt: skip
    drop = keys.add(
        "drop", "destroy a day's key: the day is anonymous at once, for good",
        "archive-keys drop 2026-03-01 --reason 'end of contract' --yes", privacy_actions.drop_key,
    )  # fmt: skip
    drop.add_argument("day", metavar="YYYY-MM-DD")
    drop.add_argument("--reason", required=True, metavar="TEXT")
    drop.add_argument("--yes", action="store_true", help="do not ask")
    for one in (erase, reveal, drop):
        one.set_defaults(patience=LONG)


def _filtered(command: argparse.ArgumentParser) -> None:
    plain = command.format_help

    def with_keys() -> str:
        from ipwatchd.records.filter import help_text  # when it is asked for: starting stays fast

        return f"{plain()}\nfilters:\n{help_text()}\n"

    command.format_help = with_keys  # type: ignore[method-assign]  # argparse prints text alone
    command.add_argument(
        "filter",
        nargs="*",
        metavar="FILTER",
        help="terms such as src:10.0.0.0/8 !port:53 since:24h; all of them below",
    )
    command.add_argument("--limit", type=int, default=100)


def _add_list(commands: Commands, name: str) -> None:
    from ipwatchd.cli import list_actions

    parser = commands.add(name, f"edit the {name} list", f"{name} list")
    inner = Commands(parser)
    add = inner.add(
        "add", f"put a network on the {name} list",
        f"{name} add 203.0.113.0/24 --for 2h --reason 'ticket 4711'", list_actions.add,
    )  # fmt: skip
    add.add_argument("network", help="network, first-last, country:RU, asn:64500, name:H, agent:A")
    _due(add)
    add.add_argument("--ticket", default="", help="its number, such as 4711")
    add.add_argument("--force", action="store_true", help="also what would lock people out")
    drop = inner.add(
        "del", f"take a network off the {name} list",
        f"{name} del 203.0.113.7 --reason 'released'", list_actions.remove,
    )  # fmt: skip
    drop.add_argument("network")
    drop.add_argument("--reason", required=True, metavar="TEXT")
    listed = inner.add(
        "list", "list the entries", f"{name} list 203.0.113 --source admin", list_actions.entries
    )
    listed.add_argument("match", nargs="?", default="", help="a part of network, reason or ticket")
    listed.add_argument("--source", default="", help="admin, import, central, feed:NAME …")
    listed.add_argument("--limit", type=int, default=1000)
    listed.add_argument("--offset", type=int, default=0, help="entries to leave out first")
    _add_files(inner, name)
    look = inner.add(
        "preview", "show what an entry would have touched",
        f"{name} preview country:RU --since 7d", list_actions.preview,
    )  # fmt: skip
    look.add_argument("network", nargs="?", default="", help="none: whom --service would stop")
    look.add_argument("--since", default="24h", metavar="SPAN", help="default: 24h")
    for one in (add, drop, listed, look):
        one.add_argument("--service", default="", metavar="NAME", help="for this service alone")
    why = inner.add(
        "why", "show which entry decides, and every rule in order", f"{name} why 203.0.113.7 vpn",
        list_actions.why,
    )  # fmt: skip
    why.add_argument("address")
    why.add_argument("service", nargs="?", default="")
    parser.set_defaults(list=name)


def _due(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reason", required=True, metavar="TEXT")
    command.add_argument(
        "--for", dest="span", default="", metavar="SPAN", help="default: until removed"
    )
    command.add_argument("--yes", action="store_true", help="do not ask")


def _add_files(inner: Commands, name: str) -> None:
    from ipwatchd.cli import list_actions

    taken = inner.add(
        "import", "put many networks on it", f"{name} import bad.txt --reason 'weekly list'",
        list_actions.import_entries,
    )  # fmt: skip
    taken.add_argument("file", type=Path, help="a file, or - for standard input")
    _due(taken)
    taken.add_argument("--format", choices=_FORMATS, default="", help="default: by its look")
    taken.add_argument("--dry-run", action="store_true", help="only say what would come of it")
    given = inner.add(
        "export", "write the entries", f"{name} export --format csv", list_actions.export_entries
    )
    given.add_argument("--format", choices=_FORMATS, default="plain")
    given.add_argument("--all", action="store_true", help="feeds' and the centre's entries too")


def _add_feeds(commands: Commands) -> None:
    from ipwatchd.cli import actions

    inner = Commands(commands.add("feeds", "show the lists that others keep", "feeds list"))
    inner.add("list", "show each feed and its last success", "feeds list", actions.feeds)
    look = inner.add(
        "refresh", "look at a feed now", "feeds refresh spamhaus-drop", actions.refresh_feed
    )
    look.add_argument("name")
    look.add_argument("--force", action="store_true", help="take it whatever its size")


def _add_firewall(commands: Commands) -> None:
    from ipwatchd.cli import actions

    inner = Commands(
        commands.add("firewall", "show and steer the kernel's rules", "firewall status")
    )
    inner.add(
        "status", "show mode, counts and what was dropped", "firewall status", actions.firewall
    )
    mode = inner.add(
        "mode",
        "switch modes; rolls back unless confirmed",
        "firewall mode enforce --confirm 60s",
        actions.firewall_mode,
    )
    mode.add_argument("mode", choices=("off", "observe", "enforce"))
    mode.add_argument(
        "--confirm",
        default="",
        metavar="SPAN",
        help="roll back after (default: [firewall] confirm_seconds, 60s; 0s: never)",
    )
    mode.add_argument("--reason", default="", metavar="TEXT")
    mode.add_argument("--yes", action="store_true", help="do not ask")
    inner.add(
        "diff", "compare the stored lists with the kernel", "firewall diff", actions.firewall_diff
    )
    inner.add("confirm", "keep the change of mode", "firewall confirm", actions.firewall_confirm)
    inner.add(
        "rollback", "take the change of mode back", "firewall rollback", actions.firewall_rollback
    )


def _add_incidents(commands: Commands) -> None:
    from ipwatchd.cli.case_parser import add_incidents

    about = "list and work on incidents"
    add_incidents(Commands(commands.add("incidents", about, "incidents list")))


def _add_report(commands: Commands) -> None:
    from ipwatchd.cli.case_parser import add_report

    add_report(commands)


def _add_clocks(commands: Commands) -> None:
    from ipwatchd.cli.clocks import add_clocks

    add_clocks(commands)


def _add_tui(commands: Commands) -> None:
    from ipwatchd.cli import actions

    commands.add("tui", "open the terminal UI", "tui", actions.tui).set_defaults(terminal=True)


_ADDERS: Final[tuple[tuple[frozenset[str], Callable[[Commands], None]], ...]] = (
    (frozenset({"status", "doctor", "top", "agents", "zones"}), _add_overview),
    (frozenset({"records", "flows", "events", "show"}), _add_records),
    (
        frozenset({"audit", "export", "subject", "erase", "backup", "reveal", "archive-keys"}),
        _add_privacy,
    ),
    (frozenset({"deny"}), lambda commands: _add_list(commands, "deny")),
    (frozenset({"allow"}), lambda commands: _add_list(commands, "allow")),
    (frozenset({"feeds"}), _add_feeds),
    (frozenset({"firewall"}), _add_firewall),
    (frozenset({"incidents"}), _add_incidents),
    (frozenset({"report"}), _add_report),
    (frozenset({"clocks", "pages", "regimes"}), _add_clocks),
    (frozenset({"tui"}), _add_tui),
)
"""Which words each adds; in the order of help."""
