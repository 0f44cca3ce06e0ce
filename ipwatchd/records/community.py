"""Community ID v1: one name for a flow in every tool (github.com/corelight/community-id-spec).

`community_ids` names columns of flows, `community_ids_of` flows as JSON objects.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.records.address import is_v4, split
from ipwatchd.records.flow import empty_flows, protocol_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["community_ids", "community_ids_of"]

_PORTED: Final = (6, 17, 132)
_ICMP_PAIRS: Final = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 10: 9, 9: 10, 17: 18, 18: 17}
_ICMP6_PAIRS: Final = {
    128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145,
    145: 144, 139: 140, 140: 139,
}  # fmt: skip


def _pairs(pairs: dict[int, int]) -> NDArray[np.int32]:
    table = np.full(256, -1, np.int32)
    table[list(pairs)] = list(pairs.values())
    return table


_COUNTERPART: Final = {1: _pairs(_ICMP_PAIRS), 58: _pairs(_ICMP6_PAIRS)}


def community_ids(flows: NDArray[np.void], seed: int = 0) -> list[str]:
    """Return the Community ID of each flow (dtype FLOW).

    ICMP uses type and code for ports; types without a counterpart keep their direction.
    """
    if not len(flows):
        return []
    first, second, one_way = _ports(flows)
    low, high = _ordered(flows, first, second, one_way)
    v4 = is_v4(flows["orig_hi"], flows["orig_lo"]) & is_v4(flows["resp_hi"], flows["resp_lo"])
    names = [""] * len(flows)
    ported = np.isin(flows["proto"], [*_PORTED, 1, 58])
    for width, mine in ((4, v4), (16, ~v4)):
        for ports in (True, False):
            rows = np.flatnonzero(mine & (ported == ports))
            messages = _messages(low[rows], high[rows], flows["proto"][rows], seed, width, ports)
            for row, name in zip(rows.tolist(), map(_name, messages), strict=True):
                names[row] = name
    return names


def community_ids_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the Community ID of each flow given as an object (keys as in the flows' JSON)."""
    flows = empty_flows(len(rows))
    for side in ("orig", "resp"):
        halves = [split(row[side]) for row in rows]
        flows[f"{side}_hi"] = [hi for hi, _ in halves]
        flows[f"{side}_lo"] = [lo for _, lo in halves]
        flows[f"{side}_port"] = [row.get(f"{side}_port", 0) for row in rows]
    flows["proto"] = [protocol_number(row["proto"]) for row in rows]
    for name in ("icmp_type", "icmp_code"):
        flows[name] = [row.get(name, 0) for row in rows]
    return community_ids(flows)


def _name(message: bytes) -> str:
    digest = hashlib.sha1(message).digest()  # noqa: S324 - what the specification asks for
    return "1:" + binascii.b2a_base64(digest, newline=False).decode("ascii")


def _messages(
    low: Any, high: Any, proto: NDArray[np.uint8], seed: int, width: int, ports: bool
) -> Iterator[bytes]:
    """Return what is hashed, for flows of one address width that all have ports or have none."""
    layout = [("seed", ">u2"), ("low", f"S{width}"), ("high", f"S{width}"), ("proto", ">u2")]
    if ports:
        layout += [("low_port", ">u2"), ("high_port", ">u2")]
    table = np.zeros(len(low), np.dtype(layout))
    table["seed"] = seed
    table["proto"] = proto.astype(np.uint16) << 8
    raw = table.view(np.uint8).reshape(len(table), table.itemsize)
    for name, end, at in (("low", low, 2), ("high", high, 2 + width)):
        octets = end.view(np.uint8).reshape(len(end), _END.itemsize)
        raw[:, at : at + width] = octets[:, 16 - width : 16]
        if ports:
            table[f"{name}_port"] = end["port"]
    memory = table.tobytes()
    return (memory[at : at + table.itemsize] for at in range(0, len(memory), table.itemsize))


def _ports(flows: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return what stands for the ports of each end, and which flows keep their direction."""
    first = flows["orig_port"].astype(np.int64)
    second = flows["resp_port"].astype(np.int64)
    one_way = np.zeros(len(flows), np.bool_)
    for proto, table in _COUNTERPART.items():
        mine = flows["proto"] == proto
        counterpart = table[flows["icmp_type"]]
        paired = counterpart >= 0
        first = np.where(mine, flows["icmp_type"], first)
        second = np.where(mine, np.where(paired, counterpart, flows["icmp_code"]), second)
        one_way |= mine & ~paired
    return first, second, one_way


_END: Final = np.dtype([("hi", ">u8"), ("lo", ">u8"), ("port", ">u2")])


def _ordered(flows: Any, first: Any, second: Any, one_way: Any) -> tuple[Any, Any]:
    """Return the lower and the higher end of each flow, as the hash takes them."""
    orig, resp = np.empty(len(flows), _END), np.empty(len(flows), _END)
    orig["hi"], orig["lo"], orig["port"] = flows["orig_hi"], flows["orig_lo"], first
    resp["hi"], resp["lo"], resp["port"] = flows["resp_hi"], flows["resp_lo"], second
    above = (flows["orig_hi"] > flows["resp_hi"]) | (
        (flows["orig_hi"] == flows["resp_hi"]) & (flows["orig_lo"] > flows["resp_lo"])
    )
    same = (flows["orig_hi"] == flows["resp_hi"]) & (flows["orig_lo"] == flows["resp_lo"])
    swap = (above | (same & (first > second))) & ~one_way
    low, high = orig.copy(), resp.copy()
    low[swap], high[swap] = resp[swap], orig[swap]
    return low, high
