"""Lists as files: plain text (netset), CSV, JSON and others, in and out. Pure.

A feed's file is hostile until read: BYTES and JSON_BYTES bound what is decoded at all, LINE a line,
ENTRIES the count; a page of HTML or a disk image is refused as what it is, early.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ipwatchd.lists.admit import ENTRIES
from ipwatchd.lists.indicators import (
    is_misp,
    is_stix,
    is_tweetfeed,
    misp_rows,
    stix_rows,
    tweetfeed_rows,
)
from ipwatchd.lists.rows import clean
from ipwatchd.records.entry import LISTS, ListEntry
from ipwatchd.records.network import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["FEED_FORMATS", "FORMATS", "Import", "Item", "Problem", "entries_of", "export", "parse"]

FORMATS: Final = ("plain", "csv", "json")
FEED_FORMATS: Final = (*FORMATS, "stix", "misp", "tweetfeed")
BYTES: Final = 64 << 20
JSON_BYTES: Final = 32 << 20  # decoded JSON takes some ten times its text
LINE: Final = 2048
PROBLEMS: Final = 100  # kept to show; all are counted
JUNK_SHARE: Final = 0.2
JUNK_LEAST: Final = 10  # so few slips are a person's, whatever their share
_GIVE_UP: Final = 1000  # problems after which a file of mostly junk is not read to its end

_NETWORK_NAMES: Final = ("network", "cidr", "value", "ip", "address", "prefix")
_REASON_NAMES: Final = ("reason", "comment", "description", "sblid")
_COLUMNS: Final = (
    "list", "network", "reason", "author", "created", "expires", "scope", "source", "ticket",
)  # fmt: skip
_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)(h|m|s)", re.ASCII)
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0}


class Problem(NamedTuple):
    """A line (from 1; for JSON the element) and what is wrong with it, or was mended."""

    line: int
    text: str


class Item(NamedTuple):
    """One line of a file: a canonical network, and what else the file says of it."""

    line: int
    network: str
    reason: str = ""
    expires: float = 0.0
    list: str = ""
    ticket: str = ""


class Import(NamedTuple):
    """What a file holds. `problem_count` counts all, `problems` and `notes` hold the first."""

    entries: list[Item]
    problems: list[Problem]
    notes: list[Problem]
    problem_count: int


class _Row(NamedTuple):
    line: int
    values: Mapping[str, Any]


def parse(data: bytes | str, format: str = "", *, now: float = 0.0) -> Import:  # noqa: A002 (what files call it)
    """Return what a file lists; `format` is one of FORMATS, or "" to tell by its look.

    `now` is what durations count from (CrowdSec's decisions). Raises ValueError with one sentence
    where the file is no list at all.
    """
    text = _text(data)
    kind = format or _guess(text)
    if kind not in _ROWS:
        raise ValueError(f"there is no format {kind!r}: use {', '.join(FEED_FORMATS)}")
    result = Import([], [], [], 0)
    problems = 0
    for row in _ROWS[kind](text):
        try:
            item, note = _item(row, now)
        except ValueError as error:
            problems += 1
            if problems <= PROBLEMS:
                result.problems.append(Problem(row.line, str(error)))
            if problems >= _GIVE_UP and problems > len(result.entries):
                break
            continue
        if len(result.entries) >= ENTRIES:
            raise ValueError(f"the file has over {ENTRIES} entries, more than the lists may hold")
        result.entries.append(item)
        if note and len(result.notes) < PROBLEMS:
            result.notes.append(Problem(row.line, note))
    _refuse_junk(result, problems)
    return result._replace(problem_count=problems)


def entries_of(
    items: Iterable[Item],
    *,
    list: str,  # noqa: A002 (the vocabulary's word)
    source: str,
    author: str,
    reason: str,
    now: float,
) -> list[ListEntry]:
    """Return items as entries without id; what the file says goes before the arguments."""
    return [
        ListEntry(
            id=0, list=item.list or list, network=item.network, reason=item.reason or reason,
            author=author, created=now, expires=item.expires, source=source, ticket=item.ticket,
        )
        for item in items
    ]  # fmt: skip


def export(entries: Sequence[ListEntry], format: str) -> str:  # noqa: A002 (as above)
    """Return entries as a file's text; plain text keeps network and reason alone."""
    if format == "plain":
        return "".join(f"{entry.network} # {entry.reason}\n" for entry in entries)
    plain = [{name: getattr(entry, name) for name in _COLUMNS} for entry in entries]
    if format == "json":
        return json.dumps(plain, indent=1) + "\n"
    if format != "csv":
        raise ValueError(f"there is no format {format!r}: use {', '.join(FORMATS)}")
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    return out.getvalue()


def _text(data: bytes | str) -> str:
    if len(data) > BYTES:
        raise ValueError(f"the file is over {BYTES} bytes: no list this program takes is so large")
    text = data if isinstance(data, str) else data.decode("utf-8-sig", errors="replace")
    start = text[:65536]
    if "\0" in start:
        raise ValueError("the file is binary (it holds NUL bytes), not a list in text")
    if not start.strip():
        raise ValueError("the file is empty: write a comment line where an empty list is meant")
    if start.lstrip().startswith("<"):
        raise ValueError("the file is a web page (HTML or XML), not a list: check its address")
    return text


def _guess(text: str) -> str:
    start = text[:4096].lstrip()
    if start[0] in "[{":
        return "json"
    if is_tweetfeed(start.partition("\n")[0]):
        return "tweetfeed"
    header = {name.strip() for name in start.partition("\n")[0].lower().split(",")}
    return "csv" if len(header) > 1 and header & {*_NETWORK_NAMES} else "plain"


def _plain_rows(text: str) -> Iterator[_Row]:
    """Yield the first word of each line; # and ; begin a comment, taken as the reason."""
    for number, line in enumerate(io.StringIO(text), 1):
        if len(line) > LINE:
            yield _Row(number, {"problem": f"the line is over {LINE} characters"})
            continue
        words, _, comment = line.replace(";", "#", 1).partition("#")
        if words := words.strip():
            yield _Row(number, {"network": words.split()[0], "reason": comment.strip()})


def _csv_rows(text: str) -> Iterator[_Row]:
    # A line over the bound is blanked, so that the numbers of the others stay right.
    reader = csv.DictReader(
        (line if len(line) <= LINE else "?\n" for line in io.StringIO(text)), skipinitialspace=True
    )
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        for row in reader:
            yield _Row(reader.line_num, {name: word for name, word in row.items() if name and word})
    except csv.Error as error:
        yield _Row(reader.line_num, {"problem": f"no CSV: {error}"})


def _json_rows(text: str) -> Iterator[_Row]:
    """Yield elements of an array, of an object's "list" (MISP warning lists), or of JSON lines."""
    if len(text) > JSON_BYTES:
        raise ValueError(f"the JSON is over {JSON_BYTES} bytes: split it, or give it as plain text")
    elements = _elements(text)
    only = elements[0] if len(elements) == 1 else None
    if is_stix(only):
        yield from _numbered(stix_rows(only))
        return
    if is_misp(only):
        yield from _numbered(misp_rows(only))
        return
    for number, element in enumerate(elements, 1):
        if isinstance(element, dict):
            if element.get("type") != "metadata":  # the last line of Spamhaus's files
                yield _Row(number, element)
        else:
            yield _Row(number, {"network": str(element)[:LINE]})


def _numbered(rows: Iterable[Mapping[str, Any]]) -> Iterator[_Row]:
    for number, row in enumerate(rows, 1):
        yield _Row(number, row)


def _tweetfeed_rows(text: str) -> Iterator[_Row]:
    yield from _numbered(tweetfeed_rows(text))


def _elements(text: str) -> list[Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            value = msgspec.json.Decoder().decode_lines(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"the file is neither JSON nor JSON lines: {error}") from None
    if isinstance(value, dict):
        value = value.get("list", [value])
    found = value if isinstance(value, list) else [value]
    # What `cscli decisions list -o json` prints: alerts that hold their decisions.
    if found and isinstance(found[0], dict) and isinstance(found[0].get("decisions"), list):
        return [one for alert in found if isinstance(alert, dict)
                for one in alert.get("decisions") or ()]  # fmt: skip
    return found


_ROWS: Final = {
    "plain": _plain_rows, "csv": _csv_rows, "json": _json_rows, "stix": _json_rows,
    "misp": _json_rows, "tweetfeed": _tweetfeed_rows,
}  # fmt: skip


def _item(row: _Row, now: float) -> tuple[Item, str]:
    values = row.values
    if "problem" in values:
        raise ValueError(values["problem"])
    name = _first(values, _NETWORK_NAMES)
    if not name:
        raise ValueError(f"it names no network (looked for {', '.join(_NETWORK_NAMES)})")
    network, note = canonical(name[:LINE])
    # Another program's `list` is not ours; our own files have a column `network`.
    own_list = str(values.get("list") or "") if "network" in values else ""
    if own_list and own_list not in LISTS:
        raise ValueError(f"there is no list {own_list[:40]!r}: use {' or '.join(LISTS)}")
    if "network" in values and str(values.get("scope") or "site") != "site":
        raise ValueError(f"scope {str(values['scope'])[:40]!r} is not enforced by this release")
    item = Item(
        line=row.line,
        network=network,
        reason=clean(_first(values, _REASON_NAMES)),
        expires=_time(values.get("expires")) or _duration(values.get("duration"), now),
        list=own_list,
        ticket=clean(str(values.get("ticket") or "")),
    )
    return item, note


def _first(values: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((str(values[name]) for name in names if values.get(name)), "")


def _time(value: object) -> float:
    if value is None or not str(value):
        return 0.0
    try:
        return float(str(value))
    except ValueError:
        raise ValueError(f"{str(value)[:40]!r} is no time in epoch seconds") from None


def _duration(value: object, now: float) -> float:
    """Return the end of a Go duration such as 3h59m10.5s (CrowdSec's decisions), 0 for none."""
    if not value:
        return 0.0
    text = str(value)[:64]
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration: write 4h or 3h59m10s")
    return now + sum(float(number) * _UNITS[unit] for number, unit in parts)


def _refuse_junk(result: Import, problems: int) -> None:
    """Raise where a file is no list: too much of it is none, or all of it."""
    lines = problems + len(result.entries)
    if not problems or (
        result.entries and (problems <= JUNK_LEAST or problems <= JUNK_SHARE * lines)
    ):
        return
    first = result.problems[0]
    raise ValueError(
        f"the file is no list of addresses: {problems} of {lines} lines read are none, the first "
        f"is line {first.line} ({first.text[:200]})"
    )
