"""Witnesses that are not ours: what `nft` says the kernel holds and has dropped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ipwatchd.lab.netns import Namespace

__all__ = ["Kernel", "kernel", "parse"]


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
            denied.update(_network(element) for element in item["set"].get("elem", []))
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


def _network(element: Any) -> str:
    if isinstance(element, dict):
        if "elem" in element:
            return _network(element["elem"]["val"])
        if "prefix" in element:
            return f"{element['prefix']['addr']}/{element['prefix']['len']}"
        if "range" in element:
            return "-".join(element["range"])
    return str(element)
