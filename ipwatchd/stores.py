"""Everything that a state folder holds, opened in one order and closed in the other.

lock            held by the one process that may write
effective.json  the configuration that the folder was last written under
history.db  archive/  lists.db  incidents.db  audit.db  firewall.json
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import msgspec

from ipwatchd.audit import Audit
from ipwatchd.authority import Authority
from ipwatchd.config import Config
from ipwatchd.desk.casework import Casework
from ipwatchd.enrich import Enricher
from ipwatchd.history import History
from ipwatchd.incidents import Incidents
from ipwatchd.lists import Lists
from ipwatchd.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipwatchd.enrich.presence import Presence

__all__ = ["StateInUseError", "Stores", "load_effective"]


class StateInUseError(OSError):
    """Another process writes to the state folder."""


class Stores:
    """The stores of one state folder. Make with `open`, end with `close`."""

    def __init__(self, config: Config, state_dir: Path) -> None:
        self.config = config
        """What is in force: where the file names no zones, those of the kernel."""
        self.state_dir = state_dir
        self._closing = AsyncExitStack()
        self.enricher: Enricher
        self.history: History
        self.lists: Lists
        self.incidents: Incidents
        self.audit: Audit
        self.casework = Casework(self)
        self.read_only = False
        self.presence: Presence | None = None
        """Who is where now, of a running pipeline."""

    @classmethod
    async def open(cls, config: Config, state_dir: Path, *, read_only: bool = False) -> Self:
        """Open every store. Raises StateInUseError, CorruptStoreError or OSError, all closed."""
        self = cls(config, state_dir)
        self.read_only = read_only
        try:
            await self._open()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def _open(self) -> None:
        config, folder, read_only = self.config, self.state_dir, self.read_only
        if not read_only:
            self._closing.callback(os.close, _lock(folder))
            _keep_effective(folder, config)
        self.enricher = Enricher(config.named_zones(), config.geo, folder / "geo")
        self.audit = await Audit.open(folder, read_only=read_only)
        self._closing.push_async_callback(self.audit.close)
        self.lists = await Lists.open(folder, read_only, management=config.firewall.management)
        self._closing.push_async_callback(self.lists.close)
        self.lists.serve(services(config))
        self.incidents = await Incidents.open(folder, config.site.name, config.incidents, read_only)
        self._closing.push_async_callback(self.incidents.close)
        self.history = await History.open(
            folder, config.site.name, config.history, locate=self.enricher.place,
            zones=self.enricher.zones, read_only=read_only,
            authorised=Authority(config.site.roster, self.enricher.place),
        )  # fmt: skip

    def adopt(self, config: Config) -> None:
        """Take another configuration: zones, places and services follow.

        Raises ValueError, and then nothing changed.
        """
        serves = services(config)
        if config.geo == self.config.geo:
            self.enricher.rezone(config.named_zones())
        else:
            self.enricher.reload(config.named_zones(), config.geo)
        self.config = config
        self.lists.serve(serves)
        self.history.rename(zones=self.enricher.zones)

    def keep_effective(self) -> None:
        """Leave the configuration in force on disk. Raises OSError."""
        _keep_effective(self.state_dir, self.config)

    async def close(self, now: float) -> None:
        """Write what is still in memory and close."""
        try:
            await self.history.close(now)
            if not self.read_only:
                await self.incidents.flush(now)
        finally:
            await self._closing.aclose()


def _lock(folder: Path) -> int:
    """Take the folder for this process; the kernel lets go when it ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        os.close(handle)
        raise StateInUseError(
            f"{folder} is in use by process {holder or '?'}: stop it first (systemctl stop "
            "ipwatchd), or give this one a state folder of its own"
        ) from None
    try:
        with _named(folder):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        os.close(handle)  # else who tries again in this process finds it in use
        raise
    return handle


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Put the folder's name to what the disk refuses: a write does not know what it writes to."""
    try:
        yield
    except OSError as error:
        error.filename = str(folder)
        raise


def _keep_effective(folder: Path, config: Config) -> None:
    """Leave the configuration beside the data, for commands that read the folder later."""
    temporary = folder / "effective.json.new"
    with _named(folder):
        temporary.write_bytes(msgspec.json.encode(config))
        temporary.replace(folder / "effective.json")


def load_effective(folder: Path) -> Config:
    """Return the configuration a folder was written under; OSError if it is no such folder."""
    try:
        return msgspec.json.decode((folder / "effective.json").read_bytes(), type=Config)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} is no state folder of ipwatchd (no effective.json): name the one that "
            "`ipwatchd run` or `ipwatchd replay --state DIR` wrote"
        ) from None
    except msgspec.MsgspecError as error:
        raise OSError(
            f"{folder}/effective.json is damaged ({error}): run the daemon once"
        ) from None
