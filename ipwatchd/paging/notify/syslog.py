"""A page as a line of syslog (RFC 5424) over UDP, TCP (RFC 6587), TLS (RFC 5425) or /dev/log."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipwatchd.records.paging import Channel, Message

__all__ = ["deliver", "line_of_page"]

FACILITY: Final = 13
"""Log audit (RFC 5424, table 1)."""
SEVERITY: Final = {"P1": 1, "P2": 2, "P3": 3, "P4": 4, "P5": 5}
DATAGRAM: Final = 2048
"""Octets that a receiver over UDP should take (RFC 5426, section 3.2)."""
PORTS: Final = {"udp": 514, "tcp": 514, "tls": 6514}


def line_of_page(message: Message, host: str, pid: int) -> bytes:
    """Return the line: structured data of ours, then the first line of the text in UTF-8."""
    priority = FACILITY * 8 + SEVERITY.get(message.priority, 5)
    stamp = dt.datetime.fromtimestamp(message.time, dt.UTC).isoformat(timespec="milliseconds")
    pairs = {"incident": message.incident, message.kind: str(message.page), "site": message.site,
             "priority": message.priority, "cause": message.cause}  # fmt: skip
    data = " ".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items())
    # 32473 is the number for examples (RFC 5612).
    head = f"<{priority}>1 {stamp.replace('+00:00', 'Z')} {_name(host)} ipwatchd {pid} page"
    text = " ".join(message.subject.split())
    return f"{head} [page@32473 {data}] \ufeff{text}".encode()


def _escaped(value: str) -> str:
    """Escape what ends a value (RFC 5424, 6.3.3); controls are left out."""
    clean = "".join(c for c in value if c.isprintable())[:500]
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _name(host: str) -> str:
    return "".join(c for c in host if 33 <= ord(c) <= 126)[:255] or "-"


async def deliver(channel: Channel, message: Message) -> None:
    """Write the line to the channel's address; OSError where that can't be."""
    line = line_of_page(message, socket.gethostname(), os.getpid())
    kind, _, rest = channel.address.partition(":")
    if kind == "unix":
        await asyncio.to_thread(_to_socket, rest, line)
        return
    host, _, port = rest.rpartition(":")
    if not host:
        host, port = rest, ""
    number = int(port) if port else PORTS[kind]
    if kind == "udp":
        await _datagram(host.strip("[]"), number, line[:DATAGRAM])
        return
    from ipwatchd.paging.notify.tls import trust

    context = trust(channel) if kind == "tls" else None
    _, writer = await asyncio.open_connection(host.strip("[]"), number, ssl=context)
    try:
        writer.write(f"{len(line)} ".encode() + line)
        await writer.drain()
    finally:
        writer.close()
        await writer.wait_closed()


async def _datagram(host: str, port: int, line: bytes) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(host, port)
    )
    transport.sendto(line)
    transport.close()


def _to_socket(path: str, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.settimeout(5.0)
        one.connect(path)
        one.send(line)
