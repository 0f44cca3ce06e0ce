"""A syslog listener: RFC 3164 and 5424 over UDP, TCP and TLS (RFC 5425, 5426, 6587).

Runs on a thread with an event loop of its own, so that a flood of lines costs the daemon's loop
nothing; whole lines wait in bounded queues, one a sender, until they are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Final

from ipwatchd.logs.framing import Frames, FramingError
from ipwatchd.logs.rules import MAX_LINE
from ipwatchd.logs.senders import Senders

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ipwatchd.config.settings import SyslogSettings

__all__ = ["Listener"]

CONNECTIONS: Final = 256
"""Open connections, also those that still shake hands, and of one sender at most an eighth: who
only connects holds no memory."""
AGAIN_SECONDS: Final = 1.0
"""From one try to listen to the next."""
_NO_MORE_SECONDS: Final = 1.0
"""Rest where the kernel gives no more descriptors."""
IDLE_SECONDS: Final = 3600.0
HANDSHAKE_SECONDS: Final = 10.0


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
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)

    def start(self) -> None:
        """Open the sockets; what can't be opened is `problem`."""
        self._thread.start()
        self._ready.wait(HANDSHAKE_SECONDS)

    def stop(self) -> None:
        """Close the sockets and end the thread."""
        self._stopping.set()
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(HANDSHAKE_SECONDS)

    def _run(self) -> None:
        """Listen until stopped; a port that is taken, an address that comes later: tried again."""
        while not self._stopping.is_set():
            try:
                asyncio.run(self._serve())
            except (OSError, ValueError) as error:
                self.problem = f"does not listen: {error}"
            self._ready.set()
            self._stopping.wait(AGAIN_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._open.clear()
        self.ports.clear()
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
                for door in await _doors(listen) if listen else ():
                    stack.callback(door.close)
                    self.ports.setdefault(name, door.getsockname()[1])
                    self._begin(self._admit(door, context))
            self.problem = ""
            self._ready.set()
            if not self._stopping.is_set():  # it may have been before there was a loop to tell
                await self._stop.wait()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=HANDSHAKE_SECONDS / 2)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.problem = f"does not listen, and begins anew: {error!r}"
            if self._stop is not None:
                self._stop.set()

    async def _admit(self, door: socket.socket, context: ssl.SSLContext | None) -> None:
        """Take connections; who may not send costs no handshake."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(door)
            except ConnectionError:  # it was gone before it was taken
                continue
            except OSError:  # EMFILE, ENFILE, ENOMEM: who waits is taken when there is room
                await asyncio.sleep(_NO_MORE_SECONDS)
                continue
            sender = _plain(peer[0])
            if not self.senders.admits(sender):
                sock.close()
            elif not self._may_open(sender):
                self.senders.counters.turned_away += 1
                sock.close()
            else:
                self._open[sender] = self._open.get(sender, 0) + 1
                self._begin(self._serve_one(sock, sender, context))

    async def _serve_one(
        self, sock: socket.socket, sender: str, context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 16)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
            )  # fmt: skip
            with contextlib.closing(transport):
                self.senders.counters.connections += 1
                await self._read(reader, lambda line: self.senders.put(sender, line))
        except (FramingError, OSError, TimeoutError):
            self.senders.counters.broken += 1
        finally:
            self._open[sender] -= 1
            if not self._open[sender]:
                del self._open[sender]

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
        # The end of what came may lack the end of an address: half a message accuses nobody.
        self.senders.counters.cut += frames.unfinished


async def _doors(listen: str) -> list[socket.socket]:
    """Return listening sockets, one for each address that a name has."""
    host, port = _address(listen)
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    doors: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            doors.append(socket.create_server(address[:2], family=family, backlog=128))
            doors[-1].setblocking(False)
    except OSError:
        for door in doors:
            door.close()
        raise
    return doors


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
