"""The tap: the few packets whose payload a dissector wants, copied out of the packet loop.

A tap is a row of `index` and the bytes `data[offset : offset + length]`. The loop fills a bounded
buffer; what does not fit is counted (`events_shed`) and never waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "TAP", "Kind", "Taps", "empty_taps"]

TAP: Final = np.dtype(
    [
        ("ts", "<i8"),
        ("orig_hi", "<u8"),
        ("orig_lo", "<u8"),
        ("resp_hi", "<u8"),
        ("resp_lo", "<u8"),
        ("seq", "<u4"),
        ("offset", "<u4"),
        ("length", "<u4"),
        ("orig_port", "<u2"),
        ("resp_port", "<u2"),
        ("iface", "<u2"),
        ("vlan", "<u2"),
        ("proto", "u1"),
        ("kind", "u1"),
        ("from_orig", "u1"),
        ("whole", "u1"),
    ]
)
"""One tapped payload. `ts` is epoch ns. The five-tuple is the flow's (addresses as in
records.address), `from_orig` is 1 where the flow's originator sent this packet.

proto 6: one TCP segment's payload, `seq` the sequence number of its first byte. The first few
segments of each direction of a stream whose first bytes looked like `kind`; both directions are
tapped once either is known. Segments come as captured: repeated, out of order, with gaps.
`whole` is 1 of the first TLS hello of a side that is one record within a segment: then the payload
is that record.
proto 17, 132: one datagram's payload, whole but for the snap length; `seq` is 0.
proto 0: kind arp or lldp, the payload is what is behind the link header; no five-tuple.
proto 58: kind ndp, the payload is the ICMPv6 message (RFC 4861).
"""

KINDS: Final = (
    "", "arp", "dns", "dhcp", "sip", "tls", "http", "ssh", "quic", "ndp", "kerberos", "radius",
    "ldap", "smb", "rdp", "ike", "openvpn", "wireguard", "lldp",
)  # fmt: skip
"""What a payload looks like, by index: a hint, to be checked. `dns` is also mDNS (port 5353) and
LLMNR (5355); over TCP each message has its 2-byte length first (RFC 1035, 4.2.2)."""


class Kind:
    """Index into KINDS, for code that compares whole columns or is compiled."""

    NONE: Final = 0
    ARP: Final = 1
    DNS: Final = 2
    DHCP: Final = 3
    SIP: Final = 4
    TLS: Final = 5
    HTTP: Final = 6
    SSH: Final = 7
    QUIC: Final = 8
    NDP: Final = 9
    KERBEROS: Final = 10
    RADIUS: Final = 11
    LDAP: Final = 12
    SMB: Final = 13
    RDP: Final = 14
    IKE: Final = 15
    OPENVPN: Final = 16
    WIREGUARD: Final = 17
    LLDP: Final = 18


@dataclass(frozen=True, slots=True)
class Taps:
    """Tapped payloads in the order they were captured: `index` of dtype TAP, `data` of uint8.

    Both are the receiver's own copies.
    """

    index: NDArray[np.void]
    data: NDArray[np.uint8]


def empty_taps() -> Taps:
    """Return no taps."""
    return Taps(np.zeros(0, TAP), np.zeros(0, np.uint8))
