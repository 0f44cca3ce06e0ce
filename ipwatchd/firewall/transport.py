"""The netfilter socket: one batch is one transaction; refusals become OSError with a sentence.

Thin I/O over `codec`. The kernel runs a transaction inside sendmsg(2), so that its answers are in
the receive buffer when the call returns: nothing here waits for long. It drops an answer for which
there is no room or no memory: whether the transaction holds is then not known (UnansweredError).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Final, Self

from ipwatchd.firewall import codec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["NetlinkSocket", "UnansweredError", "failure", "open_socket"]

_NETLINK_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_SO_ATTACH_FILTER: Final = 26
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_RECEIVE_BUFFER: Final = 4 << 20
_DATAGRAM: Final = 1 << 17
"""The kernel's largest dump datagram is 32 KiB; a datagram cut short is an error here."""
_PARTS: Final = 1000
"""sendmsg(2) takes at most IOV_MAX (1024) buffers; more are joined first."""
_MESSAGES: Final = 20_000_000
"""The most messages of one dump: ends a dump that would never end."""
_SECONDS: Final = 10
_STALE: Final = 100_000
"""Datagrams of a broken-off exchange that are thrown away: more is somebody who floods us."""


class UnansweredError(OSError):
    """The kernel gave no answer: the transaction may hold or not. Open anew, look, do it again."""


def failure(number: int, sentence: str) -> OSError:
    """Return the OSError of an errno (PermissionError and so on) that reads as one sentence.

    OSError(number, sentence) itself would print "[Errno 1] …".
    """
    error: OSError = type(OSError(number, sentence))(sentence)
    error.errno = number
    return error


def open_socket(receive_buffer: int = _RECEIVE_BUFFER) -> socket.socket:
    """Return a bound NETLINK_NETFILTER socket with extended acknowledgements.

    PermissionError names what is missing where the process may not.
    """
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
    )
    try:
        _enlarge(sock, _SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        sock.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        sock.bind((0, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _enlarge(sock: socket.socket, force: int, plain: int, size: int) -> None:
    """Set a buffer's size past the limit, or up to it where that is not allowed (userns)."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, plain, size)


class NetlinkSocket:
    """Transactions, requests and dumps to one netfilter subsystem of this thread's namespace."""

    def __init__(self) -> None:
        self._socket = open_socket()
        # Not settimeout(): it would make MSG_DONTWAIT wait.
        limit = struct.pack("@ll", _SECONDS, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._sequence = 0
        self._buffer = bytearray(_DATAGRAM)
        self.sent = 0
        self.messages = 0
        """Bytes and messages of the last transaction, for status and tests."""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def receive_ready(self) -> memoryview | None:
        """Return one datagram that the kernel sent unasked, None where none lies ready.

        Raises OSError (ENOBUFS) once for each time that the receive buffer ran over.
        """
        try:
            return self._take(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def transact(self, parts: list[bytes | memoryview]) -> None:
        """Send messages as one transaction: all of them or none.

        Raises OSError with the kernel's errno and a sentence for the first refusal.
        """
        if not parts:
            return
        self._drain()
        self.sent = self._send(codec.batch(parts))
        self.messages = len(parts)
        answered = False
        refused: codec.Refusal | None = None
        for header in self._answers():
            said = codec.refusal(header)
            answered = True
            if said.errno and refused is None:
                refused = said
        if refused is not None:
            raise _error(refused)
        if not answered:
            raise UnansweredError("the kernel did not answer an nf_tables transaction")

    def option(self, level: int, name: int, value: int) -> None:
        """Set a socket option."""
        self._socket.setsockopt(level, name, value)

    def pass_only(self, kind: int) -> None:
        """Have the kernel deliver datagrams that begin with a message of this type alone.

        A classic socket filter (linux/filter.h): it loads nlmsg_type, which is in host order.
        """
        seen = int.from_bytes(struct.pack("=H", kind), "big")
        load, compare, give = (0x28, 0, 0, 4), (0x15, 0, 1, seen), (0x06, 0, 0, 0xFFFF_FFFF)
        code = [load, compare, give, (0x06, 0, 0, 0)]
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in code))
        described = struct.pack("@HP", len(code), ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)

    def request(self, message: bytes) -> Iterator[codec.Header]:
        """Send one request and yield its answers until the end of a dump or an acknowledgement.

        `message` carries DUMP or ACK. Raises OSError for a refusal, and for a dump that changed
        meanwhile (NLM_F_DUMP_INTR is left to the caller: compare generations).
        """
        self._drain()
        self._sequence = (self._sequence + 1) & 0x7FFF_FFFF or 1
        framed = bytearray(message)
        length, kind, flags, _, port = codec.HEADER.unpack_from(framed)
        codec.HEADER.pack_into(framed, 0, length, kind, flags, self._sequence, port)
        self._send([framed])
        for _ in range(_MESSAGES):
            for header in self._receive():
                if header.sequence != self._sequence:
                    continue
                if codec.acknowledged(header):
                    said = codec.refusal(header)
                    if said.errno:
                        raise _error(said._replace(type=said.type or kind))
                    return
                if header.type == codec.NLMSG_DONE:
                    return
                yield header
        raise failure(errno.EMSGSIZE, f"a netlink dump went on after {_MESSAGES} datagrams")

    def ask(self, message: bytes) -> codec.Header | None:
        """Send one request (with ACK set) and return its one answer; None where there is none."""
        answer = None
        for header in self.request(message):
            answer = header
        return answer

    def _send(self, parts: Sequence[bytes | bytearray | memoryview]) -> int:
        if len(parts) > _PARTS:
            parts = [b"".join(parts)]
        size = sum(len(part) for part in parts)
        if size + 4096 > self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF):
            _enlarge(self._socket, _SO_SNDBUFFORCE, socket.SO_SNDBUF, size // 2 + 65536)
        try:
            self._socket.sendmsg(parts, [], 0, (0, 0))
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            raise failure(
                errno.EMSGSIZE,
                f"one transaction of {size} bytes is more than net.core.wmem_max allows here: "
                "raise it, or run with CAP_NET_ADMIN outside of a user namespace",
            ) from None
        return size

    def _answers(self) -> Iterator[codec.Header]:
        """Yield the acknowledgements that lie ready after a transaction."""
        while True:
            try:
                received = self._take(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue  # more refusals than fit; the first is what is told
                raise
            for header in codec.messages(received):
                if header.type == codec.NLMSG_ERROR:
                    yield header

    def _receive(self) -> Iterator[codec.Header]:
        """Yield the messages of the next datagram."""
        try:
            received = self._take(0)
        except BlockingIOError:
            raise failure(
                errno.ETIMEDOUT, f"the kernel did not answer a netlink request in {_SECONDS} s"
            ) from None
        yield from codec.messages(received)

    def _take(self, flags: int) -> memoryview:
        """Receive one datagram of the kernel's; another process's (port not 0) is dropped."""
        for _ in range(_STALE):
            size, _, message_flags, sender = self._socket.recvmsg_into([self._buffer], 0, flags)
            if message_flags & socket.MSG_TRUNC:
                raise failure(errno.EMSGSIZE, f"a netlink datagram of over {_DATAGRAM} bytes")
            if sender[0] == 0:
                return memoryview(bytes(memoryview(self._buffer)[:size]))
        raise UnansweredError(f"over {_STALE} netlink datagrams of another process lie here")

    def _drain(self) -> None:
        """Forget what an earlier, broken-off exchange left behind."""
        for _ in range(_STALE):
            try:
                self._take(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in {errno.ENOBUFS, errno.EMSGSIZE}:
                    raise
        raise UnansweredError(f"over {_STALE} netlink datagrams lie here that nobody asked for")


def _error(said: codec.Refusal) -> OSError:
    """Return the exception of a refusal: what was refused, the kernel's words, the mend."""
    name = codec.message_name(said.type)
    if said.errno == errno.EPERM:
        return failure(
            errno.EPERM, f"the kernel refused {name}: this needs CAP_NET_ADMIN (root has it)"
        )
    words = os.strerror(said.errno) + (f" ({said.text})" if said.text else "")
    return failure(said.errno, f"the kernel refused {name}: {words}")
