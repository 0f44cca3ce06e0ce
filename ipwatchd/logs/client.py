"""The client that a log line names: an address, or a host name where the log has only that."""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from typing import Final

from ipwatchd.records.mac import plain_mac

__all__ = ["client", "shown"]

# tsocket_address_string() of Samba: ipv6:2001:db8::1:445
_SAMBA: Final = re.compile(r"ipv[46]:([0-9A-Fa-f:.]{2,45}):([0-9]{1,5})")
_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[0-9.]{7,15}):([0-9]{1,5})")


@lru_cache(maxsize=16_384)
def client(text: str) -> tuple[str, int, str]:
    """Return address, port and host name of a client; what is not known is "" or 0.

    Takes 192.0.2.1, 192.0.2.1:99, [2001:db8::1]:99, ipv6:2001:db8::1:99 and names. An IPv4-mapped
    address is IPv4. A number with leading zeros is kept as a name: programs disagree whether it is
    octal. A MAC, which RADIUS has of Wi-Fi and switch ports, is a name too.
    """
    text = text[:255].rstrip(".")
    port = 0
    if _is_v4(text):
        return text, 0, ""
    found = _PORT.fullmatch(text) or _SAMBA.fullmatch(text)
    if found:
        text, port = found[1], min(int(found[2]), 65535)
    text = text.strip("[]")
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "", port, plain_mac(shown(text))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address), port, ""


def _is_v4(text: str) -> bool:
    """Tell whether a text is four decimal numbers; leading zeros are none (inet_pton(3))."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def shown(text: str, limit: int = 255) -> str:
    """Return text without what can't be shown: a log is written by strangers too."""
    text = text[:limit]
    return (
        text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)
    )
