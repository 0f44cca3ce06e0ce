"""Where people are logged in from now, by the system's own books: no deny may cut them by accident.

The caller's SSH_CONNECTION is a hint on top: sudo takes it away, and whoever forges it only makes
the daemon ask for --force once more. A connection to port 22 alone proves no login, and whoever
guesses passwords has one too: such are not spared.
"""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path
from typing import Final

__all__ = ["remote_logins"]

_RUN: Final = Path("/run")
_UTMP: Final = struct.Struct("<hxxi32s4s32s256shhiii4i20s")  # utmp(5): 384 bytes
_USER_PROCESS: Final = 7
_MOST: Final = 1000
"""Sessions looked at: whoever may open sessions without end has no need to."""


def remote_logins(hint: str = "", run: Path = _RUN) -> tuple[str, ...]:
    """Return the addresses of remote sessions: logind's, utmp's, and the caller's own word."""
    found = {hint.partition(" ")[0], *_logind(run / "systemd/sessions"), *_utmp(run / "utmp")}
    return tuple(sorted(filter(None, map(_address, found))))


def _address(text: str) -> str:
    """Return an address as canonical text; "" for a host's name or loopback."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    four = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    parsed = four or parsed
    return "" if parsed.is_loopback or parsed.is_unspecified else str(parsed)


def _logind(folder: Path) -> list[str]:
    """Return the REMOTE_HOST of each session file (systemd, src/login/logind-session.c)."""
    found = []
    try:
        files = sorted(folder.iterdir())[:_MOST]
    except OSError:
        return []
    for file in files:
        try:
            text = file.read_text("utf-8", "replace")
        except OSError:  # a pipe of logind's, or a session that just ended
            continue
        if "\nSTATE=closing" not in text:
            found += [line[12:] for line in text.splitlines() if line.startswith("REMOTE_HOST=")]
    return found


def _utmp(file: Path) -> list[str]:
    try:
        data = file.read_bytes()[: _MOST * _UTMP.size]
    except OSError:
        return []
    found = []
    for place in range(0, len(data) - _UTMP.size + 1, _UTMP.size):
        kind, *_, first, second, third, fourth, _ = _UTMP.unpack_from(data, place)
        if kind != _USER_PROCESS:
            continue
        packed = struct.pack("<4i", first, second, third, fourth)
        six = second or third or fourth
        found.append(str(ipaddress.ip_address(packed if six else packed[:4])))
    return found
