"""A syslog listener: RFC 3164 and 5424 over UDP, TCP and TLS (RFC 5425, 5426, 6587).

Runs on a thread with an event loop of its own, so that a flood of lines costs the daemon's loop
nothing; whole lines wait in bounded queues, one a sender, until they are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.logs.framing import Frames, FramingError
from ipwatchd.logs.rules import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.config.settings import SyslogSettings

__all__ = ["Listener", "Senders", "SyslogCounters"]

SENDERS: Final = 1024
"""Senders whose lines wait apart: source addresses of UDP are free to invent."""
CONNECTIONS: Final = 256
"""Open connections, and of one sender at most an eighth: who only connects holds no memory."""
IDLE_SECONDS: Final = 3600.0
HANDSHAKE_SECONDS: Final = 10.0


class SyslogCounters(msgspec.Struct):
    """What came since the start. `refused` senders are not in [logs.syslog] allow."""

    lines: int = 0
    refused: int = 0
    shed: int = 0
    cut: int = 0
    broken: int = 0
    connections: int = 0


class Senders:
    """Lines that wait, by sender: each may fill its own share only. Safe for two threads."""

    def __init__(self, allow: Sequence[str], waiting: int) -> None:
        self._networks = [ipaddress.ip_network(one, strict=False) for one in allow]
        self._waiting = waiting
        self._lines: OrderedDict[str, deque[bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self.counters = SyslogCounters()
        self.shed_by: dict[str, int] = {}

    def admits(self, sender: str) -> bool:
        """Tell whether a sender may send; a refusal is counted."""
        address = ipaddress.ip_address(sender)
        known = any(address in network for network in self._networks)
        self.counters.refused += not known
        return known

    def put(self, sender: str, line: bytes) -> None:
        """Let a line wait; a sender whose share is full loses it, counted under its address."""
        with self._lock:
            lines = self._lines.get(sender)
            if lines is None and len(self._lines) < SENDERS:
                lines = self._lines[sender] = deque()
            if lines is None or len(lines) >= self._waiting:
                self.counters.shed += 1
                if sender in self.shed_by or len(self.shed_by) < SENDERS:
                    self.shed_by[sender] = self.shed_by.get(sender, 0) + 1
                return
            lines.append(line)
            self.counters.lines += 1

    def take(self, most: int) -> list[tuple[str, bytes]]:
        """Return up to so many lines, each sender's in order and every sender its turn."""
        taken: list[tuple[str, bytes]] = []
        with self._lock:
            share = max(most // max(len(self._lines), 1), 1)
            for sender in list(self._lines):
                lines = self._lines[sender]
                taken += [(sender, lines.popleft()) for _ in range(min(share, len(lines)))]
                if not lines:
                    del self._lines[sender]
        return taken


def _plain(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class _Datagrams(asyncio.DatagramProtocol):
    """One datagram is one message (RFC 5426, 3.1)."""

    def __init__(self, senders: Senders) -> None:
        self._senders = senders

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take a message."""
        sender = _plain(addr[0])
        if not self._senders.admits(sender):
            return
        if len(data) > MAX_LINE:
            self._senders.counters.cut += 1
        else:
            self._senders.put(sender, data)


class Listener:
    """Listens where the settings say. Start and stop once; `problem` is why it does not listen."""

    def __init__(self, settings: SyslogSettings) -> None:
        self.senders = Senders(settings.allow, settings.waiting)
        self.problem = ""
        self.ports: dict[str, int] = {}
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._open: dict[str, int] = {}
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)

    def start(self) -> None:
        """Open the sockets; what can't be opened is `problem`."""
        self._thread.start()
        self._ready.wait(HANDSHAKE_SECONDS)

    def stop(self) -> None:
        """Close the sockets and end the thread."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(HANDSHAKE_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (OSError, ValueError) as error:
            self.problem = f"does not listen: {error}"
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        settings = self._settings
        async with contextlib.AsyncExitStack() as stack:
            if settings.udp:
                transport, _ = await self._loop.create_datagram_endpoint(
                    lambda: _Datagrams(self.senders), local_addr=_address(settings.udp)
                )
                stack.callback(transport.close)
                self.ports["udp"] = transport.get_extra_info("sockname")[1]
            for name, listen, context in (
                ("tcp", settings.tcp, None),
                ("tls", settings.tls, _context(settings) if settings.tls else None),
            ):
                if listen:
                    host, port = _address(listen)
                    server = await asyncio.start_server(
                        self._connected, host, port, ssl=context, limit=1 << 16,
                        ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
                    )  # fmt: skip
                    stack.callback(server.close)
                    self.ports[name] = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stop.wait()
            for writer in self._writers.values():
                writer.close()
            if self._writers:
                await asyncio.wait(self._writers, timeout=HANDSHAKE_SECONDS / 2)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = _plain(writer.get_extra_info("peername")[0])
        if not self.senders.admits(sender) or not self._may_open(sender):
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in a task
        self._writers[task] = writer
        self._open[sender] = self._open.get(sender, 0) + 1
        self.senders.counters.connections += 1
        try:
            await self._read(reader, lambda line: self.senders.put(sender, line))
        except (FramingError, OSError, TimeoutError):
            self.senders.counters.broken += 1
        finally:
            del self._writers[task]
            self._open[sender] -= 1
            if not self._open[sender]:
                del self._open[sender]
            writer.close()

    def _may_open(self, sender: str) -> bool:
        whole = sum(self._open.values()) < CONNECTIONS
        return whole and self._open.get(sender, 0) < CONNECTIONS // 8

    async def _read(self, reader: asyncio.StreamReader, put: Callable[[bytes], None]) -> None:
        frames = Frames()
        cut = 0
        while data := await asyncio.wait_for(reader.read(1 << 16), IDLE_SECONDS):
            for line in frames.feed(data):
                put(line)
            self.senders.counters.cut += frames.cut - cut
            cut = frames.cut


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _context(settings: SyslogSettings) -> ssl.SSLContext:
    """Return the TLS side; with a client_ca who sends must have a certificate from it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    if settings.client_ca:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
