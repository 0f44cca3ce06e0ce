"""What the child may answer: events of the kind asked for, cleaned as if they were off the wire.

The child reads hostile bytes and may have been taken over by them: nothing it says is trusted.
"""

from __future__ import annotations

import math
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Certificate, Kerberos, Ldap, Lldp, Ntlm, Radius

if TYPE_CHECKING:
    from ipwatchd.records.event import AnyEvent

__all__ = ["KINDS", "AnswerError", "ask", "read"]

RichEvent = Kerberos | Radius | Ldap | Ntlm | Lldp | Certificate

KINDS: Final[dict[str, tuple[type[RichEvent], ...]]] = {
    "kerberos": (Kerberos,), "radius": (Radius,), "ldap": (Ldap, Ntlm), "ntlm": (Ntlm,),
    "smb": (Ntlm,), "lldp": (Lldp,), "certificate": (Certificate,),
}  # fmt: skip
"""What a message may be called, and the events it may give."""

MAX_EVENTS: Final = 4
MAX_NAMES: Final = 64
"""Names kept of a certificate; those of a large cloud hold hundreds."""
_LAST_TIME: Final = 1e11

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(tuple[int, list[RichEvent]])


class AnswerError(ValueError):
    """The child wrote what is no answer to what it was asked."""


def ask(number: int, kind: str, data: bytes) -> bytes:
    """Return the body of a request."""
    return _ENCODER.encode((number, kind, data))


def read(body: bytes, number: int, kind: str) -> list[AnyEvent]:
    """Return the events of the answer to request `number`; AnswerError where it is none."""
    try:
        answered, events = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnswerError(str(error)) from None
    if answered != number or len(events) > MAX_EVENTS:
        raise AnswerError(f"request {number} was answered as {answered}")
    if any(not isinstance(event, KINDS[kind]) for event in events):
        raise AnswerError(f"{kind} was answered with another kind")
    return [_clean(event) for event in events]


def _clean(event: RichEvent) -> RichEvent:
    fields = {
        name: _address(value) if name == "address" else _cleaned(value)
        for name, value in msgspec.structs.asdict(event).items()
    }
    return msgspec.structs.replace(event, **fields | {"ts": 0.0, "source": ""})


def _address(value: str) -> str:
    """Return an address that may become an event's end, "" for what is none."""
    try:
        return str(ip_address(value)) if "%" not in value else ""
    except ValueError:
        return ""


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return printable(value[:255].encode("utf-8", "replace"))
    if isinstance(value, tuple):
        return tuple(_cleaned(one) for one in value[:MAX_NAMES])
    if isinstance(value, float):
        return value if math.isfinite(value) and 0 <= value < _LAST_TIME else 0.0
    return value
