"""IKE (RFC 2408, RFC 7296), OpenVPN and WireGuard handshakes → events; recognised, not read."""

from __future__ import annotations

import struct
from typing import Final

from ipwatchd.capture.dissect.step import BAD, Step
from ipwatchd.records.event import Ike, OpenVpn, WireGuard

__all__ = ["ike", "openvpn", "stream", "wireguard"]

EXCHANGES: Final = {
    1: {2: "identity-protection", 4: "aggressive", 5: "informational", 6: "transaction",
        32: "quick", 33: "new-group"},
    2: {34: "sa-init", 35: "auth", 36: "create-child-sa", 37: "informational",
        38: "session-resume"},
}  # fmt: skip
"""By major version (IANA isakmp-registry, ikev2-parameters)."""

_IKE: Final = struct.Struct("!8s8sBBBBII")
_NO_SPI: Final = bytes(8)
_NON_ESP: Final = bytes(4)
_RESPONSE: Final = 0x20
_RESETS: Final = {7: "client-reset", 8: "server-reset", 10: "client-reset"}


def ike(data: bytes) -> Ike | None:
    """Return the header of an IKE message, behind a non-ESP marker (RFC 3948, 2.2) or not."""
    if data[:4] == _NON_ESP:
        data = data[4:]
    if len(data) < _IKE.size:
        return None
    initiator, responder, _next, version, exchange, flags, _id, length = _IKE.unpack_from(data)
    if version >> 4 not in EXCHANGES or initiator == _NO_SPI or length < _IKE.size:
        return None
    names = EXCHANGES[version >> 4]
    return Ike(
        ts=0.0,
        version=f"{version >> 4}.{version & 15}",
        exchange=names.get(exchange) or str(exchange),
        initiator=initiator.hex(),
        responder="" if responder == _NO_SPI else responder.hex(),
        response=version >> 4 == 2 and bool(flags & _RESPONSE),
    )


def openvpn(data: bytes) -> OpenVpn | None:
    """Return the reset that opens a session, from a datagram or behind TCP's two bytes."""
    if len(data) >= 16 and int.from_bytes(data[:2], "big") == len(data) - 2:
        data = data[2:]
    message = _RESETS.get(data[0] >> 3) if len(data) >= 14 and data[0] & 7 == 0 else None
    return OpenVpn(ts=0.0, message=message) if message else None


def stream(data: bytes) -> Step:
    """Return the reset that a TCP stream opens with."""
    found = openvpn(data)
    return Step((found,), done=True) if found else BAD


def wireguard(data: bytes) -> WireGuard | None:
    """Return the handshake message that type and length say (wireguard.com/protocol)."""
    message = {148: "initiation", 92: "response"}.get(len(data))
    kind = {"initiation": b"\1\0\0\0", "response": b"\2\0\0\0"}.get(message or "")
    return WireGuard(ts=0.0, message=message) if message and data[:4] == kind else None
