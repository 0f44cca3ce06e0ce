"""How long the kernel keeps a silent connection; from what is left of it follows the last packet.

Names and defaults: Documentation/networking/nf_conntrack-sysctl.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.capture.conntrack_entry import (
    ASSURED,
    CLOSE,
    ESTABLISHED,
    LAST_ACK,
    SEEN_REPLY,
    STARTED,
    STOPPED,
    SYN_SENT,
    TIME_WAIT,
    TIMED,
)
from ipwatchd.capture.network import ICMP, ICMP6, TCP, UDP, UDPLITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ipwatchd.config import CaptureSettings

__all__ = ["KernelTimeouts", "idle_limits", "kernel_timeouts", "last_packets"]

_SECOND: Final = 1_000_000_000
_TCP_STATES: Final = (
    ("", 300), ("tcp_timeout_syn_sent", 120), ("tcp_timeout_syn_recv", 60),
    ("tcp_timeout_established", 432_000), ("tcp_timeout_fin_wait", 120),
    ("tcp_timeout_close_wait", 60), ("tcp_timeout_last_ack", 30), ("tcp_timeout_time_wait", 120),
    ("tcp_timeout_close", 10), ("tcp_timeout_syn_sent", 120),
)  # fmt: skip
"""By enum tcp_conntrack."""


class KernelTimeouts(NamedTuple):
    """Timeouts in ns: `tcp` by state (int64, 256), the others as the sysctls' names say."""

    tcp: NDArray[np.int64]
    unacknowledged: int
    udp: int
    udp_stream: int
    icmp: int
    generic: int


def kernel_timeouts(read: Callable[[str], int | None]) -> KernelTimeouts:
    """Return the timeouts; `read` gives a sysctl of net.netfilter.nf_conntrack_… in seconds."""

    def seconds(name: str, default: int) -> int:
        value = read(name) if name else None
        return (default if value is None else value) * _SECOND

    tcp = np.full(256, 300 * _SECOND, np.int64)
    tcp[: len(_TCP_STATES)] = [seconds(name, default) for name, default in _TCP_STATES]
    return KernelTimeouts(
        tcp=tcp,
        unacknowledged=seconds("tcp_timeout_unacknowledged", 300),
        udp=seconds("udp_timeout", 30),
        udp_stream=seconds("udp_timeout_stream", 120),
        icmp=seconds("icmp_timeout", 30),
        generic=seconds("generic_timeout", 600),
    )


def last_packets(entries: NDArray[np.void], kernel: KernelTimeouts, now: int) -> NDArray[np.int64]:
    """Return when each connection's last packet passed (epoch ns), as far as its timeout tells.

    The kernel takes off the delay of its own collector (nf_ct_delete), and tells what is left in
    whole seconds. Timeouts of rules (ct timeout) are not known here; what comes out lies between
    the connection's start and its end in any case.
    """
    proto = entries["proto"]
    stream = (entries["status"] & ASSURED) != 0
    whole = np.select(
        [
            proto == TCP,
            (proto == UDP) | (proto == UDPLITE),
            (proto == ICMP) | (proto == ICMP6),
        ],
        [
            kernel.tcp[entries["tcp"]],
            np.where(stream, kernel.udp_stream, kernel.udp),
            np.int64(kernel.icmp),
        ],
        np.int64(kernel.generic),
    )
    left = np.where(entries["bits"] & TIMED, entries["timeout"].astype(np.int64) * _SECOND, 0)
    at = np.where(entries["bits"] & STOPPED, entries["stop"], now)
    start = np.where(entries["bits"] & STARTED, entries["start"], 0)
    # An established connection whose data nobody acknowledges has a shorter timeout.
    unlikely = (proto == TCP) & (entries["tcp"] == ESTABLISHED) & (at - (whole - left) < start)
    whole = np.where(unlikely, kernel.unacknowledged, whole)
    silent = np.maximum(whole - left, 0)
    last: NDArray[np.int64] = np.maximum(at - silent, np.minimum(start, at))
    return last


def idle_limits(entries: NDArray[np.void], settings: CaptureSettings) -> NDArray[np.int64]:
    """Return after how much silence each flow counts as ended, in ns: the settings' timeouts."""
    proto, tcp = entries["proto"], entries["tcp"]
    answered = (entries["status"] & SEEN_REPLY) != 0
    closed = (tcp == TIME_WAIT) | (tcp == CLOSE) | (tcp == LAST_ACK)
    seconds = np.select(
        [
            (proto == TCP) & closed,
            (proto == TCP) & (tcp == SYN_SENT) & ~answered,
            proto == TCP,
            (proto == UDP) | (proto == UDPLITE),
            (proto == ICMP) | (proto == ICMP6),
        ],
        [
            settings.tcp_closed_timeout,
            settings.tcp_attempt_timeout,
            settings.tcp_timeout,
            settings.udp_timeout,
            settings.icmp_timeout,
        ],
        settings.other_timeout,
    )
    limits: NDArray[np.int64] = (seconds * _SECOND).astype(np.int64)
    return limits
