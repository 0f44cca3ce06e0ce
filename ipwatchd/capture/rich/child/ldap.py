"""LDAP binds (RFC 4511, 4.2) → events. Own code: scapy refuses the SASL binds of Windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.records.event import Ldap

if TYPE_CHECKING:
    from ipwatchd.records.event import Event

__all__ = ["ldap"]

_REQUEST, _RESPONSE = 0x60, 0x61
_SIMPLE, _SASL = 0x80, 0xA3
_NTLM: Final = b"NTLMSSP\0\3\0\0\0"
_RESULTS: Final = {
    0: "success", 1: "operationsError", 2: "protocolError", 7: "authMethodNotSupported",
    8: "strongerAuthRequired", 14: "saslBindInProgress", 32: "noSuchObject",
    34: "invalidDNSyntax", 48: "inappropriateAuthentication", 49: "invalidCredentials",
    50: "insufficientAccessRights", 51: "busy", 52: "unavailable", 53: "unwillingToPerform",
}  # fmt: skip


def ldap(data: bytes) -> tuple[list[Event], bytes]:
    """Return the event of a bind, and the NTLM message in its credentials, if any.

    The password of a simple bind is not looked at. Raises IndexError or ValueError.
    """
    _, message, _ = _value(data, 0)
    _, _number, place = _value(message, 0)
    tag, bind, _ = _value(message, place)
    if tag == _RESPONSE:
        _, code, _ = _value(bind, 0)
        result = int.from_bytes(code, "big")
        event = Ldap(ts=0.0, message="bind-response", result=_RESULTS.get(result) or str(result))
        return [event], b""
    if tag != _REQUEST:
        return [], b""
    _, _version, place = _value(bind, 0)
    _, name, place = _value(bind, place)
    tag, credentials, _ = _value(bind, place)
    method, token = "simple" if tag == _SIMPLE else str(tag), b""
    if tag == _SASL:
        _, mechanism, place = _value(credentials, 0)
        method = mechanism.decode("utf-8", "replace")
        start = credentials.find(_NTLM, place)
        token = credentials[start:] if start >= 0 else b""
    user = name.decode("utf-8", "replace")
    return [Ldap(ts=0.0, message="bind", user=user, method=method)], token


def _value(data: bytes, place: int) -> tuple[int, bytes, int]:
    """Return tag, content and end of a BER value of definite length (X.690, 8.1)."""
    tag, length = data[place], data[place + 1]
    place += 2
    if length & 0x80:
        width = length & 0x7F
        if not 1 <= width <= 4:
            raise ValueError("a length of none or more than four bytes")
        length = int.from_bytes(data[place : place + width], "big")
        place += width
    content = data[place : place + length]
    if len(content) < length:
        raise IndexError("a value that is cut off")
    return tag, content, place + length
