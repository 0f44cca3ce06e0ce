"""How programs spell user names in their logs → the names as people know them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.logs.syslog import Head

__all__ = ["SPELLINGS"]

_ESCAPE: Final = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a", b"v": b"\v",
                   b"f": b"\f", b"s": b" ", b"0": b"\0"}  # fmt: skip
_PARTY: Final = re.compile(r"(?:.*<)?sips?:([^@>;]*)")


def _vis(name: str, head: Head) -> str:
    r"""Return what OpenSSH's log.c wrote by strnvis(3): m\303\274ller is müller.

    Before 9.8 the monitor, by the name of sshd, spelled the words of the child that has no
    privileges a second time.
    """
    if "\\" not in name:
        return name
    twice = head.text.endswith(" [preauth]") and head.program.endswith("sshd")
    for _ in range(1 + twice):
        name = _ESCAPE.sub(_character, name.encode()).decode("utf-8", "backslashreplace")
    return name


def _character(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8) & 255]) if len(code) == 3 else _LETTERS.get(code, code)


def _party(name: str, _head: Head) -> str:
    """Return the user of an address of SIP (RFC 3261, 20.10): "Maria" <sip:204@pbx> is 204."""
    found = _PARTY.match(name) if "sip" in name else None
    return found[1] if found else name


def _radius(name: str, _head: Head) -> str:
    """Return the user of FreeRADIUS' [user/password] and [user/<via Auth-Type = eap>].

    With auth_badpass = yes a password stands there: a history must not hold it. A machine's name
    is host/desk17.
    """
    machine, _, rest = name.partition("/") if name.startswith("host/") else ("", "", name)
    user = rest.partition("/")[0]
    return f"{machine}/{user}" if machine else user


SPELLINGS: Final[dict[str, Callable[[str, Head], str]]] = {
    "vis": _vis,
    "sip": _party,
    "radius": _radius,
}
"""What `user` of a [[program]] may be: a name and the message that it stands in → the name."""
