"""ipwatch-central: the collector of all sites' incidents, and its tokens, sites and lists."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipwatchd.cli import central_actions, central_erasure, central_pages
from ipwatchd.cli.refusal import refusal
from ipwatchd.cli.reviews import DIVISIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

STATE = "/var/lib/ipwatch-central"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 no, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        words, status = refusal(error)
        print(f"ipwatch-central: {words}", file=sys.stderr)
        return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ipwatch-central", description=__doc__, epilog="example: ipwatch-central sites --json"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _run_parser(commands)
    _token_parser(commands)
    _question_parsers(commands)
    _lists_parser(commands)
    _pages_parser(commands)
    _erase_parser(commands)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, example: str,
    *, json: bool = False,
) -> argparse.ArgumentParser:  # fmt: skip
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".",
        epilog=f"example: ipwatch-central {example}",
    )  # fmt: skip
    made.add_argument("--state", default=STATE, metavar="DIR", help=f"state folder ({STATE})")
    if json:
        made.add_argument("--json", action="store_true", help="one JSON array on stdout")
    made.set_defaults(run=run)
    return made


def _run_parser(commands: Any) -> None:
    run = _command(
        commands, "run", central_actions.run, "collect until stopped",
        "run --host 0.0.0.0 --certificate cert.pem --key key.pem",
    )  # fmt: skip
    run.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    run.add_argument("--port", type=int, default=8470, help="port, 0 for a free one (8470)")
    run.add_argument("--certificate", default="", metavar="FILE", help="TLS certificate chain, PEM")
    run.add_argument("--key", default="", metavar="FILE", help="its private key, PEM")
    run.add_argument(
        "--escalation", default="", metavar="FILE",
        help="who is paged for silent sites and in the place of sites",
    )  # fmt: skip
    run.add_argument("--acks", default="", metavar="HOST:PORT", help="take answers to pages here")
    run.add_argument("--link", default="", metavar="URL", help="how people reach --acks")
    run.add_argument("--weekly", default="", metavar="WHEN", help="make a report: 'mon 07:00'")
    run.add_argument("--monthly", default="", metavar="WHEN", help="and of the month: '1 07:00'")
    run.add_argument("--reports", type=Path, metavar="DIR", help="where (papers in --state)")
    run.add_argument("--zone", default="UTC", help="whose clock (Asia/Manila; default: UTC)")
    run.add_argument("--tlp", default="TLP:AMBER", help="who may read them (TLP 2.0)")
    run.add_argument(
        "--mail", action="append", default=[], metavar="NAME",
        help="mail them to a name under [stakeholders] of --escalation; may stand several times",
    )  # fmt: skip


def _token_parser(commands: Any) -> None:
    token = commands.add_parser(
        "token", help="who may deliver: add, list or revoke tokens",
        epilog="example: ipwatch-central token add manila",
    )  # fmt: skip
    kinds = token.add_subparsers(required=True, metavar="add|list|revoke")
    text = "print a new token for a site, once; only its hash is kept"
    add = _command(kinds, "add", central_actions.token_add, text, "token add manila > token")
    add.add_argument("site")
    text = "list tokens by the first digits of their hash"
    _command(kinds, "list", central_actions.token_list, text, "token list --json", json=True)
    text = "revoke every token of a site, at once"
    revoke = _command(kinds, "revoke", central_actions.token_revoke, text, "token revoke manila")
    revoke.add_argument("site")


def _question_parsers(commands: Any) -> None:
    text = "list the sites: last contact, newest event, open incidents, silent since"
    _command(commands, "sites", central_actions.sites, text, "sites --json", json=True)
    text = "list incidents of all sites, the newest first"
    incidents = _command(
        commands,
        "incidents",
        central_actions.incidents,
        text,
        "incidents --site manila --in all",
        json=True,
    )
    incidents.add_argument("--site", default="", help="only of this site")
    incidents.add_argument(
        "--in", dest="word", default="open", metavar="STATE",
        help="open, all or a state such as NEW (open)",
    )  # fmt: skip
    incidents.add_argument("--limit", type=int, default=1000, help="at most so many (1000)")
    text = "all sites' incidents: how many, how fast, how often wrong"
    trends = _command(
        commands, "trends", central_actions.trends, text, "trends --since 30d --by site", json=True
    )
    trends.add_argument("--by", default="site", choices=DIVISIONS, help="default: site")
    text = "write the report of a period over all sites, as HTML or PDF"
    report = _command(commands, "report", central_actions.report, text, "report -o month.pdf")
    report.add_argument("-o", dest="output", type=Path, default=Path("incidents.html"))
    report.add_argument("--tlp", default="TLP:AMBER", help="who may read it (TLP 2.0)")
    for one in (trends, report):
        one.add_argument("--since", default="30d", metavar="SPAN", help="default: 30d")
        one.add_argument("--until", default="0s", metavar="SPAN", help="default: now")
        one.add_argument("--zone", default="UTC", help="whose days (Asia/Manila; default: UTC)")
    text = "check every site's hash chain; exit status 1 where one is broken"
    _command(commands, "verify", central_actions.verify, text, "verify", json=True)


def _pages_parser(commands: Any) -> None:
    text = "list what the centre pages for: silent sites, incidents taken over, sources"
    _command(commands, "pages", central_pages.pages, text, "pages --json", json=True)
    text = "acknowledge a page of the centre"
    ack = _command(commands, "ack", central_pages.ack, text, "ack CENTRE-000001")
    ack.add_argument("id")


def _erase_parser(commands: Any) -> None:
    text = "take an address, network or name out of the centre; what is evidence stays and is named"
    one = _command(
        commands, "erase", central_erasure.erase, text,
        "erase 203.0.113.7 --reason 'request 12' --yes", json=True,
    )  # fmt: skip
    one.add_argument("subject", metavar="SUBJECT", help="address, network or name")
    one.add_argument("--reason", required=True, help="why, without naming whom: it is kept")
    one.add_argument("--yes", action="store_true", help="do not ask")


def _lists_parser(commands: Any) -> None:
    lists = commands.add_parser(
        "lists", help="deny and allow entries handed to sites",
        epilog="example: ipwatch-central lists list",
    )  # fmt: skip
    kinds = lists.add_subparsers(required=True, metavar="add|del|list")
    text = "add an entry for one site or all"
    example = 'lists add deny 203.0.113.0/24 --for 2h --reason "scans all sites"'
    add = _command(kinds, "add", central_actions.lists_add, text, example)
    text = "remove an entry"
    remove = _command(
        kinds, "del", central_actions.lists_del, text, "lists del deny 203.0.113.0/24"
    )
    for one in (add, remove):
        one.add_argument("list", choices=("deny", "allow"))
        one.add_argument("network")
        one.add_argument("--site", default="", help="only for this site (all)")
    add.add_argument("--reason", required=True, help="why, as the admins of the sites will read it")
    add.add_argument("--for", dest="span", default="", metavar="SPAN", help="how long: 90s, 2h, 7d")
    add.add_argument("--ticket", default="")
    text = "list the entries in force"
    _command(kinds, "list", central_actions.lists_list, text, "lists list --json", json=True)


if __name__ == "__main__":
    sys.exit(main())
