"""What may become an entry: canonical network, bounded texts, sane times, nobody locked out. Pure.

Bounds and the attack each stops: RESPONSES, a sender of forged source addresses who makes automatic
responses fill the lists and the kernel's memory; ENTRIES, a feed grown a thousandfold; TEXT, a log
line of a megabyte as somebody's reason.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.lists.compile import network_ranges, overlaps
from ipwatchd.records.entry import LISTS, parse_network

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ipwatchd.records.address import IPNetwork
    from ipwatchd.records.entry import ListEntry

__all__ = [
    "ENTRIES", "RESPONSES", "SELECTORS", "FullError", "LockOutError", "Span", "admit", "canonical",
    "is_selector", "moment", "selector", "spans", "touches", "until",
]  # fmt: skip

ENTRIES: Final = 2_000_000
RESPONSES: Final = 20_000
TEXT: Final = 500
SELECTORS: Final = ("country", "asn", "name", "agent")
_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_LATEST: Final = 7_258_118_400.0  # 2200-01-01: nanoseconds of it still fit 63 bits
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


class LockOutError(ValueError):
    """A deny that would touch a management network and was not forced."""


class FullError(ValueError):
    """A list that holds as many entries as it may."""


class Span(NamedTuple):
    """First and last address of a network, 16 bytes each, in an order that memcmp keeps."""

    first: bytes
    last: bytes


def canonical(text: str) -> tuple[str, str]:
    """Return a network, a range or a selector in canonical form, and a note on what was mended.

    IPv4 written as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2) becomes IPv4. Raises ValueError.
    """
    if ":" in text and (chosen := selector(text)):
        return chosen, ""
    if "-" in text:
        return _range(text)
    network, note = _plain_v4(text) or parse_network(text)
    if not network.startswith("::ffff:"):
        return network, note
    parsed = ipaddress.IPv6Network(network)
    if not parsed.subnet_of(_MAPPED):
        return network, note
    low = int(parsed.network_address) & 0xFFFF_FFFF
    plain = str(ipaddress.IPv4Network((low, parsed.prefixlen - 96)))
    return plain, f"{text.strip()} is IPv4 in IPv6's clothes: taken as {plain}"


def selector(text: str) -> str:
    """Return country:RU, asn:64500, name:vpn.example.com or agent:maria in canonical form, or "".

    Raises ValueError where the word after such a key can't be right.
    """
    key, _, word = text.strip().partition(":")
    key, word = key.lower(), word.strip()
    if key not in SELECTORS:
        return ""
    if key == "country" and len(word) == 2 and word.isascii() and word.isalpha():
        return f"country:{word.upper()}"
    if key == "asn" and (digits := word.upper().removeprefix("AS")).isdecimal():
        if 0 < int(digits) < 1 << 32:
            return f"asn:{int(digits)}"
    elif key == "name" and word:
        return f"name:{_host(word)}"
    elif key == "agent" and word and word.isprintable() and len(word) <= 64:
        return f"agent:{word}"
    raise ValueError(
        f"{text.strip()[:80]!r} chooses nobody: write country:RU, asn:64500, name:vpn.example.com "
        "or agent:maria"
    )


def is_selector(network: str) -> bool:
    """Tell an entry's network that stands for addresses which change (canonical form)."""
    return network.partition(":")[0] in SELECTORS


def _host(word: str) -> str:
    """Return a host's name as it stands in DNS: IDNA, small letters, no last dot."""
    try:
        name = word.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(f"{word[:80]!r} is no host name that DNS knows (IDNA)") from None
    if "." not in name or not set(name) <= _HOST:
        raise ValueError(f"{word[:80]!r} is no host name: write one such as vpn.example.com")
    return name


def _range(text: str) -> tuple[str, str]:
    """Return first-last, as a network where it is one."""
    first, _, last = (part.strip() for part in text.partition("-"))
    try:
        ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
    except ValueError:
        raise ValueError(
            f"{text.strip()[:80]!r} is no range: write 203.0.113.7-203.0.113.20"
        ) from None
    if ends[0].version != ends[1].version or int(ends[0]) > int(ends[1]):
        raise ValueError(f"{text.strip()} ends before it begins: put the lower address first")
    whole = [*ipaddress.summarize_address_range(*ends)]
    if len(whole) == 1:
        return str(whole[0]), ""
    return f"{ends[0]}-{ends[1]}", ""


def _plain_v4(text: str) -> tuple[str, str] | None:
    """Return what parse_network does of a lone IPv4 address at a tenth of its cost: feeds."""
    try:
        packed = socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError, UnicodeError):
        return None
    return f"{socket.inet_ntop(socket.AF_INET, packed)}/32", ""


def spans(networks: Iterable[str | IPNetwork]) -> list[Span]:
    """Return the ends of networks."""
    return [
        Span(
            (first_hi << 64 | first_lo).to_bytes(16, "big"),
            (last_hi << 64 | last_lo).to_bytes(16, "big"),
        )
        for first_hi, first_lo, last_hi, last_lo, _ in network_ranges(
            "::" if isinstance(one, str) and is_selector(one) else one for one in networks
        ).tolist()
    ]


def admit(
    entry: ListEntry, *, now: float, force: bool = False, services: Collection[str] = ()
) -> None:
    """Raise ValueError with the sentence that says why an entry (canonical network) can't be."""
    if entry.list not in LISTS:
        raise ValueError(f"there is no list {entry.list!r}: use {' or '.join(LISTS)}")
    if entry.scope != "site" and entry.scope not in services:
        known = ", ".join(sorted(services)) or "none"
        raise ValueError(
            f"there is no service {entry.scope[:40]!r} in the configuration (known: {known}): "
            "leave it out for the whole site"
        )
    if not entry.reason:
        raise ValueError(f"say why {entry.network} goes on the {entry.list} list: a reason is due")
    if not entry.author:
        raise ValueError(f"say who puts {entry.network} on the {entry.list} list: author is empty")
    if max(map(len, (entry.reason, entry.author, entry.ticket, entry.source))) > TEXT:
        raise ValueError(f"a text of the entry for {entry.network} is over {TEXT} characters")
    _admit_times(entry, now)
    if entry.network.endswith("/0") and not force:
        raise ValueError(
            f"{entry.network} is every address there is: name a smaller network, or use --force"
        )


def _admit_times(entry: ListEntry, now: float) -> None:
    if not math.isfinite(entry.expires) or not 0 <= entry.expires <= _LATEST:
        raise ValueError(f"{entry.expires} is no time an entry can end at (0 is never)")
    if 0 < entry.expires <= now:
        raise ValueError(
            f"the entry for {entry.network} ended at {moment(entry.expires)}, before it began: "
            "give a later time"
        )
    if entry.source.startswith("response:") and entry.list == "deny" and not entry.expires:
        raise ValueError(f"the deny of {entry.network} by {entry.source} must have an end")


def touches(network: str, management: Sequence[str]) -> str:
    """Return the first management network that shares an address with `network`, or ""."""
    if not management or is_selector(network):
        return ""
    hits = overlaps(network_ranges(management), network_ranges([network])).tolist()
    return next((name for name, hit in zip(management, hits, strict=True) if hit), "")


def moment(seconds: float) -> str:
    """Return a time as people read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def until(expires: float) -> str:
    """Return how long an entry stands, in words."""
    return f"until {moment(expires)}" if expires else "for good"
