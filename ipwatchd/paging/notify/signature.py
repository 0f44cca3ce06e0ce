"""The webhook's body and its signature. Pure.

`X-Ipwatchd-Signature: sha256=HEX` is the HMAC-SHA-256 of the timestamp header, a full stop and the
body under the shared secret: who checks both refuses what is forged, and what is replayed late.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ipwatchd.records.paging import Message

__all__ = ["signed"]


def _number(message: Message) -> str:
    """Return a page's number, or a letter's with its kind before it."""
    return f"{'' if message.kind == 'page' else message.kind}{message.page}"


def signed(message: Message, secret: str) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a page's POST."""
    body = msgspec.json.encode(message)
    stamp = f"{message.time:.0f}"
    headers = {
        "Content-Type": "application/json", "X-Ipwatchd-Timestamp": stamp,
        "X-Ipwatchd-Delivery": f"{message.incident}/{_number(message)}",
    }  # fmt: skip
    if secret:
        made = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256)
        headers["X-Ipwatchd-Signature"] = f"sha256={made.hexdigest()}"
    return body, headers
