"""The list entry: one allow or deny line."""

from __future__ import annotations

import ipaddress

import msgspec

__all__ = ["LISTS", "MODES", "ListEntry", "network_text", "parse_network"]

LISTS = ("allow", "deny")
MODES = ("off", "observe", "enforce")


class ListEntry(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A network that may or may not pass. `expires` 0 is never; `scope` is site or a service.

    `source` says where it came from: admin, central, response:<rule> or feed:<name>.
    """

    id: int
    list: str
    network: str
    reason: str
    author: str
    created: float
    expires: float = 0.0
    scope: str = "site"
    source: str = "admin"
    ticket: str = ""


def parse_network(text: str) -> tuple[str, str]:
    """Return a network in canonical form and a note on what was mended (host bits), or "".

    Raises ValueError with a sentence that says what is wrong.
    """
    text = text.strip()
    try:
        return str(ipaddress.ip_network(text)), ""
    except ValueError:
        pass
    try:
        network = str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(
            f"{text!r} is no address or network: write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
        ) from None
    return network, f"{text} has host bits set: taken as {network}"


def network_text(network: str) -> str:
    """Return a network as people say it: a single address without its length."""
    address, _, length = network.partition("/")
    return address if length == ("128" if ":" in address else "32") else network
