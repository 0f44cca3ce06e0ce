"""Whom a question or an erasure is about: one address, or one agent by name. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

from ipwatchd.history.rollup import pack, unpack
from ipwatchd.records.address import split

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Subject", "subject_of"]


class Subject(NamedTuple):
    """`text` as people write it; `key` its 16 bytes where it is an address, empty for an agent."""

    text: str
    key: bytes

    @property
    def kind(self) -> str:
        """Return address or agent."""
        return "address" if self.key else "agent"

    def pattern(self) -> re.Pattern[bytes]:
        """Return what finds the subject in the bytes of a file: written out, or as a key.

        10.0.0.5 is not found in 10.0.0.50, maria not in mariadb.
        """
        words = [_written(text) for text in self._spellings()]
        if self.key:
            words.append(re.escape(self.key))
            # As columns hold it: two halves, each with its lowest byte first.
            words.append(re.escape(self.key[:8][::-1] + self.key[8:][::-1]))
        return re.compile(b"|".join(words), re.IGNORECASE)

    def _spellings(self) -> Iterator[str]:
        yield self.text
        if self.key:
            address = ipaddress.ip_address(self.text)
            if isinstance(address, ipaddress.IPv6Address):
                yield address.exploded
            else:
                yield f"::ffff:{self.text}"

    def named_in(self, text: str) -> bool:
        """Tell whether a text names the subject."""
        return self.pattern().search(text.encode("utf-8", "replace")) is not None


def _written(text: str) -> bytes:
    return rb"(?<![0-9A-Za-z_.:])" + re.escape(text.encode()) + rb"(?![0-9A-Za-z_:]|\.[0-9A-Za-z])"


def subject_of(text: str) -> Subject:
    """Return the subject of an address or a name; ValueError where it is empty or a network."""
    text = text.strip()
    if not text or "\0" in text:
        raise ValueError("say whom: an address (203.0.113.7, 2001:db8::7) or an agent's name")
    try:
        key = pack(*split(text))
    except ValueError:
        if "/" in text and text.partition("/")[0].replace(".", "").isdecimal():
            raise ValueError(f"{text!r} is a network: name one address at a time") from None
        return Subject(text, b"")
    return Subject(str(unpack(key)), key)
