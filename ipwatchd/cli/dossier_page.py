"""Everything held on one subject as a page that can be handed to that person.

It needs nothing else: no script, no font, nothing loaded from anywhere, and its policy forbids it.
Every word of it that came from the wire or from a person is escaped.
"""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ipwatchd.cli.dossier import Dossier
from ipwatchd.cli.table import clean, size
from ipwatchd.records.duration import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["HtmlDossier"]

_ROWS: Final = 2_000
"""Rows of a section on the page; the JSON has all of them."""
_TIMES: Final = frozenset({
    "ts", "start", "end", "first_seen", "last_seen", "time", "created", "expires", "made", "login",
    "logout", "built",
})  # fmt: skip
_LAST_TIME: Final = 32_503_680_000


class _Section(NamedTuple):
    """How a section is put to a person: its title, what it is, and which fields it shows."""

    title: str
    about: str
    fields: tuple[str, ...]


_SECTIONS: Final = {
    "incoming": _Section(
        "Services reached", "Who opened connections to which service, how often, and whether a "
        "deny list stopped them.",
        ("address", "target", "proto", "port", "service", "country", "first_seen", "last_seen",
         "count", "denied"),
    ),
    "agent": _Section(
        "User names seen at addresses", "Which user name was at work at which address, as logins "
        "and calls showed it.",
        ("agent", "address", "source", "authorised", "mac", "device", "first_seen", "last_seen",
         "count"),
    ),
    "session": _Section(
        "Times of activity", "Unbroken stretches of activity of an address.",
        ("address", "agent", "start", "end", "duration", "login", "logout", "services", "flows",
         "bytes"),
    ),
    "list": _Section(
        "Changes of the allow and deny lists", "When the address, or a network it is in, was put "
        "on a list or taken off, by whom and why.",
        ("ts", "list", "network", "action", "author", "reason", "hits"),
    ),
    "geo": _Section(
        "Country, city and network operator", "Where databases of address ranges place the "
        "address. It is the place of the network, and may be wrong.",
        ("address", "country", "city", "operator", "asn", "time_zone", "built", "first_seen",
         "last_seen"),
    ),
    "api": _Section(
        "Calls to programming interfaces", "Which host was called with which method, and what it "
        "answered; never what was sent.",
        ("address", "name", "method", "status", "key", "count", "first_seen", "last_seen"),
    ),
    "activity": _Section(
        "Activity hour by hour", "Sums of traffic, names asked for, logins and the like, newest "
        "first within each part.", ("ts", "kind", "address", "text"),
    ),
    "flows": _Section(
        "Connections", "Each connection: both ends, when, how much. The content is never recorded.",
        ("start", "end", "proto", "orig", "orig_port", "resp", "resp_port", "service", "state",
         "orig_bytes", "resp_bytes"),
    ),
    "events": _Section(
        "Events", "Logins, calls and requests under the name.",
        ("ts", "kind", "orig", "resp", "user", "name", "service", "result"),
    ),
    "mentions": _Section(
        "Other events that name it", "Events of other addresses in which the name or address "
        "stands, such as an answer of the name service.",
        ("ts", "kind", "orig", "resp", "name", "user", "message", "address"),
    ),
    "entries": _Section(
        "On lists now", "Entries of the allow and deny lists in force.",
        ("list", "network", "reason", "author", "created", "expires"),
    ),
    "audit": _Section(
        "Who looked at these data", "Lines of the audit log that name the address or the person.",
        ("time", "actor", "action", "subject", "detail"),
    ),
}  # fmt: skip
"""The streams and lists of a dossier; the first six and activity are the seven records."""

_WORDS: Final = {
    "ts": "Time", "first_seen": "First seen", "last_seen": "Last seen", "asn": "Operator number",
    "mac": "Device (MAC)", "device": "Device name", "orig": "From", "orig_port": "From port",
    "resp": "To", "resp_port": "To port", "orig_bytes": "Sent", "resp_bytes": "Received",
    "proto": "Protocol", "state": "How it ended", "built": "Database of", "kind": "Kind",
    "text": "What", "author": "By", "actor": "Who", "detail": "Why", "key": "Client or user",
    "name": "Name", "time_zone": "Time zone", "flows": "Connections", "authorised": "Authorised",
    "subject": "What was looked at", "hits": "Packets stopped", "denied": "Packets stopped",
    "created": "Since", "expires": "Until", "user": "User", "count": "Times",
}  # fmt: skip
_TOTALS: Final = (
    "address", "zone", "country", "asn", "first_seen", "last_seen", "flows", "packets", "bytes",
)  # fmt: skip

_STYLE: Final = """
:root { color-scheme: light }
body { font: 15px/1.5 "Liberation Sans", Arial, sans-serif; margin: 0 auto; padding: 2em 1.5em 4em;
       max-width: 72em; color: #1c2530; background: #fff }
header { border-bottom: 3px solid #1f4e79; padding-bottom: 1em; margin-bottom: 1.5em }
h1 { font-size: 1.7em; margin: 0 0 .2em; color: #1f4e79 }
h2 { font-size: 1.2em; margin: 2.2em 0 .2em; color: #1f4e79; border-bottom: 1px solid #c9d3de }
p { margin: .4em 0; max-width: 60em } .quiet { color: #5b6875; font-size: .93em }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15em 1.5em; margin: 1em 0 }
dt { color: #5b6875 } dd { margin: 0; font-weight: 600 }
nav ol { columns: 2; max-width: 50em; margin: .5em 0; padding-left: 1.5em }
a { color: #1f4e79 }
table { border-collapse: collapse; font-size: 12.5px; width: 100%; margin: .6em 0 }
th, td { text-align: left; padding: .25em .6em; border-bottom: 1px solid #e3e8ee;
         vertical-align: top; overflow-wrap: anywhere }
th { background: #eef3f8; white-space: nowrap; overflow-wrap: normal } .number { text-align: right }
td.number, td.time { white-space: nowrap } tr:nth-child(even) td { background: #fafbfd }
@media print { body { padding: 0; font-size: 11px } table { font-size: 9px }
    h2 { break-after: avoid } tr { break-inside: avoid } thead { display: table-header-group } }
"""
_NUMBERS: Final = frozenset({
    "count", "flows", "packets", "bytes", "orig_bytes", "resp_bytes", "port", "orig_port",
    "resp_port", "denied", "hits", "status", "duration",
})  # fmt: skip


class HtmlDossier(Dossier):
    """The page. Sections come one after the other, each in batches."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._section = _SECTIONS["events"]
        self._shown: list[str] = []
        self._count = 0

    def _write(self, text: str) -> None:
        self._out.write(text.encode("utf-8", "replace"))

    def head(self, facts: dict[str, Any]) -> None:
        """Write who it is about, what is held at a glance, and what this page is."""
        who = html.escape(clean(facts["subject"]))
        made = _cell("made", facts["made"])
        self._write(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width">'
            f"<title>What is held on {who}</title><style>{_STYLE}</style></head><body>\n"
            f"<header><h1>What is held on {who}</h1>"
            f"<p>Everything that ipwatchd holds on this {html.escape(facts['kind'])} at the site "
            f"<b>{html.escape(clean(facts.get('site', '')))}</b>, as of {made} UTC.</p></header>"
            "<p>The gateway of this site records who connected to whom, when and how much, "
            "who logged in where, and which names were asked for. It never records the content of "
            "a connection. All times are UTC.</p>"
        )
        self._write("".join(self._glance(facts)))
        items = "".join(
            f'<li><a href="#{name}">{html.escape(_SECTIONS[name].title)}</a></li>'
            for name in facts.get("contents", ()) if name in _SECTIONS
        )  # fmt: skip
        if items:
            self._write(f"<nav><ol>{items}</ol></nav>")

    def _glance(self, facts: Mapping[str, Any]) -> Iterator[str]:
        totals = facts.get("totals", {})
        yield "<dl>"
        for name in _TOTALS:
            if totals.get(name):
                yield f"<dt>{_word(name)}</dt><dd>{_cell(name, totals[name])}</dd>"
        incidents = ", ".join(map(clean, facts.get("incidents", ()))) or "none"
        yield f"<dt>Named in incidents</dt><dd>{html.escape(incidents)}</dd></dl>"

    def begin(self, name: str) -> None:
        """Write a section's title and what it is."""
        self._section = _SECTIONS.get(name, _Section(name, "", ()))
        self._shown, self._count = [], 0
        self._write(
            f'<section id="{html.escape(clean(name))}">'
            f"<h2>{html.escape(clean(self._section.title))}</h2>"
            f'<p class="quiet">{html.escape(self._section.about)}</p>'
        )

    def rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows of a table; its columns are those that the first rows have something in."""
        if rows and not self._shown:
            wanted = self._section.fields or tuple(rows[0])
            self._shown = [
                name for name in wanted if any(_cell(name, row.get(name)) for row in rows)
            ]
            cells = "".join(f"<th{_kind(name)}>{_word(name)}</th>" for name in self._shown)
            self._write(f"<table><thead><tr>{cells}</tr></thead><tbody>\n")
        for row in rows:
            self._count += 1
            if self._count <= _ROWS:
                cells = "".join(
                    f"<td{_kind(name)}>{_cell(name, row.get(name))}</td>" for name in self._shown
                )
                self._write(f"<tr>{cells}</tr>\n")

    def end(self) -> None:
        """End the table and say how many rows there are."""
        if not self._count:
            self._write("<p>Nothing is held.</p></section>")
            return
        more = f" The first {_ROWS:,} are shown; the JSON file has all." * (self._count > _ROWS)
        rows = "1 row" if self._count == 1 else f"{self._count:,} rows"
        self._write(f'</tbody></table><p class="quiet">{rows}.{more}</p></section>\n')

    def close(self) -> None:
        """Say what can be asked for, and end the page."""
        self._write(
            "<section><h2>Your rights</h2><p>You may ask the data-protection officer of this site "
            "to correct or erase these data, or to restrict their use, and you may complain to "
            "the supervisory authority. What belongs to an incident under investigation may have "
            "to be kept until it is closed; you will be told which.</p></section></body></html>\n"
        )


def _word(name: str) -> str:
    return html.escape(clean(_WORDS.get(name, name.replace("_", " ").capitalize())))


def _kind(name: str) -> str:
    if name in _TIMES:
        return ' class="time"'
    return ' class="number"' if name in _NUMBERS else ""


def _cell(name: str, value: Any) -> str:
    """Return a value as people read it, escaped."""
    if value is None or (name in _TIMES and not value):
        return ""
    if name in _TIMES and isinstance(value, int | float) and 0 < value < _LAST_TIME:
        form = "%Y-%m-%d" if name == "built" else "%Y-%m-%d %H:%M:%S"
        return datetime.fromtimestamp(value, UTC).strftime(form)
    if name.endswith("bytes"):
        return size(value)
    if name == "duration":
        return duration_text(value)
    if name in {"count", "flows", "packets", "denied", "hits"} and isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | dict):
        value = msgspec.json.encode(value).decode()
    return html.escape(clean(value))
