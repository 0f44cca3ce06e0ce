"""Puts a geo database into a state folder: fetched or copied, unpacked, tried, then in one step."""

from __future__ import annotations

import gzip
import hashlib
import os
import urllib.error
import urllib.request
import zlib
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from ipwatchd.enrich.geo import MAX_BYTES, GeoError, open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    from ipwatchd.enrich.geo import Database

__all__ = ["FREE", "FREE_ROLES", "Installed", "folder_of", "install", "install_free", "role_of"]

FREE: Final = "https://download.db-ip.com/free"
"""DB-IP Lite (CC BY 4.0): free, needs no account, made anew on the first of each month."""
FREE_ROLES: Final = ("country", "asn")
_MONTHS: Final = 3
"""Months that are tried, this one first: a new one may be some days late."""
_BLOCK: Final = 1 << 20
_SECONDS: Final = 60.0
_LOOKED_AT: Final = 2000
"""Records that tell what a file is for."""
_LEAST_SHARE: Final = 0.5
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_WORDS: Final = {
    "anonymous": ("anonymous", "privacy"), "city": ("city",), "asn": ("asn", "isp"),
    "country": ("country",),
}  # fmt: skip


class Installed(msgspec.Struct, frozen=True):
    """What was put where; `built` is epoch seconds."""

    role: str
    path: str
    type: str
    built: int
    sha256: str


def folder_of(state_dir: Path) -> Path:
    """Return where a state folder has its own databases, looked for when [geo] names none."""
    return state_dir / "geo"


def install(
    source: str, state_dir: Path, *, role: str = "", sha256: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Installed:  # fmt: skip
    """Install a file or what an https address gives, packed with gzip or not.

    Raises GeoError, and then nothing changed.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        with _opened(source) as (stream, whole), _as_owner_of(state_dir):
            folder = folder_of(state_dir)
            folder.mkdir(exist_ok=True, mode=0o750)
            new = folder / "new"
            try:
                digest = _fetch(stream, whole, new, source, progress)
                if sha256 and digest != sha256.lower():
                    raise GeoError(
                        f"{source} has the SHA-256 {digest}, not {sha256}: fetch it again"
                    )
                return _put(new, role, source, digest)
            finally:
                new.unlink(missing_ok=True)
    except urllib.error.HTTPError as error:
        error.close()
        raise GeoError(f"{source} can't be fetched: {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise GeoError(
            f"{source} can't be fetched ({error.reason}): where this machine has no way to it, "
            "fetch the file elsewhere and name it: ipwatchd geo install FILE"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise GeoError(f"{source} can't be installed: {error}") from error


def _put(new: Path, role: str, source: str, digest: str) -> Installed:
    """Give a file that was tried the name of its role."""
    role, database = _tried(new, role, source)
    new.chmod(0o640)
    path = new.replace(new.with_name(f"{role}.mmdb"))
    return Installed(role, str(path), database.type, database.built, digest)


@contextmanager
def _as_owner_of(folder: Path) -> Iterator[None]:
    """Act, where root acts, as who owns a folder.

    What is put there is theirs to read then; and a link that they laid leads root to nothing that
    they could not write themselves.
    """
    owner, groups, group = folder.stat(), os.getgroups(), os.getegid()
    if os.geteuid() or not owner.st_uid:
        yield
        return
    os.setgroups([])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _tried(new: Path, role: str, source: str) -> tuple[str, Database]:
    """Open what was fetched, for a role or for what it holds; GeoError names where it came from."""
    try:
        role = role or role_of(new)
        return role, open_database(str(new), role)
    except GeoError as error:
        raise GeoError(str(error).replace(str(new), source)) from error


def install_free(
    state_dir: Path, today: date, roles: Sequence[str] = FREE_ROLES, *, base: str = FREE,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Installed]:  # fmt: skip
    """Install the newest free database of each role; `base` is FREE or a mirror of it.

    Raises GeoError for the first that can't be had.
    """
    for role in roles:
        month, missing = today.replace(day=1), None
        for _ in range(_MONTHS):
            source = f"{base}/dbip-{role}-lite-{month:%Y-%m}.mmdb.gz"
            try:
                yield install(source, state_dir, role=role, progress=progress)
                break
            except GeoError as error:
                if not isinstance(error.__cause__, urllib.error.HTTPError):
                    raise
                missing = missing or error
            month = (month - timedelta(days=1)).replace(day=1)
        else:
            raise missing or GeoError(f"{base} has no {role} database")


def role_of(path: Path) -> str:
    """Return what a database is for: by its type's name, else by what its records hold.

    Raises GeoError, also where the records can't be read.
    """
    database = open_database(str(path))
    read, found = database.sample(_LOOKED_AT)
    for role, words in _WORDS.items():
        if read and any(word in database.type.lower() for word in words):
            return role
    for role in ("city", "country", "asn", "anonymous"):
        # A few cities among countries make no database of cities.
        if found[role] > (read * _LEAST_SHARE if role == "country" else read / 10):
            return role
    raise GeoError(
        f"{path}: holds neither countries, cities, operators nor anonymous addresses: say what it "
        "is with --as, or take another"
    )  # fmt: skip


def _fetch(
    stream: IO[bytes], whole: int, new: Path, source: str,
    progress: Callable[[int, int], None] | None,
) -> str:  # fmt: skip
    """Write what a source gives, unpacked; return the SHA-256 of what came."""
    digest = hashlib.sha256()
    packed = new.with_name("packed")
    for left in (packed, new):  # of a run that was killed
        left.unlink(missing_ok=True)
    try:
        with packed.open("xb") as file:
            done = 0
            while block := stream.read(_BLOCK):
                done += len(block)
                if done > MAX_BYTES:
                    raise GeoError(f"{source} is larger than {MAX_BYTES >> 30} GiB: not taken")
                digest.update(block)
                file.write(block)
                if progress:
                    progress(done, whole)
        with packed.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        if zipped:
            with gzip.open(packed, "rb") as inner, new.open("xb") as file:
                _unpack(inner, file, source)
        else:
            packed.replace(new)
        with new.open("rb") as file:
            os.fsync(file.fileno())
    finally:
        packed.unlink(missing_ok=True)
    return digest.hexdigest()


def _unpack(stream: gzip.GzipFile, file: IO[bytes], source: str) -> None:
    """Copy up to MAX_BYTES: a small file may unpack to any size."""
    done = 0
    while block := stream.read(_BLOCK):
        done += len(block)
        if done > MAX_BYTES:
            raise GeoError(f"{source} unpacks to more than {MAX_BYTES >> 30} GiB: not taken")
        file.write(block)


class _Guarded(urllib.request.HTTPRedirectHandler):
    """Follows no way out of encryption."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        """Return where to go on; GeoError where anybody on the way could answer."""
        url = urlsplit(arguments[-1])
        if url.scheme != "https" and url.hostname not in _LOCAL:
            raise GeoError(f"it leads to {arguments[-1]}, which is not encrypted: not followed")
        return super().redirect_request(*arguments)


_OPENER: Final = urllib.request.build_opener(_Guarded)


@contextmanager
def _opened(source: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file, or an address: https, or http of this machine alone."""
    url = urlsplit(source)
    if url.scheme in {"http", "https"}:
        if url.scheme == "http" and url.hostname not in _LOCAL:
            raise GeoError(f"{source} is not encrypted: use https")
        request = urllib.request.Request(source, headers={"User-Agent": "ipwatchd"})  # noqa: S310 - the scheme was looked at
        with _OPENER.open(request, timeout=_SECONDS) as answer:
            yield answer, int(answer.headers.get("Content-Length") or 0)
        return
    with Path(source).open("rb") as file:
        yield file, Path(source).stat().st_size
