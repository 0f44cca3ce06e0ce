"""A host that sends its log to the gateway: syslog over UDP, TCP and TLS, each line another way."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
from typing import TYPE_CHECKING, Final

from ipwatchd.lab import dial
from ipwatchd.lab.site import named

if TYPE_CHECKING:
    import ssl

    from ipwatchd.lab.certificates import KeyPair
    from ipwatchd.lab.netns import Namespace

__all__ = ["COLLECTOR", "Sender", "settings"]

COLLECTOR: Final = "10.30.0.1"
"""The gateway, as servers reach it."""
_PLAIN, _TLS = 514, 6514
_INFO: Final = 2 << 3 | 6
"""Facility mail, severity info (RFC 5424, 6.2.1)."""


def settings(pair: KeyPair, authority: str) -> str:
    """Return the daemon's section: servers may send, over TLS with a certificate of the site's."""
    return f"""
[logs.syslog]
udp = "{COLLECTOR}:{_PLAIN}"
tcp = "{COLLECTOR}:{_PLAIN}"
tls = "{COLLECTOR}:{_TLS}"
allow = ["10.30.0.0/24"]
certificate = "{pair.certificate}"
key = "{pair.key}"
client_ca = "{authority}"
"""


class Sender:
    """What a log daemon on a host does; connections are made when there is something to send."""

    def __init__(self, namespace: Namespace, host: str, context: ssl.SSLContext) -> None:
        self._namespace = namespace
        self._host = named(host)
        self._context = context
        self._ways = itertools.cycle((self._by_udp, self._by_tcp, self._by_tls))
        self._open: dict[int, asyncio.StreamWriter] = {}

    async def send(self, program: str, text: str) -> None:
        """Send one line; a collector that is away loses it, as it does in life."""
        stamp = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
        line = f"<{_INFO}>1 {stamp} {self._host.name} {program} 700 - - {text}".encode()
        with contextlib.suppress(OSError, TimeoutError):
            await next(self._ways)(line)

    async def _by_udp(self, line: bytes) -> None:
        """RFC 5426: a datagram is a message."""
        with contextlib.closing(dial.bound(self._namespace, self._host.ipv4)) as sock:
            sock.sendto(line, (COLLECTOR, _PLAIN))

    async def _by_tcp(self, line: bytes) -> None:
        """RFC 6587, 3.4.2: a line is a message."""
        await self._write(_PLAIN, line + b"\n", None)

    async def _by_tls(self, line: bytes) -> None:
        """RFC 5425: a message comes with its length."""
        await self._write(_TLS, b"%d %b" % (len(line), line), self._context)

    async def _write(self, port: int, data: bytes, context: ssl.SSLContext | None) -> None:
        writer = self._open.get(port)
        if writer is None or writer.is_closing():
            writer = self._open[port] = await self._connect(port, context)
        writer.write(data)
        await writer.drain()

    async def _connect(self, port: int, context: ssl.SSLContext | None) -> asyncio.StreamWriter:
        attempt = await dial.connect(self._namespace, self._host.ipv4, COLLECTOR, port)
        if attempt.sock is None:
            raise ConnectionRefusedError(attempt.outcome)
        _, writer = await asyncio.open_connection(
            sock=attempt.sock, ssl=context, server_hostname=COLLECTOR if context else None
        )
        return writer

    async def close(self) -> None:
        """Close the connections."""
        for writer in self._open.values():
            writer.close()
            with contextlib.suppress(OSError):  # the collector went first
                await writer.wait_closed()
