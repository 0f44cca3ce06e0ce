"""Starts the servers of a case, and reads their logs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from attacks.cases import servers

if TYPE_CHECKING:
    from attacks.stage import Stage

__all__ = ["logged", "serve"]

_SERVERS: Final = servers()
_LOGS: Final = {
    "sshd": "server.log", "dovecot": "dovecot.log", "postfix": "mail.log", "nginx": "access.log",
}  # fmt: skip


def serve(stage: Stage, name: str) -> None:
    """Start a server on the stage and wait until it is there."""
    server = _SERVERS[name]
    for file, text in server.files.items():
        (stage.folder / file).write_text(text.replace("{dir}", str(stage.folder)), "utf-8")
    if server.before:
        stage.run(server.host, server.before, 30)
    command = server.command.replace("{python}", sys.executable)
    stage.start(server.host, command, server.ready)


def logged(stage: Stage, name: str) -> list[bytes]:
    """Return the lines of a server's log, as they stand where syslog writes them."""
    path = stage.folder / _LOGS[name]
    lines = path.read_bytes().splitlines() if path.exists() else []
    if name == "sshd":  # -e leaves out what syslog puts before
        head = time.strftime("%b %d %H:%M:%S gw sshd[7]: ").encode()
        return [head + line for line in lines]
    if name == "dovecot":
        head = b" gw dovecot: "
        return [line[:15] + head + line[16:].replace(b"Info: ", b"") for line in lines]
    return lines
