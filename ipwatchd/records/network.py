"""What an entry names, as text in one canonical form: network, range, or selector. Pure."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from ipwatchd.records.address import network_range, split
from ipwatchd.records.entry import parse_network

__all__ = ["SELECTORS", "canonical", "is_selector", "network_ends", "selector"]

SELECTORS: Final = ("country", "asn", "name", "agent")
_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_LENGTHS: Final = frozenset(map(str, range(33)))
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def canonical(text: str) -> tuple[str, str]:
    """Return a network, a range or a selector in canonical form, and a note on what was mended.

    IPv4 written as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2) becomes IPv4. Raises ValueError.
    """
    if quick := _plain_v4(text):
        return quick
    if ":" in text and (chosen := selector(text)):
        return chosen, ""
    if "-" in text:
        return _range(text)
    network, note = parse_network(text)
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
    """Return what parse_network does of a sound IPv4 network at a tenth of its cost: feeds."""
    address, slash, length = text.partition("/")
    bits = int(length) if length in _LENGTHS else -1 if slash else 32
    if bits < 0:
        return None
    try:
        packed = socket.inet_pton(socket.AF_INET, address)
    except (OSError, ValueError, UnicodeError):
        return None
    if int.from_bytes(packed, "big") & ((1 << 32 - bits) - 1):
        return None
    return f"{socket.inet_ntop(socket.AF_INET, packed)}/{bits}", ""


def network_ends(network: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the first and last address of a network or range (canonical), None for a selector."""
    if is_selector(network):
        return None
    first, dash, last = network.partition("-")
    return (split(first), split(last)) if dash else network_range(ipaddress.ip_network(network))
