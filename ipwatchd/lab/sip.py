"""Calls over SIP and RTP on UDP (RFC 3261, RFC 3550): a phone, an exchange."""

from __future__ import annotations

import asyncio
import secrets
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import socket

__all__ = ["Dialog", "Exchange", "Voice", "call", "register", "reply", "request"]

PORT: Final = 5060
VOICE_PORT: Final = 50000
_FRAMES: Final = 15
"""RTP packets of one call: G.711, 20 ms each."""


class Dialog(NamedTuple):
    """Who calls whom: the caller's address and user, the callee's, and the call's own id."""

    local: str
    user: str
    remote: str
    domain: str
    callee: str
    call_id: str


def _sdp(address: str, port: int) -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\n"
    )


def request(method: str, dialog: Dialog, sequence: int, body: str = "") -> bytes:
    """Return a request of a dialog."""
    target = dialog.domain if method == "REGISTER" else f"{dialog.callee}@{dialog.domain}"
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{method} sip:{target} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {dialog.local}:{PORT};branch=z9hG4bK{secrets.token_hex(6)}\r\n"
        f"Max-Forwards: 70\r\n"
        f"From: <sip:{dialog.user}@{dialog.domain}>;tag={dialog.call_id[:8]}\r\n"
        f"To: <sip:{dialog.callee or dialog.user}@{dialog.domain}>\r\n"
        f"Call-ID: {dialog.call_id}@{dialog.local}\r\n"
        f"CSeq: {sequence} {method}\r\n"
        f"Contact: <sip:{dialog.user}@{dialog.local}:{PORT}>\r\n"
        f"User-Agent: lab-phone/1\r\n{kind}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


def reply(data: bytes, status: int, reason: str, body: str = "") -> bytes:
    """Return the response to a request: its own Via, From, To, Call-ID and CSeq (8.2.6.2)."""
    kept = ("via:", "from:", "to:", "call-id:", "cseq:")
    lines = data.split(b"\r\n\r\n", 1)[0].decode("ascii", "replace").split("\r\n")
    headers = [line for line in lines[1:] if line.lower().startswith(kept)]
    headers += ["Content-Type: application/sdp"] if body else []
    headers.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"SIP/2.0 {status} {reason}", *headers, "", body]).encode("ascii")


class Exchange(asyncio.DatagramProtocol):
    """Takes registrations and answers every call."""

    def __init__(self, address: str) -> None:
        self._address = address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one request."""
        method = data.split(b" ", 1)[0]
        if method == b"INVITE":
            self._transport.sendto(reply(data, 100, "Trying"), addr)
            self._transport.sendto(reply(data, 180, "Ringing"), addr)
            self._transport.sendto(reply(data, 200, "OK", _sdp(self._address, VOICE_PORT)), addr)
        elif method in {b"REGISTER", b"BYE"}:
            self._transport.sendto(reply(data, 200, "OK"), addr)


class Voice(asyncio.DatagramProtocol):
    """The far end of the voice: sends back what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send it back."""
        self._transport.sendto(data, addr)


async def _until_final(sock: socket.socket) -> int:
    """Return the final status of the request under way (13.2.2: 1xx are not final)."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(3.0):
        while True:
            line = (await loop.sock_recv(sock, 4096)).split(b"\r\n", 1)[0].split(b" ")
            if line[0] == b"SIP/2.0" and int(line[1]) >= 200:
                return int(line[1])


async def register(sock: socket.socket, dialog: Dialog) -> int:
    """Register a phone over a socket connected to the exchange; return the status."""
    await asyncio.get_running_loop().sock_sendall(sock, request("REGISTER", dialog, 1))
    return await _until_final(sock)


async def call(sock: socket.socket, voice: socket.socket, dialog: Dialog) -> int:
    """Call, talk for a moment, hang up; return the INVITE's final status."""
    loop = asyncio.get_running_loop()
    port = int(voice.getsockname()[1])
    await loop.sock_sendall(sock, request("INVITE", dialog, 1, _sdp(dialog.local, port)))
    status = await _until_final(sock)
    await loop.sock_sendall(sock, request("ACK", dialog, 1))
    source = secrets.randbits(32)
    for frame in range(_FRAMES):
        header = struct.pack("!BBHII", 0x80, 0, frame, frame * 160, source)  # RFC 3550, 5.1
        await loop.sock_sendall(voice, header + b"\xff" * 160)
        await asyncio.sleep(0.02)
    await loop.sock_sendall(sock, request("BYE", dialog, 2))
    await _until_final(sock)
    return status
