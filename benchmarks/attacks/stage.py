"""A small site of namespaces for one attack: a gateway, a LAN, two hosts outside; and its packets.

Everything a case starts is ended with it, by process id. Nothing of the root namespace is touched.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipwatchd.lab.netns import Namespace, veth

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HOSTS", "Stage", "stage"]

HOSTS: Final = {
    "server": ("10.60.0.2", "fd60::2"), "agent": ("10.60.0.10", "fd60::10"),
    "bad": ("10.60.0.66", "fd60::66"), "far": ("203.0.113.66", "2001:db8:f::66"),
    "shop": ("203.0.113.80", "2001:db8:f::80"),
}  # fmt: skip
_OUTSIDE: Final = ("far", "shop")
_START_SECONDS: Final = 6.0


class Stage:
    """Namespaces gw, server, agent, bad (inside), far, shop (outside), and a folder for files."""

    def __init__(self, more: ExitStack) -> None:
        self.folder = Path(more.enter_context(tempfile.TemporaryDirectory(prefix="attack-")))
        self.folder.chmod(0o755)
        self.spaces = {
            name: more.enter_context(Namespace(name)) for name in ("gw", *HOSTS)
        }  # fmt: skip
        self._started: list[subprocess.Popen[str]] = []
        self._join()

    def _join(self) -> None:
        gateway = self.spaces["gw"]
        sides: dict[str, list[str]] = {"lan": [], "wan": []}
        for name in HOSTS:
            link = f"to-{name}"
            veth(self.spaces[name], "eth0", gateway, link)
            sides["wan" if name in _OUTSIDE else "lan"].append(link)
        for side, links in sides.items():
            gateway.bridge(side, *links)
        gateway.address("lan", "10.60.0.1/24", "fd60::1/64")
        gateway.address("wan", "203.0.113.1/24", "2001:db8:f::1/64")
        gateway.forwarding()
        for name, (four, six) in HOSTS.items():
            space = self.spaces[name]
            space.address("eth0", f"{four}/24", f"{six}/64")
            outside = name in _OUTSIDE
            space.route("default", "203.0.113.1" if outside else "10.60.0.1")
            space.route("::/0", "2001:db8:f::1" if outside else "fd60::1")

    def start(self, host: str, command: str, ready: tuple[str, int] | None = None) -> None:
        """Start a program that stays; `ready` is a (tcp, port) or (wait, tenths of s) to wait for.

        `{dir}` in a command is this stage's folder.
        """
        log = (self.folder / f"{host}.log").open("ab")
        with log:
            self._started.append(self.spaces[host].popen(
                ["sh", "-c", command.replace("{dir}", str(self.folder))],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=self.folder,
            ))  # fmt: skip
        if ready is None:
            return
        kind, number = ready
        if kind == "wait":
            time.sleep(number / 10)
        elif not self._listens(host, number):
            raise RuntimeError(
                f"{host}: {command.split(maxsplit=1)[0]} is not there: {self.said(host)}"
            )

    def run(self, host: str, command: str, seconds: float) -> str:
        """Run a command for so long at most and return what it said."""
        process = self.spaces[host].popen(
            ["sh", "-c", command.replace("{dir}", str(self.folder))], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
            start_new_session=True, cwd=self.folder,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            said, _ = process.communicate()
        return str(said)

    def said(self, host: str) -> str:
        """Return the end of what a host's servers said."""
        path = self.folder / f"{host}.log"
        return path.read_text("utf-8", "replace")[-600:] if path.exists() else ""

    def close(self) -> None:
        """End what was started, and what that left in our namespaces (postfix's master)."""
        for process in reversed(self._started):
            _end(process)
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = self._left()
            for process_id in left:
                with suppress(ProcessLookupError):
                    os.kill(process_id, number)
            if left:
                time.sleep(0.3)

    def _left(self) -> list[int]:
        """Return the processes that live in our namespaces: some lead a session of their own."""
        ours = {os.fstat(space.fd).st_ino for space in self.spaces.values()}
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "ns/net").stat().st_ino in ours:
                    found.append(int(process.name))
        return [one for one in found if one != os.getpid()]

    def _listens(self, host: str, port: int) -> bool:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            with self.spaces[host].inside(), suppress(OSError):
                socket.create_connection((HOSTS[host][0], port), 0.5).close()
                return True
            time.sleep(0.05)
        return False

    @contextmanager
    def recording(self, side: str, path: Path, snap: int) -> Iterator[None]:
        """Record a side of the gateway (lan, wan) for the block, 400,000 packets at most."""
        process = self.spaces["gw"].popen(
            ["tcpdump", "-i", side, "-s", str(snap), "-c", "400000", "-B", "32768", "-U",
             "--immediate-mode", "-Z", "root", "-w", str(path)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        process.stderr.readline()
        time.sleep(0.2)
        try:
            yield
            time.sleep(0.3)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)


def _end(process: subprocess.Popen[str]) -> None:
    """End a command and all that it started (it leads a session of its own)."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            if number == signal.SIGTERM:
                time.sleep(0.05)


def stage(more: ExitStack) -> Stage:
    """Return a stage that ends with the stack."""
    made = Stage(more)
    more.callback(made.close)
    return made
