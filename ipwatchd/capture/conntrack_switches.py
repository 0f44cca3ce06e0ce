"""The kernel's switches for counting: on while we run, and back to what they were afterwards.

What they were is kept in the state folder until it is put back: after a crash the next start finds
it there, and does not take our own switching for how the box was set up. A reboot voids it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["MEMORY", "ConntrackError", "Switches"]

MEMORY: Final = "conntrack-switches.json"
_FOLDER: Final = Path("/proc/sys/net/netfilter")
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE: Final = Path("/proc/thread-self/ns/net")
_WANTED: Final = {"acct": 1, "timestamp": 1, "events": 1}
"""nf_conntrack_…; any other value than 0 is as good (events 2: only while someone listens)."""
_LARGEST: Final = 4096


class ConntrackError(OSError):
    """Connection tracking can't be read; the text is the sentence for a person."""


class _Memory(msgspec.Struct, frozen=True):
    """What the switches were, in which boot and network namespace."""

    boot: str
    namespace: str
    before: dict[str, int]


class Switches:
    """Opened in the calling thread's network namespace; usable from any thread afterwards.

    `state_dir` None keeps no memory. Raises ConntrackError where the kernel tracks no connections.
    """

    def __init__(self, state_dir: Path | None) -> None:
        self.refused: list[str] = []
        """Switches that are off and could not be put on."""
        self._memory = None if state_dir is None else state_dir / MEMORY
        self._place = _place()
        self._files: dict[str, int] = {}
        self._before: dict[str, int] = {}
        try:
            for name in (*_WANTED, "count"):
                self._open(name)
        except BaseException:
            self.close()
            raise

    def _open(self, name: str) -> None:
        path = _FOLDER / f"nf_conntrack_{name}"
        try:
            self._files[name] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            if name == "acct":
                raise ConntrackError(
                    "this kernel tracks no connections: modprobe nf_conntrack, or set "
                    '[capture] source = "ring"'
                ) from None
        except OSError:
            # Read-only /proc/sys (a container, ProtectKernelTunables) or a read-only value.
            with contextlib.suppress(OSError):
                self._files[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, name: str) -> int | None:
        """Return a switch or the number of connections ("count"); None where it can't be read."""
        file = self._files.get(name)
        if file is None:
            return None
        try:
            return int(os.pread(file, 32, 0))
        except (OSError, ValueError):
            return None

    def timeout(self, name: str) -> int | None:
        """Return nf_conntrack_{name} in seconds; only in the thread that opened us."""
        try:
            return int((_FOLDER / f"nf_conntrack_{name}").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def _write(self, name: str, value: int) -> bool:
        try:
            os.pwrite(self._files[name], b"%d\n" % value, 0)
        except (OSError, KeyError):
            return False
        return True

    def on(self) -> None:
        """Put on what is off, after noting what it was."""
        found = {name: self.read(name) for name in _WANTED}
        before = {name: value for name, value in found.items() if value is not None}
        # An earlier run of ours that could not put things back knows better.
        before |= self._remembered()
        self._before = before
        off = [name for name, value in found.items() if value == 0]
        if off:
            self._remember()
        self.refused = [f"nf_conntrack_{name}" for name in off if not self._write(name, 1)]

    def restore(self) -> None:
        """Put back what was; a switch that somebody else has put to another value stays.

        Where nothing was switched on, what an earlier run has noted is left for the next.
        """
        if not self._before:
            return
        for name, value in self._before.items():
            if self.read(name) == _WANTED[name] and value != _WANTED[name]:
                self._write(name, value)
        self._before = {}
        if self._memory is not None:
            self._memory.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _remembered(self) -> dict[str, int]:
        if self._memory is None:
            return {}
        try:
            with self._memory.open("rb") as file:
                kept = msgspec.json.decode(file.read(_LARGEST), type=_Memory)
        except (OSError, msgspec.DecodeError):
            return {}
        if (kept.boot, kept.namespace) != self._place:
            return {}
        return {name: value for name, value in kept.before.items() if name in _WANTED}

    def _remember(self) -> None:
        if self._memory is None:
            return
        kept = _Memory(*self._place, before=self._before)
        fresh = self._memory.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._memory)


def _place() -> tuple[str, str]:
    """Return boot id and network namespace: where and until when the switches hold."""
    return _BOOT.read_text(encoding="ascii").strip(), str(_NAMESPACE.readlink())
