"""Lists as a script for `nft -f`: the same verdicts without this program, and read back. Pure.

Sets hold what the entries come to, merged and without overlaps (an nftables set takes none). What
a set can't say (reason, author, ticket, country:RU) stands in a comment line for each entry, from
which an import takes it; scripts of others are read by their elements.
"""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.lists.admit import moment
from ipwatchd.records.address import address_text, is_v4

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.records.entry import ListEntry
    from ipwatchd.records.policy import Policy, ServicePolicy

__all__ = ["is_script", "script", "script_rows"]

_TABLE: Final = "ipwatchd_export"
_ENTRY: Final = "# entry "
_FAMILIES: Final = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}
_SAID: Final = frozenset(
    ("list", "network", "reason", "author", "created", "expires", "scope", "source", "ticket")
)
_PROTOCOLS: Final = {
    int(getattr(socket, f"IPPROTO_{name.upper()}", number)): name
    for name, number in (("tcp", 6), ("udp", 17), ("sctp", 132), ("dccp", 33))
}
_LOOK: Final = re.compile(r"(?:#!\S*nft\b|table\s+(?:inet|ip|ip6)\s|add element\s|flush ruleset)")
_ELEMENTS: Final = re.compile(r"elements\s{0,20}=\s{0,20}\{|add element [^{}\n]{1,200}\{")
_ELEMENT: Final = re.compile(r'(?:"[^"\n]*"|[^,"])+')
_COMMENT: Final = re.compile(r'"([^"\n]{0,256})"')
_LEFT: Final = re.compile(r"\b(?:expires|timeout)\s+((?:\d{1,9}(?:d|h|ms|m|s))+)")
_SPAN: Final = re.compile(r"(\d{1,9})(d|h|ms|m|s)")
_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def script(policy: Policy, entries: Iterable[ListEntry], *, site: str, now: float) -> str:
    """Return a policy as a script; `entries` are what it was made of."""
    lines = [
        "#!/usr/sbin/nft -f",
        f"# Lists of {site} by ipwatchd, {moment(now)}. Ends of entries count from the load on.",
        *(_ENTRY + _told(entry) for entry in entries),
        f"table inet {_TABLE}", f"delete table inet {_TABLE}", f"table inet {_TABLE} {{",
    ]  # fmt: skip
    for name, ranges in policy.lists().items():
        lines += _sets(name.replace("-", "_"), ranges, now)
    for service in policy.services:
        lines += _service(service)
    lines += _judge(policy.services)
    lines += [
        f"\tchain {hook} {{ type filter hook {hook} priority -10; policy accept; jump judge; }}"
        for hook in ("input", "forward", "output")
    ]
    return "\n".join([*lines, "}"]) + "\n"


def _told(entry: ListEntry) -> str:
    values = msgspec.to_builtins(entry)
    # ASCII: no letter of a reason can end the line that it stands in.
    return json.dumps({name: word for name, word in values.items() if name in _SAID})


def _sets(name: str, ranges: NDArray[np.void], now: float) -> list[str]:
    """Return the two sets of a list."""
    four = is_v4(ranges["first_hi"], ranges["first_lo"])
    lines = []
    for family, mine in ((4, ranges[four]), (6, ranges[~four])):
        lines.append(f"\tset {name}_{family} {{")
        lines.append(f"\t\ttype {_FAMILIES[family][1]}; flags interval, timeout;")
        elements = [_element(row, now) for row in mine.tolist()]
        if elements:
            lines.append("\t\telements = {\n\t\t\t" + ",\n\t\t\t".join(elements) + "\n\t\t}")
        lines.append("\t}")
    return lines


def _element(row: tuple[int, ...], now: float) -> str:
    first, last = address_text(*row[:2]), address_text(*row[2:4])
    text = first if first == last else f"{first}-{last}"
    left = max(round(row[4] / 1e9 - now), 1)
    return f"{text} timeout {left}s" if row[4] else text


def _either(name: str, verdict: str) -> list[str]:
    return [
        f"\t\t{_FAMILIES[family][0]} {end} @{name}_{family} {verdict}"
        for family in (4, 6) for end in ("saddr", "daddr")
    ]  # fmt: skip


def _from(name: str, verdict: str) -> list[str]:
    return [f"\t\t{_FAMILIES[one][0]} saddr @{name}_{one} {verdict}" for one in (4, 6)]


def _service(service: ServicePolicy) -> list[str]:
    """Return the chain of a service: its own allow, its own deny, whoever else may."""
    own = f"on_{service.name}".replace("-", "_")
    lines = [f"\tchain {own} {{", *_from(f"{own}_allow", "return"), *_from(f"{own}_deny", "drop")]
    if service.only_allowed:
        lines += [*_from("allow", "return"), *_from("bulk_allow", "return"), "\t\tdrop"]
    return [*lines, "\t}"]


def _judge(services: Iterable[ServicePolicy]) -> list[str]:
    lines = ["\tchain judge {", *_either("management", "accept"), '\t\tiifname "lo" accept']
    for service in services:
        own = f"on_{service.name}".replace("-", "_")
        ports = ", ".join(
            f"{first}-{last}" if first != last else str(first) for first, last in service.ports
        )
        where = f"{_PROTOCOLS[service.protocol]} dport {{ {ports} }} jump {own}"
        if len(service.to):
            lines += [f"\t\t{_FAMILIES[one][0]} daddr @{own}_to_{one} {where}" for one in (4, 6)]
        else:
            lines.append(f"\t\t{where}")
    for name in ("allow", "bulk_allow"):
        lines += _either(name, "accept")
    for name in ("deny", "bulk_deny"):
        lines += _either(name, "drop")
    return [*lines, "\t}"]


def is_script(start: str) -> bool:
    """Tell a script for nft, or what `nft list` prints."""
    return _LOOK.match(start) is not None


def script_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line and values: of our entries' comments, else of the elements of all sets."""
    ours = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(_ENTRY):
            ours = True
            yield number, _entry(line.removeprefix(_ENTRY))
    if ours:
        return
    for found in _ELEMENTS.finditer(text):
        end = text.find("}", found.end())
        number = text.count("\n", 0, found.end()) + 1
        for word in _ELEMENT.findall(text, found.end(), end if end >= 0 else len(text)):
            if value := _foreign(word):
                yield number, value
            number += word.count("\n")


def _entry(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        return {"problem": f"no entry of ours: {error}"}


def _foreign(word: str) -> dict[str, Any]:
    """Return an element of somebody's set: network, comment, and what is left of its time."""
    words = word.split()
    if not words:
        return {}
    comment = _COMMENT.search(word)
    # What `nft list` prints of an element that ends has both; `expires` is what is left.
    left = _LEFT.findall(word)
    seconds = sum(float(n) * _SECONDS[unit] for n, unit in _SPAN.findall(left[-1])) if left else 0.0
    value: dict[str, Any] = {"network": words[0], "reason": comment[1] if comment else ""}
    return {**value, "duration": f"{seconds:.3f}s"} if seconds else value
