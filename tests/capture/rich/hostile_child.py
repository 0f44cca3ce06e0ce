"""A child that does what its messages say: the good and the bad. Run by test_door.py."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time

from ipwatchd.capture.rich.child.serve import serve
from ipwatchd.confine import confine, isolate
from ipwatchd.records.event import Event, Kerberos, Radius


def behave(data: bytes) -> list[Event]:
    """Do what a message says; a message that says nothing is answered with itself."""
    word = data.partition(b" ")[0].decode()
    action = ACTIONS.get(word)
    return action() if action else [Radius(ts=0.0, message=data.decode())]


def crash() -> list[Event]:
    """Die of a bad pointer."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return []


def spin() -> list[Event]:
    """Burn CPU for ever."""
    while True:
        pass


def sleep() -> list[Event]:
    """Wait for ever."""
    time.sleep(3600)
    return []


def eat() -> list[Event]:
    """Allocate without end."""
    held = []
    while True:
        held.append(bytearray(1 << 20))


def flood() -> list[Event]:
    """Write without end."""
    while True:
        os.write(1, b"\0" * 65_536)


def garble() -> list[Event]:
    """Write an answer that nobody asked for."""
    os.write(1, b"\x05\0\0\0hello")
    return []


def boast() -> list[Event]:
    """Announce a frame of 4 GiB."""
    os.write(1, b"\xff\xff\xff\xff")
    return []


def lie() -> list[Event]:
    """Answer with another kind."""
    return [Kerberos(ts=0.0, message="AS-REP", user="root")]


def many() -> list[Event]:
    """Answer with too much."""
    return [Radius(ts=0.0, message="many")] * 1000


def dirty() -> list[Event]:
    """Answer with what must not reach a screen."""
    names = "\x1b[2J" + "x" * 4000
    return [
        Radius(
            ts=5.0, message=names, user="a\nb\u202e", source="trusted", orig_port=70_000,
            address="10.0.0.1; rm",
        )
    ]  # fmt: skip


def refuse() -> list[Event]:
    """Raise."""
    raise ValueError("not mine")


def deep() -> list[Event]:
    """Recurse without end."""
    return deep()


def look() -> list[Event]:
    """Tell what is still possible."""
    able = []
    for name, attempt in (
        ("open", lambda: os.open("/etc/hostname", os.O_RDONLY)),
        ("write", lambda: os.open("/tmp/ipwatchd-child", os.O_CREAT | os.O_WRONLY)),
        ("socket", socket.socket),
        ("pipe", os.pipe),
        ("chown", lambda: os.setresuid(0, 0, 0)),
    ):
        try:
            attempt()
        except OSError:
            continue
        able.append(name)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None)
    libc.capget(header, held)
    able += ["capabilities"] * any(held[place] for place in (0, 1, 3, 4))
    able += ["gain"] * (libc.prctl(39, 0, 0, 0, 0) != 1)
    return [Radius(ts=0.0, message=" ".join(able) or "nothing")]


ACTIONS = {
    one.__name__: one
    for one in (crash, spin, sleep, eat, flood, garble, boast, lie, many, dirty, refuse, deep, look)
}

if __name__ == "__main__":
    isolate()
    ctypes.CDLL(None)
    if sys.argv[1:] == ["mute"]:
        time.sleep(3600)
    confine()
    serve({"radius": behave, "certificate": behave})
