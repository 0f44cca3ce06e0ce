"""Whole TLS hellos of a delivery → events: read in one compiled pass, fingerprinted once a client.

What is the same for all connections of one kind of software (version, protocols, JA4) is made once
for each key (capture/hello.py) and remembered.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.dissect.ja4 import ja4
from ipwatchd.capture.dissect.text import printable
from ipwatchd.capture.dissect.tls import VERSIONS, protocol_names
from ipwatchd.capture.hello import CLIENT, FOUND, read_hellos

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.capture.tap import Taps

__all__ = ["NAMES", "Hello", "Names", "hellos"]

NAMES: Final = 4096
"""Server names that wait for the server's hello. Stops hellos without an answer from piling up."""
_REMEMBERED: Final = 4096
"""Distinct keys and names that are remembered; a hostile client that varies them gains nothing."""
_NAME_OCTETS: Final = 255
_HEAD: Final = struct.Struct("!5H")
_CHOICE: Final = struct.Struct("!2H")

Hello = tuple[bool, str, str, tuple[str, ...], str]
"""Whether a client's, the server name asked for, version, protocols, and JA4 or the cipher."""


class Names:
    """The names that clients asked for, until the servers answer; the oldest goes first."""

    def __init__(self) -> None:
        self._names: dict[object, str] = {}

    def put(self, key: object, name: str) -> None:
        """Remember what the client of a connection asked for."""
        names = self._names
        names.pop(key, None)
        if len(names) >= NAMES:
            del names[next(iter(names))]
        names[key] = name

    def take(self, key: object) -> str | None:
        """Return the name and forget it; None where there was no such hello."""
        return self._names.pop(key, None)


def hellos(taps: Taps, memory: bytes) -> Sequence[Hello | None]:
    """Return what each tap that is a whole hello says; None leaves it to the stream's reader.

    `memory` is the taps' data.
    """
    index = taps.index
    whole = index["whole"] != 0
    if not whole.any():
        return (None,) * len(index)
    found = np.zeros(len(index), FOUND)
    keys = np.empty(int(index["length"][whole].sum()), np.uint8)
    read_hellos(index, taps.data, keys, found)
    lists = keys.tobytes()
    columns = (
        found["at"][:, 0], found["end"][:, 0], found["key_at"], found["key_end"], found["what"],
    )  # fmt: skip
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [_said(row, memory, lists) if row[4] else None for row in rows]


def _said(row: tuple[int, ...], memory: bytes, lists: bytes) -> Hello:
    name, name_end, key, key_end, what = row
    if what == CLIENT:
        asked = _name(memory[name : min(name_end, name + _NAME_OCTETS)])
        return True, asked, *_client(lists[key:key_end])
    return False, "", *_server(lists[key:key_end])


_name = lru_cache(maxsize=_REMEMBERED)(printable)


@lru_cache(maxsize=_REMEMBERED)
def _client(key: bytes) -> tuple[str, tuple[str, ...], str]:
    """Return version, protocols and JA4 of a client's key."""
    version, ciphers, extensions, signed, alpn = _HEAD.unpack_from(key)
    count = ciphers + extensions + signed
    lists = struct.unpack_from(f"!{count}H", key, _HEAD.size)
    start = _HEAD.size + 2 * count
    protocols = protocol_names(key[start : start + alpn])
    print_ = ja4(
        "t", version, lists[:ciphers], lists[ciphers : ciphers + extensions],
        lists[ciphers + extensions :], protocols[0] if protocols else b"",
    )  # fmt: skip
    return _version(version), tuple(printable(one) for one in protocols), print_


@lru_cache(maxsize=_REMEMBERED)
def _server(key: bytes) -> tuple[str, tuple[str, ...], str]:
    """Return version, protocol and cipher of a server's key."""
    version, cipher = _CHOICE.unpack_from(key)
    protocol = key[_CHOICE.size :]
    return _version(version), (printable(protocol),) if protocol else (), f"0x{cipher:04x}"


def _version(number: int) -> str:
    return VERSIONS.get(number) or f"0x{number:04x}"
