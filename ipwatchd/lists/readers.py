"""The rows of a file, format by format: mappings of what a line says, hostile until judged. Pure.

BYTES and JSON_BYTES bound what is decoded at all, LINE a line; a page of HTML or a disk image is
refused as what it is, early.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import zlib
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
from ipwatchd.records.network import SELECTORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["BYTES", "LINE", "NETWORK_NAMES", "READERS", "Row", "guess", "text_of"]

BYTES: Final = 64 << 20
JSON_BYTES: Final = 32 << 20  # decoded JSON takes some ten times its text
LINE: Final = 2048
NETWORK_NAMES: Final = (
    "network", "cidr", "value", "ip", "address", "prefix", "ip_address", "dst_ip", "src_ip",
    "ip_prefix", "ipv6_prefix", "ipv4Prefix", "ipv6Prefix",
)  # fmt: skip
_HOLDERS: Final = ("list", "data", "new", "prefixes", "ipv6_prefixes")
"""Under which name an object holds its list: MISP warning lists, CrowdSec's stream, clouds."""
_ALONE: Final = re.compile(r"([0-9a-fA-F.:]{2,45}(?:/\d{1,3})?)\n?", re.ASCII)
_QUAD: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_HEAD: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"


class Row(NamedTuple):
    """A line (from 1; for JSON the element) and what it says, or {"problem": sentence}."""

    line: int
    values: Mapping[str, Any]


def text_of(data: bytes | str) -> str:
    """Return a file as text; ValueError says what it is where that is no list."""
    if isinstance(data, bytes) and data.startswith(_GZIP):
        data = _unpacked(data)
    if len(data) > BYTES:
        raise ValueError(f"the file is over {BYTES} bytes: no list this program takes is so large")
    if isinstance(data, bytes):
        code = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else ""
        data = data.decode(code or "utf-8-sig", errors="replace")
    start = data[:65536]
    if "\0" in start:
        raise ValueError("the file is binary (it holds NUL bytes), not a list in text")
    if not start.strip():
        raise ValueError("the file is empty: write a comment line where an empty list is meant")
    if start.lstrip().startswith("<"):
        raise ValueError("the file is a web page (HTML or XML), not a list: check its address")
    return data


def _unpacked(data: bytes) -> bytes:
    """Return what a gzip file holds, as far as one byte over the bound."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, BYTES + 1)
    except zlib.error as error:
        raise ValueError(f"the file is a damaged gzip file ({error})") from None


def guess(text: str) -> str:
    """Return the format that a text looks like."""
    start = text[:4096].lstrip()
    if start[0] in "[{":
        return "json"
    if is_script(start):
        return "nft"
    if is_tweetfeed(start.partition("\n")[0]):
        return "tweetfeed"
    header, _ = _header(text[:_HEAD])
    return "csv" if len(header) > 1 and {*header} & {*NETWORK_NAMES} else "plain"


def _header(text: str) -> tuple[list[str], int]:
    """Return the names of the columns in the first line that is no comment, and the lines before.

    One behind # counts where it names what it is for.
    """
    for number, line in enumerate(io.StringIO(text, newline=None)):
        bare = line.strip().lstrip("#").lower()
        names = [one.strip().strip('"') for one in bare.replace(";", ",").split(",")]
        commented = line.lstrip().startswith("#")
        if bare and (not commented or (len(names) > 1 and {*names} & {*NETWORK_NAMES})):
            return names, number
    return [], 0


def _plain_rows(text: str) -> Iterator[Row]:
    """Yield what each line names; #, ;, // and ! begin a comment, taken as the reason."""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if alone := _ALONE.fullmatch(line):  # most lines of most feeds
            yield Row(number, {"network": alone[1], "reason": ""})
            continue
        if len(line) > LINE:
            yield Row(number, {"problem": f"the line is over {LINE} characters"})
            continue
        said, _, comment = _commented(line)
        if words := said.split():
            network = words[0] if len(words) == 1 and "," not in said else _network(words)
            if network:
                yield Row(number, {"network": network, "reason": comment.strip()})


def _network(words: list[str]) -> str:
    """Return what the words of a line name: a range, a network with its mask, the first of them."""
    if words[0] in {"create", "flush"}:  # `ipset save`
        return ""
    if words[0] == "add" and words[2:]:
        words = words[2:]
    first, second = words[0].partition(",")[0], words[1] if words[1:] else ""
    if first.endswith(":") and first[:-1] in SELECTORS:
        first = " ".join(words)
    elif second == "-" and words[2:]:
        first = f"{first}-{words[2]}"
    elif second.startswith("255."):
        first = f"{first}/{second}"
    elif "/" not in first and _QUAD.fullmatch(second):
        first = f"{first}-{second}"  # DShield's start and end
    return first


def _commented(line: str) -> tuple[str, str, str]:
    if ";" in line or "/" in line or "!" in line:
        line = line.replace(";", "#", 1).replace("//", "#", 1)
        if line.lstrip().startswith("!"):
            return "", "", ""
    return line.partition("#")


def _csv_rows(text: str) -> Iterator[Row]:
    names, before = _header(text)
    if not names:  # comments alone: nothing is listed today
        return
    lines = io.StringIO(text, newline=None)
    head = [next(lines) for _ in range(before + 1)][-1]
    # A line over the bound is blanked, so that the numbers of the others stay right.
    reader = csv.DictReader(
        (line if len(line) <= LINE else "?\n" for line in lines), names, skipinitialspace=True,
        delimiter=";" if head.count(";") > head.count(",") else ",",
    )  # fmt: skip
    try:
        for row in reader:
            if not str(row.get(names[0]) or "").startswith("#"):
                values = {name: word for name, word in row.items() if name and word}
                yield Row(before + 1 + reader.line_num, values)
    except csv.Error as error:
        yield Row(before + 1 + reader.line_num, {"problem": f"no CSV: {error}"})


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
    if isinstance(value, dict) and not is_stix(value) and not is_misp(value):
        lists = [value[name] for name in _HOLDERS if isinstance(value.get(name), list)]
        value = [one for some in lists for one in some] if lists else [value]
    found = value if isinstance(value, list) else [value]
    # What `cscli decisions list -o json` prints: alerts that hold their decisions.
    if found and isinstance(found[0], dict) and isinstance(found[0].get("decisions"), list):
        held = [alert.get("decisions") for alert in found if isinstance(alert, dict)]
        return [one for some in held if isinstance(some, list) for one in some]
    return found


READERS: Final = {
    "plain": _plain_rows, "csv": _csv_rows, "json": _json_rows, "stix": _json_rows,
    "misp": _json_rows, "tweetfeed": _tweetfeed_rows, "nft": _script_rows,
}  # fmt: skip
