"""How a child that reads hostile bytes gives up network, files, capabilities, memory, processes.

Numbers are of linux/prctl.h, linux/sched.h and linux/capability.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

__all__ = ["MEMORY", "SECONDS", "confine", "isolate", "renew_time"]

MEMORY: Final = 256 << 20
"""Bytes of address space beyond what the imports took. Stops a packet that unfolds without end."""
SECONDS: Final = 5
"""Seconds of CPU for one message."""
_NOBODY: Final = 65534
_EXECUTED: Final = "IPWATCHD_CHILD_EXECUTED"

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 4, 38, 47
_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_CAPABILITY_VERSION_3: Final = 0x20080522

_libc: Final = ctypes.CDLL(None, use_errno=True)


def isolate() -> None:
    """Die with the parent and leave its network; before the imports, which may take a while.

    Capabilities of a user other than root go with an exec once they are not ambient any more:
    the unit's system call filter knows no capset. Where no namespace may be made, the limit on
    file descriptors (`confine`) keeps sockets away.
    """
    _die_with_parent()
    if _capabilities() and os.geteuid() and _EXECUTED not in os.environ:
        _libc.prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        os.environ[_EXECUTED] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves
    if _libc.unshare(_CLONE_NEWNET | _CLONE_NEWIPC):
        _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC)


def confine(memory: int = MEMORY, seconds: int = SECONDS) -> None:
    """Give up the rest: nothing more can be opened, started, gained or grown after this."""
    os.closerange(3, 1 << 16)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    if os.geteuid() == 0:
        # In a user namespace of our own without a map there is no nobody, and no root either.
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _drop_capabilities()
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    most = used * resource.getpagesize() + memory
    for limit, value in (
        (resource.RLIMIT_AS, most), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_NOFILE, 3),
    ):  # fmt: skip
        resource.setrlimit(limit, (value, value))
    renew_time(seconds)
    # The kernel forgets this when the user changes (prctl(2)).
    _die_with_parent()


def renew_time(seconds: int = SECONDS) -> None:
    """Allow some seconds of CPU from now on; SIGXCPU ends what takes more."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime) + seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _die_with_parent() -> None:
    """Be killed when the parent dies.

    A parent that is process 1 is a daemon in a container; one that died before this is told by the
    end of standard input.
    """
    parent = os.getppid()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _capabilities() -> bool:
    """Tell whether any is effective or permitted; what is only inheritable gives nothing."""
    held = (ctypes.c_uint32 * 6)()
    _libc.capget((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), held)
    return any(held[place] for place in (0, 1, 3, 4))


def _drop_capabilities() -> None:
    if not _capabilities():
        return
    _libc.prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), nothing):
        raise OSError(ctypes.get_errno(), "capabilities could not be given up")
