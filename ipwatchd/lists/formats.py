"""Lists as files, in and out: what a file's rows come to as items, and entries as text. Pure."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ipwatchd.lists.admit import ENTRIES, LATEST
from ipwatchd.lists.readers import LINE, NETWORK_NAMES, READERS, guess, text_of
from ipwatchd.lists.rows import clean
from ipwatchd.lists.script import script
from ipwatchd.records.entry import LISTS, ListEntry, network_text
from ipwatchd.records.network import canonical, is_selector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ipwatchd.lists.readers import Row

__all__ = [
    "FEED_FORMATS", "FORMATS", "Import", "Item", "Problem", "Reader", "entries_of", "export",
    "parse", "script",
]  # fmt: skip

FORMATS: Final = ("plain", "csv", "json", "nft")
FEED_FORMATS: Final = (*FORMATS, "stix", "misp", "tweetfeed")
PROBLEMS: Final = 100  # kept to show; all are counted
JUNK_SHARE: Final = 0.2
JUNK_LEAST: Final = 10  # so few slips are a person's, whatever their share
_GIVE_UP: Final = 1000  # problems after which a file of mostly junk is not read to its end

_CHOOSES: Final = "{} chooses addresses: that is for an admin to put on a list"
_REASON_NAMES: Final = ("reason", "comment", "description", "sblid")
_COLUMNS: Final = (
    "list", "network", "reason", "author", "created", "expires", "scope", "source", "ticket",
)  # fmt: skip
_AROUND: Final = re.compile(
    r"\s*(?:(?:ip|range):)?(?:\[([0-9a-f:]{2,45})\](?::\d{1,5})?|(\d[\d./]{6,17})(?::\d{1,5})?)\s*",
    re.ASCII | re.IGNORECASE,
)
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
    scope: str = ""


class Import(NamedTuple):
    """What a file holds. `problem_count` counts all, `problems` and `notes` hold the first."""

    entries: list[Item]
    problems: list[Problem]
    notes: list[Problem]
    problem_count: int


class Reader:
    """Reads a file item by item; what is wrong with it stands here afterwards.

    `selectors` lets country:RU and its like be read: a feed, which is a stranger's word, may not
    choose a country. Raises ValueError with one sentence where the file is no list at all, at once
    or at the end of the items.
    """

    def __init__(
        self, data: bytes | str, format: str = "", *, now: float = 0.0, selectors: bool = True  # noqa: A002
    ) -> None:  # fmt: skip
        text = text_of(data)
        kind = format or guess(text)
        if kind not in READERS:
            raise ValueError(f"there is no format {kind!r}: use {', '.join(FEED_FORMATS)}")
        self._rows = READERS[kind](text)
        self._now = now
        self._selectors = selectors
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.problem_count = 0
        self.read = 0
        """Items so far."""

    def __iter__(self) -> Iterator[Item]:
        for row in self._rows:
            if _is_other(row.values):
                continue
            try:
                item, note = _item(row, self._now)
                if not self._selectors and ":" in item.network and is_selector(item.network):
                    raise ValueError(_CHOOSES.format(item.network[:80]))  # noqa: TRY301 (as any other)
            except ValueError as error:
                if not self._told(row.line, str(error)):
                    break
                continue
            self.read += 1
            if self.read > ENTRIES:
                raise ValueError(f"the file has over {ENTRIES} entries, more than lists may hold")
            if note and len(self.notes) < PROBLEMS:
                self.notes.append(Problem(row.line, note))
            yield item
        self._refuse_junk()

    def _told(self, line: int, text: str) -> bool:
        """Note a problem; tell whether it is worth reading on."""
        self.problem_count += 1
        if self.problem_count <= PROBLEMS:
            self.problems.append(Problem(line, text))
        return self.problem_count < _GIVE_UP or self.problem_count < self.read

    def _refuse_junk(self) -> None:
        """Raise where a file is no list: too much of it is none, or all of it."""
        problems, lines = self.problem_count, self.problem_count + self.read
        if not problems or (
            self.read and (problems <= JUNK_LEAST or problems <= JUNK_SHARE * lines)
        ):
            return
        first = self.problems[0]
        raise ValueError(
            f"the file is no list of addresses: {problems} of {lines} lines read are none, the "
            f"first is line {first.line} ({first.text[:200]})"
        )


def parse(data: bytes | str, format: str = "", *, now: float = 0.0) -> Import:  # noqa: A002
    """Return what a file lists; `format` is one of FORMATS, or "" to tell by its look.

    `now` is what durations count from (CrowdSec's decisions). Raises ValueError as Reader does.
    """
    reader = Reader(data, format, now=now)
    return Import([*reader], reader.problems, reader.notes, reader.problem_count)


def entries_of(
    items: Iterable[Item],
    *,
    list: str,  # noqa: A002 (the vocabulary's word)
    source: str,
    author: str,
    reason: str,
    now: float,
    expires: float = 0.0,
) -> list[ListEntry]:
    """Return items as entries without id; what the file says goes before the arguments."""
    return [
        ListEntry(
            id=0, list=item.list or list, network=item.network, reason=item.reason or reason,
            author=author, created=now, expires=item.expires or expires, source=source,
            ticket=item.ticket, scope=item.scope or "site",
        )
        for item in items
    ]  # fmt: skip


def export(
    entries: Sequence[ListEntry],
    format: str,  # noqa: A002 (what files call it)
    *,
    first: bool = True,
    last: bool = True,
) -> str:
    """Return entries as a file's text, or a part of it: the first and the last close it off.

    Plain text keeps network and reason alone; an nft script is made by `script`.
    """
    if format == "plain":
        return "".join(f"{network_text(one.network)} # {one.reason}\n" for one in entries)
    plain = [{name: getattr(entry, name) for name in _COLUMNS} for entry in entries]
    if format == "json":
        lines = ",\n".join(json.dumps(row) for row in plain)
        return ("[\n" if first else ",\n" if lines else "") + lines + ("\n]\n" if last else "")
    if format != "csv":
        raise ValueError(f"there is no format {format!r}: use {', '.join(FORMATS)}")
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    if first:
        writer.writeheader()
    writer.writerows(plain)
    return out.getvalue()


def _item(row: Row, now: float) -> tuple[Item, str]:
    values = row.values
    if len(values) == 2 and "network" in values and "reason" in values:
        network, note = _lenient(str(values["network"])[:LINE])
        return Item(row.line, network, clean(str(values["reason"] or ""))), note
    if "problem" in values:
        raise ValueError(values["problem"])
    name = _first(values, NETWORK_NAMES)
    if not name:
        raise ValueError(f"it names no network (looked for {', '.join(NETWORK_NAMES)})")
    network, note = _lenient(name[:LINE])
    # Another program's `list` is not ours; our own files have a column `network`.
    own_list = str(values.get("list") or "") if "network" in values else ""
    if own_list and own_list not in LISTS:
        raise ValueError(f"there is no list {own_list[:40]!r}: use {' or '.join(LISTS)}")
    item = Item(
        line=row.line,
        network=network,
        reason=clean(_first(values, _REASON_NAMES)),
        expires=_time(values.get("expires"))
        or _duration(values.get("duration") or values.get("expiration"), now),
        list=own_list,
        scope=str(values.get("scope") or "")[:32] if "network" in values else "",
        ticket=clean(str(values.get("ticket") or "")),
    )
    return item, note


def _lenient(text: str) -> tuple[str, str]:
    """Return a network as `canonical` does, also of what lists write around one, and say so."""
    try:
        return canonical(text)
    except ValueError:
        found = _AROUND.fullmatch(text.replace("[.]", "."))
        if found is None:
            raise
        bare = next(filter(None, found.groups()))
        return canonical(bare)[0], f"{text.strip()} is taken as {bare}"


def _is_other(values: Mapping[str, Any]) -> bool:
    """Tell CrowdSec's decisions that are no ban of an address."""
    if "network" in values or not ("duration" in values or "expiration" in values):
        return False
    kind = str(values.get("type") or values.get("action") or "ban")
    scope = str(values.get("scope") or "ip").lower()
    simulated = str(values.get("simulated")).lower() == "true"
    return kind != "ban" or scope not in {"ip", "range"} or simulated


def _first(values: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((str(values[name]) for name in names if values.get(name)), "")


def _time(value: object) -> float:
    if value is None or not str(value):
        return 0.0
    text = str(value)[:40]
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if seconds <= LATEST:
            return seconds
        raise ValueError(f"{text} is no time an entry can end at: write epoch seconds")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write epoch seconds, or 2026-12-31T18:00:00+08:00"
        ) from None
    # "9999-12-31" is how many write for good.
    return min((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), LATEST)


def _duration(value: object, now: float) -> float:
    """Return the end of a Go duration such as 3h59m10.5s (CrowdSec's decisions), 0 for none."""
    if not value:
        return 0.0
    text = str(value)[:64]
    if text.startswith("-"):
        return max(now - 1, 1.0)  # over already
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration: write 4h or 3h59m10s")
    return min(now + sum(float(number) * _UNITS[unit] for number, unit in parts), LATEST)
