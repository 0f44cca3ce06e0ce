"""A geo database is installed by one command: from a file, from a server, packed or not."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import threading
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipwatchd.cli import ipwatchd
from ipwatchd.config import GeoSettings
from ipwatchd.enrich import Enricher
from ipwatchd.enrich.geo import GeoError
from ipwatchd.enrich.install import install, install_free, role_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder over HTTP on this machine."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("file", "role"),
    [
        ("GeoIP2-City-Test.mmdb", "city"),
        ("GeoLite2-Country-Test.mmdb", "country"),
        ("iptoasn-country.mmdb", "country"),
        ("GeoLite2-ASN-Test.mmdb", "asn"),
        ("asn-ipv4.mmdb", "asn"),
        ("dbip-city-sample-ipv4.mmdb", "city"),
        ("GeoIP2-Anonymous-IP-Test.mmdb", "anonymous"),
    ],
)
def test_what_a_file_is_for(shared: Path, file: str, role: str) -> None:
    """A database's purpose is seen from its records, whoever made it."""
    assert role_of(shared / "geoip" / file) == role


def test_an_installed_file_is_in_use_at_the_next_look(
    shared: Path, tmp_path: Path, server: tuple[str, Path]
) -> None:
    """Nothing has to be configured: what was fetched, unpacked and tried places addresses."""
    url, folder = server
    data = (shared / "geoip/iptoasn-country.mmdb").read_bytes()
    packed = gzip.compress(data, 1)
    (folder / "country.mmdb.gz").write_bytes(packed)
    enricher = Enricher({}, GeoSettings(), tmp_path / "geo")
    assert not enricher.refresh()
    done = install(f"{url}/country.mmdb.gz", tmp_path)
    assert (done.role, done.sha256) == ("country", hashlib.sha256(packed).hexdigest())
    assert enricher.refresh()
    place = enricher.place("8.8.8.8")
    assert place is not None
    assert place.country == "US"
    assert [one.name for one in (tmp_path / "geo").iterdir()] == ["country.mmdb"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>not found</html>", "no MaxMind DB file"),
        (b"", "no MaxMind DB file"),
        (b"\x1f\x8bbroken", "can't be installed"),
    ],
)
def test_what_is_no_database_changes_nothing(tmp_path: Path, content: bytes, why: str) -> None:
    """A page, nothing, and broken bytes are refused; what was there stays."""
    (tmp_path / "geo").mkdir()
    (tmp_path / "geo/country.mmdb").write_bytes(b"before")
    bad = tmp_path / "bad"
    bad.write_bytes(content)
    with pytest.raises(GeoError, match=why):
        install(str(bad), tmp_path)
    assert (tmp_path / "geo/country.mmdb").read_bytes() == b"before"
    assert len(list((tmp_path / "geo").iterdir())) == 1


def test_broken_databases_are_refused_or_only_unreadable(shared: Path, tmp_path: Path) -> None:
    """No file of MaxMind's collection of broken ones makes the installation fail otherwise."""
    for bad in sorted((shared / "geoip/bad").glob("*.mmdb")):
        with pytest.raises(GeoError):
            install(str(bad), tmp_path)


def test_the_command(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`ipwatchd geo install FILE` says what it installed where; wrong content is refused."""
    source = str(shared / "geoip/GeoLite2-ASN-Test.mmdb")
    assert ipwatchd.main(["geo", "install", source, "--state", str(tmp_path)]) == 0
    assert "asn: GeoLite2-ASN of " in capsys.readouterr().out
    wrong = ["geo", "install", source, "--state", str(tmp_path), "--sha256", "00"]
    assert ipwatchd.main(wrong) == 2
    assert "has the SHA-256" in capsys.readouterr().err
    assert ipwatchd.main(["geo", "install", "http://example.com/x", "--state", str(tmp_path)]) == 2


def test_the_free_databases_by_one_command(
    shared: Path, tmp_path: Path, server: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file the newest country and operator database come, of an older month too."""
    url, folder = server
    state = tmp_path / "state"
    months = {"country": "2026-11", "asn": "2026-10"}
    files = {"country": "iptoasn-country.mmdb", "asn": "asn-ipv4.mmdb"}
    for role, month in months.items():
        data = (shared / "geoip" / files[role]).read_bytes()
        (folder / f"dbip-{role}-lite-{month}.mmdb.gz").write_bytes(gzip.compress(data, 1))
    done = list(install_free(state, date(2026, 11, 2), base=url))
    assert [one.role for one in done] == ["country", "asn"]
    assert {one.name for one in (state / "geo").iterdir()} == {"country.mmdb", "asn.mmdb"}
    with pytest.raises(GeoError, match=r"dbip-country-lite-2027-05.mmdb.gz can't be fetched: 404"):
        list(install_free(state, date(2027, 5, 2), base=url))
    away = ["geo", "install", "--state", str(state), "--mirror", "https://127.0.0.1:1"]
    assert ipwatchd.main(away) == 2
    assert "fetch the file elsewhere and name it" in capsys.readouterr().err
    assert ipwatchd.main(["geo", "install", "--as", "anonymous", "--state", str(state)]) == 2
    assert "there is no free database" in capsys.readouterr().err


def test_no_way_out_of_encryption_is_followed(tmp_path: Path) -> None:
    """A server that sends us on to http elsewhere is not followed: anybody could answer there."""

    class Elsewhere(_Quiet):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://192.0.2.1/country.mmdb")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            with pytest.raises(GeoError, match="not encrypted: not followed"):
                install(f"http://127.0.0.1:{running.server_port}/x", tmp_path)
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def state() -> Iterator[Path]:
    """Return a state folder of the daemon's user, which that user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            os.chown(folder, 65534, 65534)
        yield Path(folder)


def test_root_installs_for_the_daemons_user(shared: Path, state: Path) -> None:
    """What root installs belongs to who owns the state folder: the daemon can read it."""
    owner = state.stat()
    install(str(shared / "geoip/GeoLite2-ASN-Test.mmdb"), state)
    for path in (state / "geo", state / "geo/asn.mmdb"):
        assert (path.stat().st_uid, path.stat().st_gid) == (owner.st_uid, owner.st_gid)
    assert os.geteuid() == Path("/proc/self").stat().st_uid


@pytest.mark.parametrize("name", ["packed", "new"])
def test_a_link_of_the_daemons_user_leads_root_nowhere(
    shared: Path, state: Path, tmp_path: Path, name: str
) -> None:
    """Who owns the state folder can't have root write over what is not theirs."""
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    precious.chmod(0o600)
    (state / "geo").mkdir()
    (state / "geo" / name).symlink_to(precious)
    if os.geteuid() == 0:
        os.chown(state / "geo", 65534, 65534)
    install(_packed(shared, tmp_path), state)
    assert precious.read_text() == "as it was"
    assert not (state / "geo/asn.mmdb").is_symlink()


def _packed(shared: Path, folder: Path) -> str:
    """Return a database packed with gzip: both working files are then written."""
    path = folder / "asn.mmdb.gz"
    path.write_bytes(gzip.compress((shared / "geoip/GeoLite2-ASN-Test.mmdb").read_bytes(), 1))
    return str(path)
