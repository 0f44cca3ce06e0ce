"""The rows of a file, format by format: mappings of what a line says, hostile until judged. Pure.

BYTES and JSON_BYTES bound what is decoded at all, LINE a line; a page of HTML or a disk image is
refused as what it is, early.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ipwatchd.lists.indicators import (
    is_misp,
    is_stix,
    is_tweetfeed,
    misp_rows,
    stix_rows,
    tweetfeed_rows,
)
from ipwatchd.lists.script import is_script, script_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["BYTES", "LINE", "NETWORK_NAMES", "READERS", "Row", "guess", "text_of"]

BYTES: Final = 64 << 20
JSON_BYTES: Final = 32 << 20  # decoded JSON takes some ten times its text
LINE: Final = 2048
NETWORK_NAMES: Final = ("network", "cidr", "value", "ip", "address", "prefix")
_CHUNK: Final = 1 << 18
"""Bytes of JSON lines decoded at a time: the interpreter's lock is held for no longer."""


class Row(NamedTuple):
    """A line (from 1; for JSON the element) and what it says, or {"problem": sentence}."""

    line: int
    values: Mapping[str, Any]


def text_of(data: bytes | str) -> str:
    """Return a file as text; ValueError says what it is where that is no list."""
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


def guess(text: str) -> str:
    """Return the format that a text looks like."""
    start = text[:4096].lstrip()
    if start[0] in "[{":
        return "json"
    if is_script(start):
        return "nft"
    if is_tweetfeed(start.partition("\n")[0]):
        return "tweetfeed"
    header = {name.strip() for name in start.partition("\n")[0].lower().split(",")}
    return "csv" if len(header) > 1 and header & {*NETWORK_NAMES} else "plain"


def _plain_rows(text: str) -> Iterator[Row]:
    """Yield the first word of each line; #, ;, // and ! begin a comment, taken as the reason."""
    for number, line in enumerate(io.StringIO(text), 1):
        if len(line) > LINE:
            yield Row(number, {"problem": f"the line is over {LINE} characters"})
            continue
        words, _, comment = _commented(line)
        if words := words.strip():
            yield Row(number, {"network": words.split()[0], "reason": comment.strip()})


def _commented(line: str) -> tuple[str, str, str]:
    if ";" in line or "/" in line or "!" in line:
        line = line.replace(";", "#", 1).replace("//", "#", 1)
        if line.lstrip().startswith("!"):
            return "", "", ""
    return line.partition("#")


def _csv_rows(text: str) -> Iterator[Row]:
    # A line over the bound is blanked, so that the numbers of the others stay right.
    reader = csv.DictReader(
        (line if len(line) <= LINE else "?\n" for line in io.StringIO(text)), skipinitialspace=True
    )
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        for row in reader:
            yield Row(reader.line_num, {name: word for name, word in row.items() if name and word})
    except csv.Error as error:
        yield Row(reader.line_num, {"problem": f"no CSV: {error}"})


def _json_rows(text: str) -> Iterator[Row]:
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
                yield Row(number, element)
        else:
            yield Row(number, {"network": str(element)[:LINE]})


def _numbered(rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        yield Row(number, row)


def _tweetfeed_rows(text: str) -> Iterator[Row]:
    yield from _numbered(tweetfeed_rows(text))


def _script_rows(text: str) -> Iterator[Row]:
    for line, values in script_rows(text):
        yield Row(line, values)


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


READERS: Final = {
    "plain": _plain_rows, "csv": _csv_rows, "json": _json_rows, "stix": _json_rows,
    "misp": _json_rows, "tweetfeed": _tweetfeed_rows, "nft": _script_rows,
}  # fmt: skip
