"""Whom a question or an erasure is about: one address, a network, or one agent by name. Pure."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ipwatchd.history.rollup import pack, unpack
from ipwatchd.records.address import network_range, split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from mmap import mmap

    from ipwatchd.records.address import IPNetwork

__all__ = ["Subject", "subject_of"]

# A shorter prefix has too few bytes of its own to be told from chance in a large file.
_LEAST_V4: Final = 8
_LEAST_V6: Final = 32
# Around a name, and around an address: SQLite writes a row's columns without anything between.
_BEFORE: Final = rb"(?<![0-9A-Za-z_.:])"
_AFTER: Final = rb"(?![0-9A-Za-z_:]|\.[0-9A-Za-z])"
_BEFORE_V4: Final = rb"(?<![0-9.])"
_AFTER_V4: Final = rb"(?![0-9]|\.[0-9])"
_BEFORE_V6: Final = rb"(?<![0-9A-Fa-f:.])"
_AFTER_V6: Final = rb"(?![0-9A-Fa-f:]|\.[0-9])"
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V6: Final = re.compile(_BEFORE_V6 + rb"(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}" + _AFTER_V6)
# Of an IPv4 address as a number, mapped: ffff0a140005.
_DIGITS: Final = 12
_HEX: Final = re.compile(r"[0-9a-f]{1,32}")
# A regular expression lets no other thread run before it ends: at some 10 MB a second a database
# would hold up the daemon for minutes. Between two windows others have their turn.
_WINDOW: Final = 1 << 18
# What an address may take in words, and the bytes after it that tell it from another.
_AROUND: Final = 64


class Subject(NamedTuple):
    """`text` as people write it; `key` and `last` its first and last address, b"" for an agent."""

    text: str
    key: bytes
    last: bytes = b""

    @property
    def kind(self) -> str:
        """Return address, network or agent."""
        if not self.key:
            return "agent"
        return "address" if self.key == self.last else "network"

    def network(self) -> IPNetwork:
        """Return the network that an address or a network is."""
        return ipaddress.ip_network(self.text)

    def clue(self) -> str:
        """Return what every text that names the subject holds, in lower case; "" is any."""
        if self.kind != "network":
            return self.text.lower()
        network = self.network()
        if network.version == 4:
            return ".".join(self.text.split(".")[: network.prefixlen // 8]) + "."
        return self.text.partition(":")[0] + ":"

    def hits(self, data: bytes | mmap) -> int:
        """Return how often data holds the subject: written out, or as a key of ours.

        10.0.0.5 is not found in 10.0.0.50, maria not in mariadb.
        """
        pattern, clues = _sought(self)
        around = len(self.text.encode()) + _AROUND
        found = sum(1 for _ in _matches(pattern, data, around, clues))
        if self.kind == "network" and ":" in self.text:
            texts = _matches(_V6, data, around, ())
            found += sum(1 for text in texts if self._covers(text.decode()))
        return found

    def clues(self) -> list[bytes]:
        """Return bytes in lower case of which every hit of the pattern holds one; none: any."""
        if not self.key:
            return [self.text.encode().lower()]
        if self.kind == "network":
            texts = [self.clue()] if ":" not in self.text else [self.text]
        else:
            texts = [self.text, ipaddress.ip_address(self.text).exploded]
        ends = zip(self.key, self.last, strict=True)
        same = bytes(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
        return [*(text.lower().encode() for text in texts), same.lower(), same[8:][::-1].lower()]

    def pattern(self) -> re.Pattern[bytes]:
        """Return what finds the subject; addresses of an IPv6 network in words are found apart."""
        before, after = self._bounds()
        words = [before + b"(?i:" + text + b")" + after for text in self._spellings()]
        if self.key:
            pairs = list(zip(self.key, self.last, strict=True))
            words.append(b"".join(map(_byte, pairs)))
            # As columns hold it: two halves, each with its lowest byte first.
            words.append(b"".join(map(_byte, pairs[7::-1] + pairs[:7:-1])))
        return re.compile(b"|".join(words))

    def _bounds(self) -> tuple[bytes, bytes]:
        """Return what may not stand before and after the text: it would be another's."""
        if not self.key:
            return _BEFORE, _AFTER
        return (_BEFORE_V6, _AFTER_V6) if ":" in self.text else (_BEFORE_V4, _AFTER_V4)

    def _spellings(self) -> Iterator[bytes]:
        if self.kind == "network":
            yield re.escape(self.text.encode())
            if ":" not in self.text:
                first, last = self.network()[0].packed, self.network()[-1].packed
                dotted = rb"\.".join(map(_number, zip(first, last, strict=True)))
                yield rb"(?:::ffff:)?" + dotted
            return
        yield re.escape(self.text.encode())
        if self.key:
            address = ipaddress.ip_address(self.text)
            if isinstance(address, ipaddress.IPv6Address):
                yield re.escape(address.exploded.encode())
            else:
                yield re.escape(f"::ffff:{self.text}".encode())

    def _covers(self, text: str) -> bool:
        try:
            return self.key <= pack(*split(text)) <= self.last
        except ValueError:
            return False

    def named_in(self, text: str) -> bool:
        """Tell whether a text names the subject."""
        return self.hits(text.encode("utf-8", "replace")) > 0

    def without(self, value: Any) -> Any:
        """Return plain data (of msgpack or JSON) without the lists that name the subject in words.

        Also where an address stands as its number in hexadecimal, whole or as two halves.
        """
        match value:
            case list() | tuple():
                return [self.without(one) for one in value if not self._is_about(one)]
            case dict():
                return {
                    key: "" if self._is_word(one) else self.without(one)
                    for key, one in value.items()
                    if not self._is_word(key)
                }
            case _:
                return value

    def _is_about(self, item: Any) -> bool:
        if not isinstance(item, list | tuple):
            return self._is_word(item)
        words = [one for one in item if isinstance(one, str)]
        halves = pairwise(words)
        return any(map(self._is_word, words)) or any(
            self._is_number(high + low.zfill(16))
            for high, low in halves
            if _HEX.fullmatch(high) and _HEX.fullmatch(low)
        )

    def _is_word(self, word: Any) -> bool:
        if not isinstance(word, str):
            return False
        return self.named_in(word) or (len(word) >= _DIGITS and self._is_number(word))

    def _is_number(self, word: str) -> bool:
        if not self.key or not _HEX.fullmatch(word):
            return False
        return self.key <= int(word, 16).to_bytes(16) <= self.last


@lru_cache(maxsize=16)
def _sought(who: Subject) -> tuple[re.Pattern[bytes], Sequence[bytes]]:
    return who.pattern(), who.clues()


def _matches(
    pattern: re.Pattern[bytes], data: bytes | mmap, around: int, clues: Sequence[bytes]
) -> Iterator[bytes]:
    """Yield what a pattern finds, which is shorter than `around`, a window at a time."""
    at = 0
    while at < len(data):
        end = until = at + _WINDOW
        window = data[at : until + around].lower() if clues else b""
        if not clues or any(clue in window for clue in clues):
            for match in pattern.finditer(data, at, until + around):
                if match.start() >= until:
                    break
                end = max(end, match.end())
                yield match[0]
        at = end


def _byte(span: tuple[int, int]) -> bytes:
    first, last = (re.escape(bytes([one])) for one in span)
    return first if first == last else b"[" + first + b"-" + last + b"]"


def _number(span: tuple[int, int]) -> bytes:
    first, last = span
    if (first, last) == (0, 255):
        return _OCTET
    return b"(?:" + b"|".join(str(one).encode() for one in range(first, last + 1)) + b")"


def subject_of(text: str) -> Subject:
    """Return the subject of an address, a network or a name; ValueError where it is none."""
    text = text.strip()
    if not text or "\0" in text:
        raise ValueError(
            "say whom: an address or network (203.0.113.7, 2001:db8::/48), or an agent's name"
        )
    try:
        key = pack(*split(text))
    except ValueError:
        pass
    else:
        return Subject(str(unpack(key)), key, key)
    if "/" not in text:
        return Subject(text, b"")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        if text.partition("/")[0].replace(".", "").isdecimal():
            raise ValueError(f"{text!r} is no network: write 203.0.113.0/24") from None
        return Subject(text, b"")
    least = _LEAST_V4 if network.version == 4 else _LEAST_V6
    if network.prefixlen < least:
        raise ValueError(f"{text} is too wide to be found in files for sure: /{least} or longer")
    first, last = network_range(network)
    if network.prefixlen == network.max_prefixlen:
        return Subject(str(network.network_address), pack(*first), pack(*last))
    return Subject(str(network), pack(*first), pack(*last))
