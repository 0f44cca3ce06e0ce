"""What a payload is by the shape of its framing: lengths that agree, tags that must be there.

Text protocols are told by their first words (content.py); here are those of numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.jit import compiled, i64
from ipwatchd.capture.octets import be16, be32, le16, octet
from ipwatchd.capture.tap import Kind

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["datagram_kind", "framed_kind", "quic_initial"]

_NONE: Final = Kind.NONE
_DNS: Final = Kind.DNS
_TLS: Final = Kind.TLS
_HTTP: Final = Kind.HTTP
_KERBEROS: Final = Kind.KERBEROS
_LDAP: Final = Kind.LDAP
_SMB: Final = Kind.SMB
_RDP: Final = Kind.RDP
_IKE: Final = Kind.IKE
_OPENVPN: Final = Kind.OPENVPN
_WIREGUARD: Final = Kind.WIREGUARD

_SMB1: Final = 0xFF534D42
_SMB2: Final = 0xFE534D42
_QUIC_2: Final = 0x6B3343CF
_SSDP_SEARCH: Final = 0x4D2D5345
_SSDP_NOTIFY: Final = 0x4E4F5449
"""M-SEARCH and NOTIFY (UPnP Device Architecture 2.0, 1.2 and 1.3): HTTP heads in a datagram."""
_OPENVPN_RESET: Final = 0x38
"""P_CONTROL_HARD_RESET_CLIENT_V2 (7) with key 0."""


@compiled
def quic_initial(first: int, version: int) -> bool:
    """Tell whether a long header is that of an Initial whose keys are known (dissect/quic.py)."""
    if version == _QUIC_2:  # RFC 9369, 3.2
        return first & 0x30 == 0x10
    # Drafts, Google's, and those reserved to force a negotiation (RFC 9000, 15).
    known = version == 1 or version >> 8 == 0xFF0000 or version >> 16 == 0x5430
    return first & 0x30 == 0 and (known or version & 0x0F0F0F0F == 0x0A0A0A0A)


@compiled
def _der_length(data: Octets, at: int, end: int) -> int:
    """Return how long a DER value is with its tag at `at` and its length, or -1."""
    length = octet(data, at + 1, end)
    if length < 0x80:
        return length + 2
    if length == 0x81:
        return octet(data, at + 2, end) + 3
    if length == 0x82:
        return be16(data, at + 2, end) + 4
    return i64(-1)


@compiled
def _ldap(data: Octets, at: int, end: int) -> bool:
    """Tell a bind request or response, or an extended one (RFC 4511, 4.2, 4.12)."""
    length = octet(data, at + 1, end)
    at += 2
    if length & 0x80:
        at += length & 0x7F
    width = octet(data, at + 1, end)
    if octet(data, at, end) != 2 or width < 1 or width > 4:
        return False
    return octet(data, at + 2 + width, end) in (0x60, 0x61, 0x77, 0x78)


@compiled
def _dns_query(data: Octets, at: int, end: int) -> bool:
    """Tell a query that fills its segment behind its length (RFC 1035, 4.1.1 and 4.2.2)."""
    return (
        be16(data, at, end) == end - at - 2
        and be16(data, at + 4, end) & 0xFE8F == 0
        and be32(data, at + 6, end) == 0x10000
        and be16(data, at + 10, end) == 0
        and be16(data, at + 12, end) <= 1
        and end - at >= 19
    )


@compiled
def _dns_message(data: Octets, at: int, end: int) -> bool:
    """Tell a standard query or its response: one question, few records (RFC 1035, 4.1.1)."""
    flags = be16(data, at + 2, end)
    answers = be16(data, at + 6, end)
    rest = be16(data, at + 8, end)
    if be16(data, at + 4, end) != 1 or flags & 0x7840 != 0 or end - at < 17:
        return False
    if flags & 0x8000 == 0 and (answers != 0 or rest != 0 or flags & 0x8F != 0):
        return False
    return answers <= 64 and rest <= 16 and be16(data, at + 10, end) <= 16


@compiled
def _openvpn_reset(data: Octets, at: int, end: int) -> bool:
    """Tell the first packet of a client, in clear or with an HMAC: it acknowledges nothing."""
    if octet(data, at, end) != _OPENVPN_RESET or octet(data, end - 5, end) != 0:
        return False
    return end - at in (14, 42, 54, 58, 62, 86) and be32(data, end - 4, end) <= 1


@compiled
def _behind_length(data: Octets, at: int, end: int) -> int:
    """Tell what starts with its own length, which is below 16 MiB."""
    word = be32(data, at + 4, end)
    # Only a session setup carries a user (MS-SMB2, 2.2.5; MS-CIFS, 2.2.4.53).
    if (word == _SMB2 and le16(data, at + 16, end) == 1) or (
        word == _SMB1 and octet(data, at + 8, end) == 0x73
    ):
        return i64(_SMB)
    if octet(data, at + 4, end) in (0x6A, 0x6B, 0x6C, 0x6D, 0x7E) and (
        be32(data, at, end) == _der_length(data, at + 4, end)
    ):
        return i64(_KERBEROS)
    if _dns_query(data, at, end):
        return i64(_DNS)
    if be16(data, at, end) == end - at - 2 and _openvpn_reset(data, at + 2, end):
        return i64(_OPENVPN)
    return i64(_NONE)


@compiled
def framed_kind(data: Octets, at: int, end: int) -> int:
    """Return the Kind of a TCP payload that begins a message of a binary protocol, or 0."""
    first = octet(data, at, end)
    if first == 0:
        return _behind_length(data, at, end)
    if first == 0x30 and _ldap(data, at, end):
        return i64(_LDAP)
    # TPKT and X.224's connection request (MS-RDPBCGR, 2.2.1.1)
    if first == 3 and octet(data, at + 1, end) == 0 and octet(data, at + 5, end) == 0xE0:
        return i64(_RDP)
    return i64(_NONE)


@compiled
def datagram_kind(data: Octets, at: int, end: int) -> int:
    """Return the Kind of a datagram that opens a session or is a message on its own, or 0."""
    word = be32(data, at, end)
    size = end - at
    if (word == 0x01000000 and size == 148) or (word == 0x02000000 and size == 92):
        return i64(_WIREGUARD)
    if word >> 8 == 0x16FEFD or word >> 8 == 0x16FEFF:
        # A record of epoch 0 that holds a ClientHello (RFC 9147, 4).
        return i64(_TLS if octet(data, at + 13, end) == 1 else _NONE)
    # The non-ESP marker (RFC 3948, 2.2) and a header whose length agrees (RFC 7296, 3.1).
    if (
        word == 0
        and octet(data, at + 21, end) in (0x10, 0x20)
        and (be32(data, at + 28, end) == size - 4)
    ):
        return i64(_IKE)
    if word in (_SSDP_SEARCH, _SSDP_NOTIFY):
        return i64(_HTTP)
    if _openvpn_reset(data, at, end):
        return i64(_OPENVPN)
    return i64(_DNS if _dns_message(data, at, end) else _NONE)
