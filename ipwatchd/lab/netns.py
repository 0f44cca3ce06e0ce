"""Network namespaces without a trace on disk: each lives as long as its file descriptor does.

A namespace belongs to the calling thread (unshare(2), setns(2)): what the thread starts and opens
while inside stays inside. Used by the lab and by every test that touches the kernel.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pyroute2 import IPRoute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Namespace", "veth"]

CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
IFA_F_NODAD: Final = 0x02  # linux/if_addr.h
_libc: Final = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _own() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A network namespace of our own, loopback up. Needs CAP_SYS_ADMIN (unshare -Urn gives it).

    Raises OSError (EPERM) without the privilege.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        before = _own()
        try:
            _call("unshare", CLONE_NEWNET)
            self.fd = _own()
            with IPRoute() as ip:
                ip.link("set", index=1, state="up")
        finally:
            _call("setns", before, CLONE_NEWNET)
            os.close(before)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be in it for the block: sockets, threads and processes made there stay there."""
        before = _own()
        _call("setns", self.fd, CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", before, CLONE_NEWNET)
            os.close(before)

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return its result; CalledProcessError where it fails."""
        options = {"check": True, "capture_output": True, "text": True, "timeout": 60} | options
        with self.inside():
            return subprocess.run(list(command), **options)  # noqa: PLW1510 - check is in options

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command inside."""
        with self.inside():
            return subprocess.Popen(list(command), text=True, **options)

    def socket(self, family: int, kind: int) -> socket.socket:
        """Make a socket that lives inside, whoever uses it afterwards; it doesn't block."""
        with self.inside():
            made = socket.socket(family, kind)
        made.setblocking(False)
        return made

    def address(self, link: str, *networks: str) -> None:
        """Give a link addresses (a.b.c.d/len) and bring it up; IPv6 is usable at once (nodad)."""
        with self.inside(), IPRoute() as ip:
            index = ip.link_lookup(ifname=link)[0]
            for network in networks:
                address, _, length = network.partition("/")
                flags = {"flags": IFA_F_NODAD} if ":" in address else {}
                ip.addr("add", index=index, address=address, prefixlen=int(length), **flags)
            ip.link("set", index=index, state="up")

    def bridge(self, name: str, *ports: str) -> None:
        """Make a switch of links that are here already."""
        with self.inside(), IPRoute() as ip:
            ip.link("add", ifname=name, kind="bridge")
            index = ip.link_lookup(ifname=name)[0]
            for port in ports:
                ip.link("set", index=ip.link_lookup(ifname=port)[0], master=index, state="up")
            ip.link("set", index=index, state="up")

    def route(self, destination: str, gateway: str) -> None:
        """Add a route; destination "default" is 0.0.0.0/0 or ::/0."""
        with self.inside(), IPRoute() as ip:
            ip.route("add", dst=destination, gateway=gateway)

    def sysctl(self, key: str, value: str) -> None:
        """Set a per-namespace sysctl, dotted key."""
        with self.inside():
            Path("/proc/sys", *key.split(".")).write_text(value, encoding="ascii")

    def forwarding(self) -> None:
        """Make it a router of both families."""
        self.sysctl("net.ipv4.ip_forward", "1")
        self.sysctl("net.ipv6.conf.all.forwarding", "1")

    def close(self) -> None:
        """Let go; the kernel removes the namespace when nothing lives in it."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def veth(one: Namespace, one_link: str, other: Namespace, other_link: str) -> None:
    """Join two namespaces with a virtual cable; addresses are given afterwards."""
    with one.inside(), IPRoute() as ip:
        ip.link(
            "add", ifname=one_link, kind="veth",
            peer={"ifname": other_link, "net_ns_fd": other.fd},
        )  # fmt: skip
