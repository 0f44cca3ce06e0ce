"""What people and machines of the site do: every action runs over real sockets of its own host."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from ipwatchd.lab import dial, dns, mailbox, sip, ssh, syslog, web
from ipwatchd.lab.day import NAMES, Step
from ipwatchd.lab.site import Host, named

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack
    from pathlib import Path

    from ipwatchd.lab.certificates import Authority
    from ipwatchd.lab.site import Site
    from ipwatchd.lab.truth import Truth

__all__ = ["Cast"]

_AT_ONCE: Final = 64
"""Connections of one scan that wait at the same time, as a scanner's window does."""
_SCANNED: Final = tuple(range(1, 201))
_SWEPT: Final = tuple(f"10.30.0.{last}" for last in (10, 22, 30, 60, 101, 102, 103, 104))
_PASSWORDS: Final = ("123456", "password", "admin", "root", "letmein", "qwerty", "welcome1")
_GUESSED: Final = ("root", "admin", "test", "oracle")


class Cast:
    """Servers that run and actions that can be played."""

    def __init__(self, site: Site, truth: Truth, authority: Authority, logs: Path) -> None:
        self._site = site
        self._truth = truth
        self._authority = authority
        self._trust: ssl.SSLContext = authority.client()
        self._logs = logs
        self._voices = 40000
        self._actions: dict[str, Callable[[Host, Step], Awaitable[None]]] = {
            "browse": self._browse, "visit": self._browse, "register": self._register,
            "call": self._call, "api": self._request, "request": self._request,
            "scan": self._scan, "guess": self._guess, "login": self._login,
            "enumerate": self._enumerate, "mailbox": self._mailbox,
            "knock": self._knock, "reach": self._knock,
        }  # fmt: skip

    async def play(self, step: Step) -> None:
        """Play one step: all its hosts at the same time."""
        action = self._actions[step.action]
        await asyncio.gather(*(action(named(who), step) for who in step.who))

    async def open(self, stack: AsyncExitStack) -> None:
        """Start every server; they end with the stack."""
        tables = {
            name: [one for one in (named(host).ipv4, named(host).ipv6) if one]
            for name, host in NAMES.items()
        }
        loop = asyncio.get_running_loop()
        for host, port, protocol in (
            ("resolver", 53, lambda: dns.Resolver(tables)),
            ("carrier", sip.PORT, lambda: sip.Exchange(named("carrier").ipv4)),
            ("carrier", sip.VOICE_PORT, sip.Voice),
            ("pbx", sip.PORT, lambda: sip.Exchange(named("pbx").ipv4)),
            ("pbx", sip.VOICE_PORT, sip.Voice),
        ):
            sock = dial.bound(self._site.hosts[host], named(host).ipv4, port)
            transport, _ = await loop.create_datagram_endpoint(protocol, sock=sock)
            stack.callback(transport.close)
        await self._open_web(stack)
        door = dial.listen(self._site.hosts["ssh"], named("ssh").ipv4, 22)
        server = await ssh.serve(door, self._log("auth.log", ssh.log_line))
        stack.callback(server.close)
        await self._open_mail(stack)

    async def _open_mail(self, stack: AsyncExitStack) -> None:
        """Serve mailboxes; the server sends its log to the gateway."""
        host, space = named("mail"), self._site.hosts["mail"]
        context = self._authority.client()
        own = self._authority.issue([host.name])
        context.load_cert_chain(own.certificate, own.key)
        sender = syslog.Sender(space, host.name, context)
        stack.push_async_callback(sender.close)
        tls = self._authority.issue([mailbox.NAME]).server()
        door = dial.listen(space, host.ipv4, mailbox.PORT)
        server = await mailbox.serve(door, tls, lambda text: sender.send("dovecot", text))
        stack.callback(server.close)

    async def _open_web(self, stack: AsyncExitStack) -> None:
        for host in ("web", "portal", "api"):
            names = [name for name, where in NAMES.items() if where == host]
            tls = self._authority.issue(names).server()
            log = self._log("access.log", lambda line, _: line) if host == "api" else None
            for address in (named(host).ipv4, named(host).ipv6):
                for port, context in ((443, tls), (80, None)):
                    if not address:
                        continue
                    sock = dial.listen(self._site.hosts[host], address, port)
                    server = await web.serve(sock, web.Server(log), context)
                    stack.callback(server.close)

    def _log(self, name: str, shape: Callable[[str, float], str]) -> Callable[[str], None]:
        path = self._logs / name
        path.touch()

        def write(text: str) -> None:
            with path.open("a", encoding="utf-8") as file:
                file.write(shape(text, time.time()) + "\n")

        return write

    async def _connect(
        self,
        host: Host,
        address: str,
        port: int,
        action: str,
        name: str = "",
        *,
        seconds: float = 3.0,
    ) -> socket.socket | None:
        source = host.ipv6 if ":" in address else host.ipv4
        attempt = await dial.connect(
            self._site.hosts[host.name], source, address, port, seconds=seconds
        )
        self._truth.note(
            host.name, action, "tcp", attempt.orig, attempt.resp, attempt.outcome, name
        )
        return attempt.sock

    async def _resolve(self, host: Host, name: str) -> str:
        """Ask the resolver, IPv6 first where the host has it; return an address or ""."""
        for qtype in ("AAAA", "A") if host.ipv6 else ("A",):
            sock = dial.bound(self._site.hosts[host.name], host.ipv4)
            with contextlib.closing(sock):
                orig = (host.ipv4, int(sock.getsockname()[1]))
                resolver = named("resolver").ipv4
                try:
                    reply = await dns.ask(sock, resolver, name, qtype)
                    outcome = "open" if reply.rcode == 0 else "refused"
                except (OSError, TimeoutError, ValueError):
                    reply, outcome = None, "timeout"
            self._truth.note(host.name, "lookup", "udp", orig, (resolver, 53), outcome, name)
            if reply and reply.addresses:
                return reply.addresses[0]
        return ""

    async def _browse(self, host: Host, step: Step) -> None:
        for _ in range(step.times):
            address = await self._resolve(host, step.target)
            if not address:
                continue
            sock = await self._connect(host, address, 443, step.action, step.target)
            if sock:
                await web.get(sock, step.target, "/", self._trust)

    async def _request(self, host: Host, step: Step) -> None:
        for number in range(step.times):
            address = await self._resolve(host, step.target)
            sock = await self._connect(host, address, 80, step.action, step.target)
            if sock:
                await web.get(sock, step.target, f"/v1/tickets/{number}", body=b'{"state":"open"}')

    async def _enumerate(self, host: Host, step: Step) -> None:
        """Ask an API for one customer's number after the other, as a stolen key is tried out."""
        address = await self._resolve(host, step.target)
        window = asyncio.Semaphore(_AT_ONCE // 4)

        async def ask(number: int) -> None:
            async with window:
                sock = await self._connect(host, address, 80, step.action, step.target)
                if sock:
                    await web.get(sock, step.target, f"{web.NOBODYS}{number}")

        await asyncio.gather(*(ask(number) for number in range(step.times)))

    def _dialog(self, host: Host, callee: Host, domain: str) -> sip.Dialog:
        return sip.Dialog(
            host.ipv4, host.name, callee.ipv4, domain, "4420", f"{time.time_ns():032x}"
        )

    async def _phone(self, host: Host, callee: Host, action: str) -> socket.socket:
        # the carrier's own port is its exchange's: it calls out from another
        port = sip.PORT if host.segment == "agents" else 0
        sock = dial.bound(self._site.hosts[host.name], host.ipv4, port)
        await asyncio.get_running_loop().sock_connect(sock, (callee.ipv4, sip.PORT))
        orig = (host.ipv4, int(sock.getsockname()[1]))
        self._truth.note(host.name, action, "udp", orig, (callee.ipv4, sip.PORT), "open", action)
        return sock

    async def _register(self, host: Host, step: Step) -> None:
        await self._resolve(host, step.target)
        callee = named(NAMES[step.target])
        phone = contextlib.closing(await self._phone(host, callee, "register"))
        with phone as sock, contextlib.suppress(TimeoutError, OSError):
            await sip.register(sock, self._dialog(host, callee, step.target))

    async def _call(self, host: Host, step: Step) -> None:
        callee = named(NAMES.get(step.target, step.target))
        self._voices += 2
        voice = dial.bound(self._site.hosts[host.name], host.ipv4, self._voices)
        with contextlib.closing(voice):
            to = (callee.ipv4, sip.VOICE_PORT)
            await asyncio.get_running_loop().sock_connect(voice, to)
            phone = contextlib.closing(await self._phone(host, callee, "call"))
            with phone as sock, contextlib.suppress(TimeoutError, OSError):
                await sip.call(sock, voice, self._dialog(host, callee, step.target))
            self._truth.note(
                host.name, "voice", "udp", (host.ipv4, voice.getsockname()[1]), to, "open"
            )

    async def _scan(self, host: Host, step: Step) -> None:
        """Scan one host's ports, then two ports of the whole LAN."""
        target = named(step.target).ipv4
        window = asyncio.Semaphore(_AT_ONCE)

        async def knock(address: str, port: int) -> None:
            async with window:
                sock = await self._connect(host, address, port, "scan", seconds=1.0)
                if sock:
                    sock.close()

        wanted = [(target, port) for port in _SCANNED]
        wanted += [(address, port) for address in _SWEPT for port in (445, 3389)]
        await asyncio.gather(*(knock(address, port) for address, port in wanted))

    async def _guess(self, host: Host, step: Step) -> None:
        for number in range(step.times):
            user = _GUESSED[number % len(_GUESSED)]
            password = _PASSWORDS[number % len(_PASSWORDS)]
            outcome = await self._try(host, step.target, user, password, seconds=1.0)
            if outcome == "timeout":
                break

    async def _login(self, host: Host, step: Step) -> None:
        await self._try(host, step.target, "admin", ssh.USERS["admin"], seconds=3.0)

    async def _mailbox(self, host: Host, step: Step) -> None:
        """Try passwords on one connection: on the wire that is but one, whatever came of it."""
        address = named(step.target).ipv4
        attempt = await dial.connect(self._site.hosts[host.name], host.ipv4, address, mailbox.PORT)
        right = {"desk1": "maria", "desk2": "jose"}.get(host.name)
        tries = [(right, mailbox.USERS[right])] if right else [
            (_GUESSED[number % len(_GUESSED)], _PASSWORDS[number % len(_PASSWORDS)])
            for number in range(step.times)
        ]  # fmt: skip
        outcomes = [attempt.outcome] * len(tries)
        if attempt.sock:
            outcomes = await mailbox.log_in(attempt.sock, self._trust, tries)
        for (user, _), outcome in zip(tries, outcomes, strict=True):
            self._truth.note(
                host.name, "password", "tcp", attempt.orig, attempt.resp, outcome, user
            )

    async def _try(
        self, host: Host, server: str, user: str, password: str, *, seconds: float
    ) -> str:
        address = named(server).ipv4
        attempt = await dial.connect(
            self._site.hosts[host.name], host.ipv4, address, 22, seconds=seconds
        )
        outcome = attempt.outcome
        if attempt.sock:
            outcome = await ssh.login(attempt.sock, user, password)
        self._truth.note(host.name, "password", "tcp", attempt.orig, attempt.resp, outcome, user)
        return outcome

    async def _knock(self, host: Host, step: Step) -> None:
        address = named(step.target).ipv4
        for _ in range(step.times):
            sock = await self._connect(host, address, 443, step.action, seconds=0.5)
            if sock:
                sock.close()

    async def reaches(self, who: str, server: str, port: int) -> str:
        """Try one connection as a witness and return its outcome."""
        sock = await self._connect(named(who), named(server).ipv4, port, "witness", seconds=1.5)
        if sock is None:
            return self._truth.deeds[-1].outcome
        sock.close()
        return "open"
