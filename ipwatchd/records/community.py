"""Community ID, version 1, seed 0: one name of a flow across tools.

https://github.com/corelight/community-id-spec
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipwatchd.records.address import IPAddress

__all__ = ["community_id"]

_WITH_PORTS: Final = frozenset({6, 17, 132})
# Message types that answer each other; others are one-way and keep their order (the spec's tables).
_ICMP: Final = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMP6: Final = {
    128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145,
    145: 144,
}  # fmt: skip


def community_id(
    orig: IPAddress, orig_port: int, resp: IPAddress, resp_port: int, proto: int,
    icmp: tuple[int, int] = (0, 0),
) -> str:  # fmt: skip
    """Return the id of a flow; `icmp` is the first message's type and code."""
    ports: tuple[int, int] | None = None
    one_way = False
    if proto in {1, 58}:
        answer = (_ICMP if proto == 1 else _ICMP6).get(icmp[0])
        one_way = answer is None
        ports = (icmp[0], icmp[1] if answer is None else answer)
    elif proto in _WITH_PORTS:
        ports = (orig_port, resp_port)
    ends = [(orig.packed, ports[0] if ports else 0), (resp.packed, ports[1] if ports else 0)]
    if not one_way:
        ends.sort()
    data = b"\0\0" + ends[0][0] + ends[1][0] + bytes((proto, 0))
    if ports:
        data += struct.pack("!HH", ends[0][1], ends[1][1])
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return "1:" + base64.b64encode(digest).decode("ascii")
