"""The services of the configuration → who may use them, as lists and firewall take it. Pure."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ipwatchd.lists.compile import merge, network_ranges
from ipwatchd.records.policy import ServicePolicy, empty_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config import Config

__all__ = ["services"]

_PROTOCOLS = {
    "tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP, "dccp": 33,
}  # fmt: skip
_NOWHERE = ("::/128",)
"""Where a zone without a network is: none at all, while a service without a zone is anywhere."""


def services(config: Config) -> tuple[ServicePolicy, ...]:
    """Return the services by name, their lists still empty; ValueError names what is wrong."""
    zones = config.named_zones()
    made = []
    for name, one in sorted(config.services.items()):
        if one.zone and one.zone not in zones:
            raise ValueError(
                f"services.{name}.zone: there is no zone {one.zone!r}: use {', '.join(zones)}"
            )
        to = [*one.networks, *(zones[one.zone] or _NOWHERE if one.zone else ())]
        try:
            ports, ranges = _ports(one.ports), merge(network_ranges(to))
        except ValueError as error:
            raise ValueError(f"services.{name}: {error}") from None
        only_allowed = one.policy == "only-allowed"
        number = int(_PROTOCOLS[one.protocol])
        nobody = empty_ranges()
        made.append(ServicePolicy(name, number, ports, only_allowed, ranges, nobody, nobody))
    return tuple(made)


def _ports(words: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return ports and ranges of ports, sorted and joined where they meet."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(_port(word) for word in words):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    if not found:
        raise ValueError("ports is empty: name at least one")
    return tuple(found)


def _port(word: str) -> tuple[int, int]:
    first, _, last = word.partition("-")
    if first.isdecimal() and (last or first).isdecimal():
        ends = int(first), int(last or first)
        if 1 <= ends[0] <= ends[1] <= 0xFFFF:
            return ends
    raise ValueError(f"{word!r} is no port: write 443 or 8000-8010")
