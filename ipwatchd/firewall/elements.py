"""Set elements in bulk: keys and timeouts as numpy columns ↔ NFT_MSG_NEWSETELEM messages; pure.

Elements of one kind have one size, so a message of thousands is one structured array. A kind is
(key bytes 4 or 16, with or without a timeout, single or interval); an interval is a start element
and an end element that holds the first address after it (NFT_SET_ELEM_INTERVAL_END).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.firewall import codec
from ipwatchd.firewall.codec import ACK, CREATE, NESTED, Nft

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["ELEMENT_BYTES", "Kind", "element_messages", "keys_message", "read_elements"]

ELEMENT_BYTES: Final = 0xFFFF - 4 - 3
"""The elements of one message are one attribute, whose nla_len is 16 bits."""

_NFTA_SET_ELEM_KEY: Final = 1
_NFTA_SET_ELEM_FLAGS: Final = 3
_NFTA_SET_ELEM_TIMEOUT: Final = 4
_NFTA_SET_ELEM_EXPIRATION: Final = 5
_NFTA_SET_ELEM_EXPR: Final = 7
_INTERVAL_END: Final = 1


class Kind(NamedTuple):
    """What elements look like; picks the layout."""

    key: int
    timeout: bool
    interval: bool


@cache
def _layout(kind: Kind) -> tuple[np.dtype[np.void], np.ndarray[tuple[int], np.dtype[np.void]]]:
    """Return the dtype of one element and one element with all lengths and types in place."""
    fields: list[tuple[object, ...]] = []
    values: list[object] = []

    def put(name: str, length: int, attribute: int) -> None:
        fields.extend([(f"{name}_len", "=u2"), (f"{name}_type", "=u2")])
        values.extend([length, attribute])

    def field(name: str, form: str, *shape: int) -> None:
        fields.append((name, form, shape) if shape else (name, form))
        values.append(0)

    put("start", 4 + 8 + kind.key + (12 if kind.timeout else 0), 1 | NESTED)
    put("key", 8 + kind.key, _NFTA_SET_ELEM_KEY | NESTED)
    put("value", 4 + kind.key, 1)
    field("first", "u1", kind.key)
    if kind.timeout:
        put("time", 12, _NFTA_SET_ELEM_TIMEOUT)
        field("timeout", ">u8")
    if kind.interval:
        put("end", 4 + 8 + 8 + kind.key, 1 | NESTED)
        put("flags", 8, _NFTA_SET_ELEM_FLAGS)
        fields.append(("flag", ">u4"))
        values.append(_INTERVAL_END)
        put("end_key", 8 + kind.key, _NFTA_SET_ELEM_KEY | NESTED)
        put("end_value", 4 + kind.key, 1)
        field("after", "u1", kind.key)
    form = np.dtype(fields)
    blank = np.zeros(1, form)
    for (name, *_), value in zip(fields, values, strict=True):
        blank[str(name)] = value
    return form, blank


def element_messages(
    table: str, name: str, kind: Kind, first: NDArray[np.uint8], after: NDArray[np.uint8] | None,
    timeout: NDArray[np.uint64] | None, *, delete: bool = False,
) -> list[memoryview]:  # fmt: skip
    """Return messages that add (or delete) these elements, as few as nla_len allows.

    `first` and `after` are keys in network order, shape (n, key); `timeout` milliseconds, shape n.
    """
    form, blank = _layout(kind)
    elements = np.repeat(blank, len(first))
    elements["first"] = first
    if after is not None:
        elements["after"] = after
    if timeout is not None:
        elements["timeout"] = timeout
    most = ELEMENT_BYTES // form.itemsize
    full, rest = divmod(len(elements), most)
    built: list[memoryview] = []
    if full:
        head = np.frombuffer(_head(table, name, most * form.itemsize, delete=delete), np.uint8)
        whole = np.empty((full, len(head) + most * form.itemsize), np.uint8)
        whole[:, : len(head)] = head
        whole[:, len(head) :] = elements[: full * most].view(np.uint8).reshape(full, -1)
        built.append(whole.reshape(-1).data)
    if rest:
        head_bytes = _head(table, name, rest * form.itemsize, delete=delete)
        built.append(memoryview(head_bytes + elements[full * most :].tobytes()))
    return built


def _head(table: str, name: str, size: int, *, delete: bool) -> bytes:
    """Return all of a message before its elements."""
    kind, flags = (Nft.DELSETELEM, 0) if delete else (Nft.NEWSETELEM, CREATE)
    where = codec.text(1, table) + codec.text(2, name)
    length = codec.GENERAL + len(where) + 4 + size
    general = codec.message(kind, flags, where)
    listing = codec.attribute(3 | NESTED, b"")
    return (
        length.to_bytes(4, codec.BYTE_ORDER)
        + general[4:]
        + (4 + size).to_bytes(2, codec.BYTE_ORDER)
        + listing[2:]
    )


def keys_message(table: str, name: str, keys: NDArray[np.uint8]) -> bytes:
    """Return a NFT_MSG_GETSETELEM that asks for these keys (shape (n, key), within one message).

    The kernel answers with one NEWSETELEM a key, and ENOENT at the first that is not there.
    """
    kind = Kind(keys.shape[1], timeout=False, interval=False)
    _, blank = _layout(kind)
    elements = np.repeat(blank, len(keys))
    elements["first"] = keys
    where = codec.text(1, table) + codec.text(2, name)
    wanted = codec.attribute(3 | NESTED, elements.tobytes())
    return codec.message(Nft.GETSETELEM, ACK, where, wanted)


class Elements(NamedTuple):
    """What a set holds: keys in network order, whether each ends an interval, the time left.

    `left` is milliseconds, -1 where there is no timeout; `met` are bytes and packets, 0 where
    nothing counts. Shapes (n, key), n, n, (n, 2).
    """

    keys: NDArray[np.uint8]
    ends: NDArray[np.bool_]
    left: NDArray[np.int64]
    met: NDArray[np.uint64]


def read_elements(bodies: Iterable[memoryview], key: int) -> Elements:
    """Read the bodies (after nlmsghdr) of NFT_MSG_NEWSETELEM; MalformedError where lengths lie."""
    keys: list[bytes] = []
    ends: list[bool] = []
    left: list[int] = []
    met: list[tuple[int, int]] = []
    for body in bodies:
        listing = codec.attributes(body, 4).get(3)
        if listing is None:
            continue
        for _, element in codec.walk(listing):
            parts = codec.attributes(element)
            value = codec.attributes(parts.get(_NFTA_SET_ELEM_KEY, memoryview(b""))).get(1)
            if value is None or len(value) != key:
                raise codec.MalformedError(f"a set element without a key of {key} bytes")
            keys.append(bytes(value))
            ends.append(bool(codec.be32(parts.get(_NFTA_SET_ELEM_FLAGS)) & _INTERVAL_END))
            timed = parts.get(_NFTA_SET_ELEM_EXPIRATION)
            left.append(-1 if timed is None else codec.be64(timed))
            met.append(_counter(parts.get(_NFTA_SET_ELEM_EXPR)))
    table = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, key)
    counted = np.array(met, np.uint64).reshape(-1, 2)
    return Elements(table, np.array(ends, np.bool_), np.array(left, np.int64), counted)


def _counter(expression: memoryview | None) -> tuple[int, int]:
    """Return the bytes and packets of an element's counter, the one expression that ours have."""
    if expression is None:
        return 0, 0
    data = codec.attributes(codec.attributes(expression).get(2, memoryview(b"")))
    return codec.be64(data.get(1)), codec.be64(data.get(2))
