"""MaxMind DB files: whereabouts, network operator and anonymity of a public address.

What a record says is read by `schemas`. Databases are made by others and may be broken in any way:
an error while reading answers "unknown" and is counted. A private or special address is never
placed, whatever a file says of it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import maxminddb
import msgspec

from ipwatchd.enrich import schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipwatchd.config import GeoSettings
    from ipwatchd.records.address import IPAddress, IPNetwork

__all__ = [
    "ROLES", "Database", "Facts", "Geo", "GeoError", "GeoStatus", "Sample", "open_database",
]  # fmt: skip

ROLES: Final = ("city", "country", "asn", "anonymous")
# What maxminddb raises on broken bytes, beside its own error: seen on MaxMind's bad-data files.
_BROKEN: Final = (
    maxminddb.InvalidDatabaseError, ValueError, TypeError, KeyError, IndexError, OverflowError,
    RecursionError, MemoryError,
)  # fmt: skip
# The file is held in memory; the largest commercial one is about 500 MB.
MAX_BYTES: Final = 2 << 30
_MAX_TYPE: Final = 200
# A hostile file could hold a network for every address.
_MAX_NETWORKS: Final = 8_000_000
_TRIED: Final = 500
"""Records that are read before a file is trusted: some 20 ms."""
_HOLDS: Final[dict[str, tuple[str, ...]]] = {
    "city": ("city", "country"), "country": ("country",), "asn": ("asn",),
    "anonymous": ("anonymous",),
}  # fmt: skip
"""What a file has to hold, any of it, to be of use in a role."""
_LATEST_BUILD: Final = 1 << 34


class GeoError(Exception):
    """A database that can't be used; the message names the file, why, and the mend."""


class Sample(NamedTuple):
    """Records that were read, and how many of them say something for each of ROLES."""

    read: int
    of: Mapping[str, int]


class Facts(NamedTuple):
    """What the databases say of an address; empty where they say nothing."""

    country: str = ""
    city: str = ""
    time_zone: str = ""
    asn: int = 0
    operator: str = ""
    built: int = 0
    latitude: float | None = None
    longitude: float | None = None
    region: str = ""
    flags: tuple[str, ...] = ()


class GeoStatus(msgspec.Struct, kw_only=True, frozen=True):
    """One database as `status` shows it: `built` epoch seconds, `age` seconds, `error` or ""."""

    role: str
    path: str
    type: str = ""
    built: int = 0
    age: float = 0.0
    unreadable: int = 0
    error: str = ""


class Database:
    """One open file. `stamp` (inode, size, mtime) tells whether the file was changed since."""

    def __init__(self, path: str, reader: maxminddb.Reader, stamp: tuple[int, int, int]) -> None:
        self.path = path
        self.stamp = stamp
        self.unreadable = 0
        self._reader = reader
        metadata = reader.metadata()
        self.type = str(metadata.database_type)[:_MAX_TYPE]
        built = metadata.build_epoch
        self.built = built if isinstance(built, int) and 0 < built < _LATEST_BUILD else 0
        self._v4_only = metadata.ip_version == 4

    def record(self, address: IPAddress) -> Mapping[str, Any]:
        """Return the record of an address, empty where there is none or it can't be read."""
        if address.version == 6 and self._v4_only:
            return {}
        try:
            record = self._reader.get(address)
        except _BROKEN:
            self.unreadable += 1
            return {}
        return record if isinstance(record, dict) else {}

    def sample(self, most: int = _TRIED) -> Sample:
        """Read the first records. Raises GeoError where one of them can't be read."""
        of, read = dict.fromkeys(ROLES, 0), 0
        try:
            for _, record in itertools.islice(iter(self._reader), most):
                if isinstance(record, dict):
                    read += 1
                    of["city"] += bool(schemas.city(record))
                    of["country"] += bool(schemas.country(record))
                    of["asn"] += bool(schemas.operator(record)[0])
                    of["anonymous"] += bool(schemas.flags(record))
        except _BROKEN as error:
            why = str(error) or type(error).__name__
            raise GeoError(
                f"geo database {self.path} is damaged, its records can't be read ({why}): fetch "
                "it again"
            ) from error
        return Sample(read, of)

    def networks(self, key: str) -> dict[str, list[IPNetwork]]:
        """Return all networks by country or operator number, as far as the file can be read."""
        found: dict[str, list[IPNetwork]] = {}
        walk = iter(self._reader)
        for _ in range(_MAX_NETWORKS):
            try:
                network, record = next(walk)
            except StopIteration:
                break
            except _BROKEN:
                self.unreadable += 1
                break
            if isinstance(record, dict):
                asn = key == "asn"
                word = str(schemas.operator(record)[0] or "") if asn else schemas.country(record)
                if word:
                    found.setdefault(word, []).append(network)
        return found


def open_database(path: str, role: str = "") -> Database:
    """Open a file and, for a role, read of it. Raises GeoError with one sentence."""
    database = _opened(path)
    if role:
        of = database.sample().of
        if not any(of[kind] for kind in _HOLDS[role]):
            raise GeoError(
                f"geo database {path} ({database.type}) holds nothing for [geo] {role}: name "
                "another"
            )
    return database


def _opened(path: str) -> Database:
    try:
        copy, stamp = _copy(Path(path))
    except OSError as error:
        raise GeoError(f"geo database {path} can't be read: {error.strerror or error}") from error
    try:
        reader = maxminddb.open_database(f"/proc/self/fd/{copy}")
        return Database(path, reader, stamp)
    except (*_BROKEN, OSError) as error:
        why = str(error).replace(f"/proc/self/fd/{copy}", path) or type(error).__name__
        raise GeoError(
            f"geo database {path} is damaged or no MaxMind DB file ({why}): fetch it again"
        ) from error
    finally:
        os.close(copy)


def _copy(path: Path) -> tuple[int, tuple[int, int, int]]:
    """Return a descriptor of an in-memory copy.

    maxminddb maps the file: one that is overwritten in place (cp, not mv) would end the process
    with SIGBUS at the next look-up.
    """
    # Not blocking: a pipe put in the file's place must not hold the caller.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
        found = os.fstat(source.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no file")
        stamp = file_stamp(found)
        if stamp[1] > MAX_BYTES:
            raise OSError(f"it is larger than {MAX_BYTES >> 30} GiB")
        copy = os.memfd_create("geo", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(copy), "wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
        except BaseException:
            os.close(copy)
            raise
    return copy, stamp


def file_stamp(found: os.stat_result) -> tuple[int, int, int]:
    """Return what changes when a file is replaced or rewritten."""
    return found.st_ino, found.st_size, found.st_mtime_ns


class Geo:
    """The databases of the settings; any may be missing or broken, the rest goes on."""

    def __init__(
        self, settings: GeoSettings, last: Geo | None = None, folder: Path | None = None
    ) -> None:
        self.databases: dict[str, Database] = {}
        self._index: dict[str, dict[str, list[IPNetwork]]] = {}
        self._bad: dict[str, tuple[int, int, int]] = {}
        self.errors: dict[str, str] = {}  # role → what is wrong with its file, a sentence
        self._folder, self._settings = folder, settings
        self._paths = self._named()
        for role, path in self._paths.items():
            if path:
                self._open(role, path, last.databases.get(role) if last else None)

    def _open(self, role: str, path: str, last: Database | None) -> None:
        try:
            if last and last.path == path and file_stamp(Path(path).stat()) == last.stamp:
                self.databases[role] = last
            else:
                self.databases[role] = open_database(path, role)
        except (GeoError, OSError) as error:
            with contextlib.suppress(OSError):
                self._bad[role] = file_stamp(Path(path).stat())
            sentence = str(error)
            if isinstance(error, OSError):
                sentence = f"geo database {path} can't be read: {error.strerror or error}"
            if last:
                self.databases[role] = last
                built = datetime.fromtimestamp(last.built, UTC).date() if last.built else "no date"
                sentence += f"; the last good one ({last.type} of {built}) stays in use"
            self.errors[role] = sentence

    def look_up(self, address: IPAddress) -> Facts:
        """Return what is known of an address.

        Country, city and time zone come from one file, so that they agree: the city file where it
        knows the country, else the country file.
        """
        if not address.is_global or address.is_multicast:
            return Facts()
        country = city = region = time_zone = ""
        latitude = longitude = None
        built = 0
        for role in ("city", "country"):
            database = self.databases.get(role)
            if database and not country:
                record = database.record(address)
                country, built = schemas.country(record), database.built
                city, region = schemas.city(record) or city, schemas.region(record) or region
                time_zone = schemas.time_zone(record) or time_zone
                latitude = schemas.degrees(record, "latitude")
                longitude = schemas.degrees(record, "longitude")
        asn, operator = 0, ""
        if database := self.databases.get("asn"):
            asn, operator = schemas.operator(database.record(address))
            built = built if country else database.built
        hidden = self.databases.get("anonymous")
        flags = schemas.flags(hidden.record(address)) if hidden else ()
        if not (country or city or asn or flags):
            return Facts()
        if latitude is None or longitude is None:
            latitude = longitude = None
        return Facts(
            country, city, time_zone, asn, operator, built, latitude, longitude, region, flags
        )

    def _named(self) -> dict[str, str]:
        """Return the path of each role: the settings', else what was installed, else ""."""
        paths = {role: str(getattr(self._settings, role)) for role in ROLES}
        if self._folder is not None:
            for role, path in paths.items():
                own = self._folder / f"{role}.mmdb"
                paths[role] = path or (str(own) if own.is_file() else "")
        return paths

    def stale(self) -> bool:
        """Tell whether a file is another than the one in use; one that went away is not."""
        if any(path and not self._paths[role] for role, path in self._named().items()):
            return True
        for role, path in self._paths.items():
            if path:
                try:
                    stamp = file_stamp(Path(path).stat())
                except OSError:
                    continue
                database = self.databases.get(role)
                if stamp != (database.stamp if database else None) and stamp != self._bad.get(role):
                    return True
        return False

    def networks(self, key: str, word: str) -> list[IPNetwork]:
        """Return the networks of a country (`country`, "RU") or an operator (`asn`, "64500").

        Walks a whole file the first time: seconds for a large one, so not on an event loop.
        """
        if key not in self._index:
            roles = ("asn",) if key == "asn" else ("country", "city")
            database = next((self.databases[one] for one in roles if one in self.databases), None)
            self._index[key] = database.networks(key) if database else {}
        return self._index[key].get(word, [])

    def status(self, now: float) -> tuple[GeoStatus, ...]:
        """Return each configured database's state."""
        return tuple(self._status(role, path, now) for role, path in self._paths.items() if path)

    def _status(self, role: str, path: str, now: float) -> GeoStatus:
        error = self.errors.get(role, "")
        database = self.databases.get(role)
        if database is None:
            return GeoStatus(role=role, path=path, error=error)
        return GeoStatus(
            role=role, path=database.path, type=database.type, built=database.built,
            age=max(0.0, now - database.built) if database.built else 0.0,
            unreadable=database.unreadable, error=error,
        )  # fmt: skip
