"""Who is logged in from where, by logind's and utmp's files as they are on a real box."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest

from ipwatchd.control.logins import remote_logins
from ipwatchd.lists import Lists, LockOutError
from ipwatchd.lists.compile import network_ranges

if TYPE_CHECKING:
    from pathlib import Path


def record(kind: int, address: str) -> bytes:
    """Return an entry as utmp(5) lays it out."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address).ljust(16, b"\0")
    return struct.pack(
        "<hxxi32s4s32s256shhiii16s20s", kind, 1, b"pts/0", b"ts/0", b"maria", b"host",
        0, 0, 0, 0, 0, packed, b"",
    )  # fmt: skip


def test_sessions_are_found_where_the_system_keeps_them(tmp_path: Path) -> None:
    """Remote sessions of both books and the caller's hint; ended and local ones are none."""
    sessions = tmp_path / "systemd/sessions"
    sessions.mkdir(parents=True)
    (sessions / "3").write_text("UID=0\nUSER=root\nSTATE=active\nREMOTE=1\nREMOTE_HOST=192.0.2.7\n")
    (sessions / "4").write_text("UID=0\nSTATE=closing\nREMOTE=1\nREMOTE_HOST=192.0.2.8\n")
    (sessions / "5").write_text("UID=0\nSTATE=active\nREMOTE=0\n")
    (sessions / "6").write_text("UID=0\nSTATE=active\nREMOTE_HOST=a-name.example\n")
    records = (7, "198.51.100.3"), (8, "198.51.100.4"), (7, "2001:db8::3"), (7, "127.0.0.1")
    (tmp_path / "utmp").write_bytes(b"".join(record(*one) for one in records) + b"half")
    found = remote_logins("203.0.113.5 40000 203.0.113.1 22", tmp_path)
    assert found == ("192.0.2.7", "198.51.100.3", "2001:db8::3", "203.0.113.5")
    assert remote_logins("", tmp_path / "none") == ()
    assert remote_logins("nonsense", tmp_path / "none") == ()
    assert remote_logins("::ffff:203.0.113.5 1 2 3", tmp_path / "none") == ("203.0.113.5",)


async def test_no_deny_cuts_who_is_logged_in(tmp_path: Path) -> None:
    """Neither by network nor by country; --force does, and says so; an allow is free."""
    lists = await Lists.open(tmp_path, management=["192.0.2.0/24"])
    who = {"reason": "x", "author": "m", "now": 1.0, "sessions": ["203.0.113.5", "192.0.2.9"]}
    country = network_ranges(["203.0.113.0/25", "2001:db8::/32"])
    for network, means in (
        ("203.0.113.0/24", None), ("203.0.113.1-203.0.113.9", None), ("country:RU", country),
    ):  # fmt: skip
        with pytest.raises(LockOutError, match=r"cut off 203\.0\.113\.5"):
            await lists.add("deny", network, stands_for=means, **who)  # type: ignore[arg-type]
    with pytest.raises(LockOutError, match="a management network"):
        await lists.add("deny", "192.0.2.9", **who)  # type: ignore[arg-type]
    forced = await lists.add("deny", "203.0.113.0/24", force=True, **who)  # type: ignore[arg-type]
    assert forced.note == "the SSH session from 203.0.113.5 is cut off"
    await lists.add("allow", "203.0.113.5", **who)  # type: ignore[arg-type]
    await lists.add("deny", "198.51.100.1", **who)  # type: ignore[arg-type]
    await lists.close()
