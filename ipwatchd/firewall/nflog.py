"""Denied packets as the kernel logs them (nfnetlink_log) → `blocked` events.

The rules limit how many are logged a second and how much of each; the counters of the rules know
them all. Layouts: linux/netfilter/nfnetlink_log.h, RFC 791, RFC 8200.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import msgspec

from ipwatchd.firewall import codec
from ipwatchd.firewall.rules import LOG_SNAP, PREFIXES
from ipwatchd.firewall.transport import NetlinkSocket, failure
from ipwatchd.records.event import Blocked
from ipwatchd.records.flow import protocol_name

if TYPE_CHECKING:
    from ipwatchd.config.settings import FirewallSettings

__all__ = ["BlockedReader", "ReaderCounters", "read_packet"]

_CONFIG: Final = 0x401  # NFULNL_MSG_CONFIG in NFNL_SUBSYS_ULOG
_PACKET: Final = 0x400
_CFG_CMD, _CFG_MODE, _CFG_QTHRESH, _CFG_FLAGS = 1, 2, 5, 6
_BIND: Final = 1  # NFULNL_CFG_CMD_BIND
_COPY_PACKET: Final = 2  # NFULNL_COPY_PACKET
_FLAG_SEQUENCE: Final = 1  # NFULNL_CFG_F_SEQ
_TIMESTAMP, _INDEV, _OUTDEV, _PAYLOAD, _PREFIX, _SEQ = 3, 4, 5, 9, 10, 12
_ACTIONS: Final = {prefix: prefix.split(" ", 1)[1] for prefix in PREFIXES.values()}
_DATAGRAMS: Final = 1024
"""Datagrams of one read: a flood (log_per_second set high) can't keep the caller here."""
_EXTENSIONS: Final = 8
"""IPv6 extension headers walked: a chain of thousands is an old way to burn a reader's time."""
_WITH_PORTS: Final = {6, 17, 33, 132, 136}  # TCP, UDP, DCCP, SCTP, UDP-Lite
_HOP, _ROUTING, _FRAGMENT, _OPTIONS = 0, 43, 44, 60


class ReaderCounters(msgspec.Struct):
    """`shed` are packets the kernel logged and we never saw, `overruns` how often it ran over."""

    received: int = 0
    shed: int = 0
    overruns: int = 0
    malformed: int = 0


class Packet(NamedTuple):
    """Addresses, ports and protocol of an IP packet's first bytes."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: int
    length: int


class BlockedReader:
    """Reads the log group of our rules; non-blocking. `fileno()` is readable when there is more.

    Opens at once: PermissionError where another process has the group or CAP_NET_ADMIN is missing
    (the kernel says EPERM to both).
    """

    def __init__(self, settings: FirewallSettings) -> None:
        self.counters = ReaderCounters()
        self._next: int | None = None
        self._netlink = NetlinkSocket()
        try:
            self._bind(settings.log_group)
        except BaseException:
            self._netlink.close()
            raise

    def _bind(self, group: int) -> None:
        mode = struct.pack(">IBB", LOG_SNAP, _COPY_PACKET, 0)
        for part in (
            codec.attribute(_CFG_CMD, bytes([_BIND])),
            codec.attribute(_CFG_MODE, mode),
            # One datagram a packet: they are few, and they are wanted now.
            codec.u32(_CFG_QTHRESH, 1),
            codec.attribute(_CFG_FLAGS, struct.pack(">H", _FLAG_SEQUENCE)),
        ):
            asked = codec.message(_CONFIG, codec.ACK, part, family=0, resource=group)
            try:
                self._netlink.ask(asked)
            except OSError as error:
                if error.errno in {errno.EBUSY, errno.EPERM}:
                    raise failure(
                        errno.EPERM,
                        f"nflog group {group} can't be had: another process has it "
                        "(set another firewall.log_group) or CAP_NET_ADMIN is missing",
                    ) from None
                raise

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._netlink.fileno()

    def close(self) -> None:
        """Give the group back."""
        self._netlink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, now: float) -> list[Blocked]:
        """Return what lies ready, at most 1,024 packets; `now` stands in for a missing time."""
        events: list[Blocked] = []
        for _ in range(_DATAGRAMS):
            try:
                data = self._netlink.receive_ready()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.counters.overruns += 1
                continue
            if data is None:
                break
            try:
                for header in codec.messages(data):
                    if header.type == _PACKET:
                        self._one(header.body, now, events)
            except codec.MalformedError:
                self.counters.malformed += 1
        return events

    def _one(self, body: memoryview, now: float, events: list[Blocked]) -> None:
        parts = codec.attributes(body, 4)
        if _SEQ in parts:
            sequence = codec.be32(parts[_SEQ])
            if self._next is not None:
                self.counters.shed += (sequence - self._next) & 0xFFFF_FFFF
            self._next = (sequence + 1) & 0xFFFF_FFFF
        event = read_blocked(parts, now)
        if event is None:
            self.counters.malformed += 1
            return
        self.counters.received += 1
        events.append(event)


def read_blocked(parts: dict[int, memoryview], now: float) -> Blocked | None:
    """Return the event of an NFULNL_MSG_PACKET's attributes; None where it is not of our rules."""
    if _PAYLOAD not in parts or _PREFIX not in parts:
        return None
    action = _ACTIONS.get(codec.string(parts[_PREFIX]))
    packet = read_packet(parts[_PAYLOAD])
    if action is None or packet is None:
        return None
    return Blocked(
        ts=_time(parts.get(_TIMESTAMP), now),
        orig=packet.source,
        orig_port=packet.source_port,
        resp=packet.destination,
        resp_port=packet.destination_port,
        proto=protocol_name(packet.protocol),
        source="nflog",
        action=action,
        iface=_interface(codec.be32(parts.get(_INDEV)) or codec.be32(parts.get(_OUTDEV))),
        bytes=packet.length,
    )


def _time(stamp: memoryview | None, now: float) -> float:
    """Return the kernel's time of the packet; it stamps received packets, seldom sent ones."""
    if stamp is None:
        return now
    seconds, micro = codec.be64(stamp), codec.be64(stamp[8:])
    return seconds + micro / 1e6 if seconds else now


def _interface(index: int) -> str:
    """Return an interface's name; its number where it has gone meanwhile."""
    if not index:
        return ""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}"


def read_packet(data: memoryview) -> Packet | None:
    """Return the headers of an IP packet that may be cut short; None where it is none."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        return _ipv4(data)
    if len(data) >= 40 and data[0] >> 4 == 6:
        return _ipv6(data)
    return None


def _ipv4(data: memoryview) -> Packet | None:
    header = (data[0] & 15) * 4
    if header < 20:
        return None
    fragment = int.from_bytes(data[6:8], "big") & 0x1FFF
    ports = (0, 0) if fragment else _ports(data, header, data[9])
    return Packet(
        str(ipaddress.IPv4Address(bytes(data[12:16]))), ports[0],
        str(ipaddress.IPv4Address(bytes(data[16:20]))), ports[1],
        data[9], int.from_bytes(data[2:4], "big"),
    )  # fmt: skip


def _ipv6(data: memoryview) -> Packet:
    protocol, place, fragment = data[6], 40, 0
    for _ in range(_EXTENSIONS):
        if protocol not in {_HOP, _ROUTING, _FRAGMENT, _OPTIONS} or place + 8 > len(data):
            break
        if protocol == _FRAGMENT:
            fragment = int.from_bytes(data[place + 2 : place + 4], "big") >> 3
            size = 8
        else:
            size = (data[place + 1] + 1) * 8
        protocol, place = data[place], place + size
    ports = (0, 0) if fragment else _ports(data, place, protocol)
    return Packet(
        str(ipaddress.IPv6Address(bytes(data[8:24]))), ports[0],
        str(ipaddress.IPv6Address(bytes(data[24:40]))), ports[1],
        protocol, int.from_bytes(data[4:6], "big") + 40,
    )  # fmt: skip


def _ports(data: memoryview, place: int, protocol: int) -> tuple[int, int]:
    if protocol not in _WITH_PORTS or place + 4 > len(data):
        return 0, 0
    return int.from_bytes(data[place : place + 2], "big"), int.from_bytes(
        data[place + 2 : place + 4], "big"
    )
