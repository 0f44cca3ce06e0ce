"""Witnesses that are not ours: what `nft` says the kernel holds and has dropped."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipwatchd.lab.netns import Namespace

__all__ = ["Kernel", "kernel", "parse"]

_NEIGHBOURS: Final = 16
"""Addresses of a span up to which they are entries that happen to end at the same moment."""


class Kernel(NamedTuple):
    """The table as nft lists it: networks in sets named deny…, packets counted as denied."""

    denied: frozenset[str]
    dropped: int
    rules: int


def kernel(namespace: Namespace, table: str = "ipwatchd") -> Kernel:
    """Ask nft inside a namespace; an empty answer where the table is not there."""
    done = namespace.run(["nft", "--json", "list", "table", "inet", table], check=False)
    return parse(json.loads(done.stdout)) if done.returncode == 0 else Kernel(frozenset(), 0, 0)


def parse(listing: dict[str, Any]) -> Kernel:
    """Read nft's JSON (libnftables-json(5))."""
    denied: set[str] = set()
    dropped = rules = 0
    for item in listing.get("nftables", []):
        if "set" in item and str(item["set"]["name"]).startswith("deny"):
            for element in item["set"].get("elem", []):
                denied.update(_held(element))
        if "counter" in item and str(item["counter"]["name"]).startswith("denied"):
            dropped += int(item["counter"]["packets"])
        if "rule" in item:
            rules += 1
            expressions = item["rule"].get("expr", [])
            if any("drop" in one for one in expressions):
                dropped += sum(
                    one["counter"]["packets"]
                    for one in expressions
                    if isinstance(one.get("counter"), dict)
                )
    return Kernel(frozenset(denied), dropped, rules)


def _held(element: Any) -> Iterator[str]:
    """Yield what an element holds: neighbours that became one span address by address."""
    if isinstance(element, dict) and "elem" in element:
        yield from _held(element["elem"]["val"])
    elif isinstance(element, dict):
        first, last = _ends(element)
        if int(last) - int(first) < _NEIGHBOURS:
            yield from (str(first + step) for step in range(int(last) - int(first) + 1))
        else:
            spans = ipaddress.summarize_address_range(first, last)
            yield from (str(span).removesuffix("/32") for span in spans)
    else:
        yield str(element)


def _ends(element: dict[str, Any]) -> tuple[Any, Any]:
    """Return the first and the last address of a prefix or a range, of either family."""
    if "prefix" in element:
        span = ipaddress.ip_network(f"{element['prefix']['addr']}/{element['prefix']['len']}")
        return span[0], span[-1]
    first, last = element["range"]
    return ipaddress.ip_address(first), ipaddress.ip_address(last)
