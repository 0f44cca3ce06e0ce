"""Addresses out of threat-intelligence documents: STIX 2.1, MISP events, TweetFeed. Pure.

Each reader yields rows (a mapping with `network`, `reason`, `expires`) or {"problem": sentence}.
What a document says about other things (names, hashes) is not for a list of addresses and left out.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from ipwatchd.lists.admit import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["is_misp", "is_stix", "is_tweetfeed", "misp_rows", "stix_rows", "tweetfeed_rows"]

Row = dict[str, Any]

PATTERN: Final = 65_536
"""Characters of one STIX pattern: a longer one is an attack on whoever matches it."""
_LITERAL: Final = r"'((?:[^'\\]|\\.){0,64})'"
_COMPARISON: Final = re.compile(
    rf"ipv[46]-addr:value\s{{0,9}}(=|ISSUBSET|IN)\s{{0,9}}(?:{_LITERAL}|\(([^()]{{0,8192}})\))"
)
_IN_LIST: Final = re.compile(_LITERAL)
_TEXT: Final = re.compile(r"'(?:[^'\\]|\\.)*'")
_CONJUNCTION: Final = re.compile(r"\b(?:AND|FOLLOWEDBY|NOT)\b|!=|[<>]")
_MISP_TYPES: Final = {"ip-dst", "ip-src", "ip-dst|port", "ip-src|port", "domain|ip"}
_TWEETFEED_TYPES: Final = {"ip", "url", "domain", "md5", "sha256"}


def is_stix(document: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell a STIX bundle, or a TAXII envelope."""
    return isinstance(document, dict) and (
        document.get("type") == "bundle" or isinstance(document.get("objects"), list)
    )


def is_misp(document: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell a MISP event, or a server's answer that holds some."""
    return isinstance(document, dict) and ("Event" in document or "response" in document)


def is_tweetfeed(line: str) -> bool:
    """Tell TweetFeed's CSV, which has no header, by its first line."""
    words = line.split(",")
    return len(words) == 6 and words[2] in _TWEETFEED_TYPES


def stix_rows(bundle: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the addresses of a bundle's indicators (STIX 2.1, 4.7 and 9)."""
    for one in _listed(bundle, "objects"):
        if not isinstance(one, dict) or one.get("type") != "indicator" or one.get("revoked"):
            continue
        pattern = str(one.get("pattern") or "")
        if one.get("pattern_type", "stix") != "stix" or "-addr:value" not in pattern:
            continue
        if len(pattern) > PATTERN:
            yield {"problem": f"the pattern is over {PATTERN} characters"}
        elif _CONJUNCTION.search(_TEXT.sub("''", pattern)):
            # "this address and that file" does not say that the address alone is bad.
            yield {"problem": f"not an address alone: {pattern[:80]}"}
        else:
            yield from _compared(one, pattern)


def _compared(indicator: Mapping[str, Any], pattern: str) -> Iterator[Row]:
    reason = str(indicator.get("name") or indicator.get("description") or "")
    for _, literal, several in _COMPARISON.findall(pattern):
        for value in _IN_LIST.findall(several) if several else [literal]:
            yield {"network": value, "reason": reason, "expires": _moment(indicator)}


def _moment(indicator: Mapping[str, Any]) -> float:
    try:
        # "9999-12-31" is how a feed says for good.
        return min(datetime.fromisoformat(str(indicator["valid_until"])).timestamp(), LATEST)
    except (KeyError, ValueError, OverflowError):
        return 0.0


def misp_rows(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the addresses among an event's attributes, its objects' too."""
    answer = document.get("response", [document])
    for item in answer if isinstance(answer, list) else [answer]:
        event = item.get("Event", item) if isinstance(item, dict) else {}
        if not isinstance(event, dict):
            continue
        found = [event, *(one for one in _listed(event, "Object") if isinstance(one, dict))]
        for part in found:
            yield from _attributes(part, str(event.get("info") or ""))


def _listed(part: Mapping[str, Any], name: str) -> list[Any]:
    value = part.get(name)
    return value if isinstance(value, list) else []


def _attributes(part: Mapping[str, Any], info: str) -> Iterator[Row]:
    for one in _listed(part, "Attribute"):
        if not isinstance(one, dict) or one.get("type") not in _MISP_TYPES or one.get("deleted"):
            continue
        words = str(one.get("value") or "").split("|")
        address = words[-1] if one["type"] == "domain|ip" else words[0]
        yield {"network": address, "reason": str(one.get("comment") or info)}


def tweetfeed_rows(text: str) -> Iterator[Row]:
    """Yield the addresses of TweetFeed's lines (time, author, type, value, tags, link)."""
    reader = csv.reader(line for line in io.StringIO(text) if len(line) <= 2048)
    try:
        for words in reader:
            if len(words) == 6 and words[2] == "ip":
                yield {"network": words[3], "reason": f"{words[4]} {words[5]}".strip()}
    except csv.Error as error:  # a quote that never ends
        yield {"problem": f"no CSV: {error}"}
