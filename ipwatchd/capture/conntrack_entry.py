"""Connection tracking's messages: what is asked, and the row that an answer is read into; pure.

Names are those of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

__all__ = [
    "ASSURED", "CLOSE", "COUNTED", "DEAD", "DESTROYED", "DONE", "ENTRY", "ESTABLISHED", "FINISHED",
    "GROUPS", "IPS_DST_NAT", "IPS_SRC_NAT", "KNOWN", "LAST_ACK", "PARTIAL", "READ", "SEEN_REPLY",
    "SKIPPED", "STARTED", "STOPPED", "SYN_RECV", "SYN_SENT", "TIMED", "TIME_WAIT", "dump_request",
]  # fmt: skip

GROUPS: Final = 1 << 2
"""Netlink groups as a mask: NFNLGRP_CONNTRACK_DESTROY (3) alone."""

# enum ip_conntrack_status
SEEN_REPLY: Final = 1 << 1
ASSURED: Final = 1 << 2
IPS_SRC_NAT: Final = 1 << 4
IPS_DST_NAT: Final = 1 << 5

# enum tcp_conntrack
SYN_SENT: Final = 1
SYN_RECV: Final = 2
ESTABLISHED: Final = 3
LAST_ACK: Final = 6
TIME_WAIT: Final = 7
CLOSE: Final = 8

# What a message had (ENTRY's `bits`).
COUNTED: Final = 1
"""Both directions have counters (CTA_COUNTERS_ORIG, _REPLY)."""
STARTED: Final = 2
STOPPED: Final = 4
TIMED: Final = 8
"""CTA_TIMEOUT: seconds left are in `timeout`."""
DESTROYED: Final = 16
# What the table adds.
KNOWN: Final = 32
"""A row of the table: `told_…`, `since` and `last` are set."""
FINISHED: Final = 64
"""Its record was written as that of an ended flow; nothing was counted since."""
DEAD: Final = 128
"""Destroyed while a dump was being read: what the dump still says of it is old."""
SKIPPED: Final = 256
"""Not to be told: said before, or there is no room to remember what was told."""
PARTIAL: Final = 512
"""To be told as a flow that goes on."""
DONE: Final = 1024
"""To be told as a flow that has ended."""

ENTRY: Final = np.dtype(
    [
        ("orig_src_hi", "<u8"), ("orig_src_lo", "<u8"),
        ("orig_dst_hi", "<u8"), ("orig_dst_lo", "<u8"),
        ("reply_src_hi", "<u8"), ("reply_src_lo", "<u8"),
        ("reply_dst_hi", "<u8"), ("reply_dst_lo", "<u8"),
        ("packets", "<u8", (2,)),
        ("bytes", "<u8", (2,)),
        ("told_packets", "<u8", (2,)),
        ("told_bytes", "<u8", (2,)),
        ("start", "<i8"), ("stop", "<i8"), ("since", "<i8"), ("last", "<i8"),
        ("id", "<u4"), ("status", "<u4"), ("timeout", "<u4"), ("hash", "<u4"),
        ("orig_sport", "<u2"), ("orig_dport", "<u2"),
        ("reply_sport", "<u2"), ("reply_dport", "<u2"),
        ("bits", "<u2"),
        ("proto", "u1"), ("tcp", "u1"),
        ("icmp_type", "u1"), ("icmp_code", "u1"),
        ("closer", "u1"), ("spare", "u1"),
    ]
)  # fmt: skip
"""One connection as the kernel tells it, 192 bytes: both tuples, counters by direction, times in
epoch ns (0 is unknown), `tcp` of enum tcp_conntrack, `closer` 1 where the originator sent the first
FIN and 2 where the responder did. `told_…` is what records have had already, `since` where
the next record begins, `last` the last packet as far as is known. For ICMP the ports are 0 but for
`orig_sport`, the echo's id."""

READ: Final = np.dtype([(name, "<i8") for name in ("messages", "malformed", "done", "errno")])
"""What reading met: messages of connections, those with wrong lengths, and the end of a dump."""

_NFNETLINK: Final = struct.Struct("=IHHIIBBH")
_CT_GET: Final = 0x101
_REQUEST_DUMP: Final = 0x301


def dump_request(sequence: int) -> bytes:
    """Return a request (IPCTNL_MSG_CT_GET) for every connection of both families.

    Counters are left as they are: others may be reading them.
    """
    return _NFNETLINK.pack(_NFNETLINK.size, _CT_GET, _REQUEST_DUMP, sequence, 0, 0, 0, 0)
