"""A real SSH server that logs as OpenSSH does, and clients that log in or guess."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import asyncssh

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["USERS", "log_line", "login", "serve"]

USERS: Final = {"admin": "the one right password"}
_PID: Final = 811


def log_line(text: str, now: float) -> str:
    """Return a line as rsyslog writes it for sshd (RFC 3339 time, RFC 3164 tag)."""
    stamp = dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="microseconds")
    return f"{stamp} ssh sshd[{_PID}]: {text}"


class _Door(asyncssh.SSHServer):  # type: ignore[misc]  # asyncssh is untyped to mypy here
    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log

    def connection_made(self, conn: Any) -> None:
        self._peer = conn.get_extra_info("peername")

    def begin_auth(self, _username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        right = USERS.get(username) == password
        user = username if username in USERS else f"invalid user {username}"
        word = "Accepted" if right else "Failed"
        self._log(f"{word} password for {user} from {self._peer[0]} port {self._peer[1]} ssh2")
        return right


async def serve(sock: socket.socket, log: Callable[[str], None]) -> Any:
    """Serve SSH on a listening socket; `log` gets sshd's messages."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    return await asyncssh.listen(
        sock=sock, server_factory=lambda: _Door(log), server_host_keys=[key], login_timeout=10
    )


async def login(sock: socket.socket, user: str, password: str) -> str:
    """Try one password over a connected socket: success, failure or timeout."""
    options = asyncssh.SSHClientConnectionOptions(
        known_hosts=None, username=user, password=password, client_keys=None,
        preferred_auth="password", config=None, agent_path=None,
        connect_timeout=3, login_timeout=3,
    )  # fmt: skip
    try:
        connection = await asyncssh.connect(sock=sock, options=options)
    except asyncssh.PermissionDenied:
        return "failure"
    except (OSError, TimeoutError, asyncssh.Error):
        return "timeout"
    connection.close()
    await connection.wait_closed()
    return "success"
