"""Ports as tables of 65,536 bytes: what a port's payload is, and what service it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.tap import Kind
from ipwatchd.records.flow import SERVICE_PORTS, SERVICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KNOWN_PORTS", "KNOWN_TCP", "KNOWN_UDP", "SERVICE_BY_PORT", "TAP_BY_PORT"]

KNOWN_TCP: Final = 1
KNOWN_UDP: Final = 2


def _tap_by_port() -> NDArray[np.uint8]:
    table = np.zeros(65536, np.uint8)
    table[[53, 5353, 5355]] = Kind.DNS
    table[[67, 68]] = Kind.DHCP
    table[5060] = Kind.SIP
    table[88] = Kind.KERBEROS
    table[[1645, 1646, 1812, 1813, 3799]] = Kind.RADIUS
    table[500] = Kind.IKE
    return table


def _service_by_port() -> NDArray[np.uint8]:
    table = np.zeros((2, 65536), np.uint8)
    for (proto, port), service in SERVICE_PORTS.items():
        table[0 if proto == 6 else 1, port] = SERVICES.index(service)
    return table


TAP_BY_PORT: Final = _tap_by_port()
"""UDP port → Kind of the payloads that a dissector wants."""

SERVICE_BY_PORT: Final = _service_by_port()
"""Row 0 TCP, row 1 UDP: responder's port → index into SERVICES."""

KNOWN_PORTS: Final = (
    (SERVICE_BY_PORT[0] != 0) * KNOWN_TCP + (SERVICE_BY_PORT[1] != 0) * KNOWN_UDP
).astype(np.uint8)
"""Port → KNOWN_TCP and KNOWN_UDP where a service is registered: who listens on it, responds."""
