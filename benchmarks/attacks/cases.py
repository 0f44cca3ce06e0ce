"""What is tried (cases.toml) and the servers it is tried on (servers.toml)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Case", "Server", "cases", "servers"]

_HERE: Final = Path(__file__).parent


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One recording: what is started, who does what, and what must be said of it."""

    name: str
    steps: tuple[tuple[str, str], ...]
    benign: bool = False
    expect: str = ""
    subject: str = ""
    servers: tuple[str, ...] = ()
    side: str = "wan"
    also: tuple[str, ...] = ()
    seconds: float = 30.0
    snap: int = 0
    stretch: float = 1.0
    log: str = ""

    @property
    def capture(self) -> str:
        """Return the name of its capture's file."""
        return "".join(c if c.isalnum() else "-" for c in self.name) + ".pcap"


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it runs, its files by name, what makes them ready, its command, when it is there."""

    host: str
    command: str
    ready: tuple[str, int]
    before: str = ""
    files: dict[str, str] = {}


def cases() -> list[Case]:
    """Return all cases; msgspec.ValidationError names what is wrong in the file."""
    text = (_HERE / "cases.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, list[Case]])["case"]


def servers() -> dict[str, Server]:
    """Return the servers by name."""
    text = (_HERE / "servers.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, Server])
