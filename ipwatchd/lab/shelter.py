"""The lab's own user, network, mount and process namespaces around everything it starts.

The process in them is held by two leashes, so that nothing outlives the command whichever way it
ends: a pipe whose end-of-file asks it to clean up and go, and the kernel's parent-death signal,
which ends it at once. It is process 1 of its PID namespace: when it goes, the kernel ends the rest.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NoShelterError", "flags", "hold", "missing", "tmpfs"]

_GRACE: Final = 15.0
"""Seconds the inner process has for cleaning up before it is killed."""
_ALWAYS: Final = ("--net", "--mount", "--pid", "--fork", "--kill-child")
_AS_USER: Final = ("--user", "--map-root-user")
_AS_SEVERAL: Final = ("--user", "--map-root-user", "--map-auto")
"""unshare(1), util-linux 2.38: further users out of /etc/subuid."""
_PATH: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_TOOLS: Final = {"nft": "nftables", "unshare": "util-linux", "setpriv": "util-linux"}
_MOUNT_POINTS: Final = ("/media", "/srv", "/mnt", "/opt")


class NoShelterError(Exception):
    """The kernel allows no namespaces; the text says so and names the mend."""


def missing() -> str:
    """Name the commands that are missing and the Debian packages that bring them, or return ""."""
    packages = {
        package: command
        for command, package in _TOOLS.items()
        if shutil.which(command, path=_PATH) is None
    }
    if not packages:
        return ""
    verb = "is" if len(packages) == 1 else "are"
    return f"{' and '.join(packages)} {verb} needed: sudo apt-get install {' '.join(packages)}"


def flags(*, several: bool = False) -> tuple[str, ...]:
    """Return unshare's flags that work here, tried out; NoShelterError where none do.

    A container may forbid a fresh /proc: then the outer one is used. `several` users are needed
    where people act: an ordinary user has them by /etc/subuid.
    """
    mine = _AS_SEVERAL if several else _AS_USER
    ways: list[tuple[str, ...]] = [mine] if os.geteuid() else [(), mine]
    said = ""
    for way in ways:
        for proc in (("--mount-proc",), ()):
            tried = (*way, *_ALWAYS, *proc)
            done = subprocess.run(
                ["unshare", *tried, "true"], capture_output=True, text=True, check=False,
                timeout=30, env=_environment(),
            )  # fmt: skip
            if done.returncode == 0:
                return tried
            said = said or done.stderr.strip()
    if os.geteuid() and several:
        raise NoShelterError(
            f"several people act in it, which an ordinary user may not here ({said}): run it with "
            "sudo, or install uidmap"
        )
    if os.geteuid():
        raise NoShelterError(
            f"this kernel forbids namespaces to ordinary users ({said}): run sudo make lab"
        )
    raise NoShelterError(
        f"root may not make namespaces here ({said}): give the container CAP_SYS_ADMIN "
        "(docker run --privileged) or run make lab on the machine itself"
    )


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": _PATH}


class _Stop(Exception):  # noqa: N818 - a wish, not an error
    pass


def hold(chosen: Sequence[str], module: str, arguments: Sequence[str]) -> int:
    """Run a Python module in new namespaces until it ends or we are asked to; return its status.

    The module gets `--leash FD`: at end-of-file there it has to clean up and go.
    """
    leash, ours = os.pipe()
    command = [
        "setpriv", "--pdeathsig", "KILL", "unshare", *chosen, sys.executable, "-m", module,
        "--leash", str(leash), *arguments,
    ]  # fmt: skip

    def stop(number: int, _frame: object) -> None:
        raise _Stop(number)

    kept = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    child = subprocess.Popen(command, pass_fds=[leash], env=_environment())
    os.close(leash)
    try:
        return _status(child.wait())
    except _Stop as wish:
        for number in kept:
            signal.signal(number, signal.SIG_IGN)
        os.close(ours)
        ours = -1
        try:
            child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        return 128 + int(wish.args[0])
    finally:
        if ours >= 0:
            os.close(ours)
        for number, handler in kept.items():
            signal.signal(number, handler)


def _status(returncode: int) -> int:
    return returncode if returncode >= 0 else 128 - returncode


def tmpfs() -> Path:
    """Mount a memory file system over a folder nothing needs, seen in this namespace alone."""
    needed = [
        Path(path).resolve()
        for path in (sys.prefix, sys.base_prefix, Path.cwd(), Path(__file__), Path.home())
    ]
    for point in map(Path, _MOUNT_POINTS):
        free = point.is_dir() and not any(one.is_relative_to(point) for one in needed)
        if free:
            options = "size=768m,mode=0700"
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "ipwatchd-lab", str(point)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            return point
    raise NoShelterError(
        f"none of {', '.join(_MOUNT_POINTS)} is free for the lab's state: use --keep DIR"
    )
