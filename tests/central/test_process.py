"""The collector as a process: killed with -9, stopped, over TLS, and its command line."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import signal
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ipwatchd.central.store import Store
from ipwatchd.central.tokens import digest, new_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.records.incident import IncidentEvent

    Chain = Callable[..., list[IncidentEvent]]
    Central = Callable[..., subprocess.CompletedProcess[str]]


async def make_token(folder: Path) -> str:
    """Return a token of site manila."""
    store = await Store.open(folder)
    token = new_token()
    await store.add_token("manila", digest(token), 1.0)
    await store.close()
    return token


async def deliver(
    session: aiohttp.ClientSession, url: str, token: str, log: list[IncidentEvent], committed: int
) -> int:
    """Send batches one after the other until the collector dies; return what it confirmed."""
    headers = {"Authorization": f"Bearer {token}"}
    while committed < len(log):
        body = msgspec.json.encode(log[committed : committed + 3])
        try:
            async with session.post(url + "/v1/events", data=body, headers=headers) as response:
                committed = json.loads(await response.read())["committed"]
        except (aiohttp.ClientError, json.JSONDecodeError):
            break
    return committed


async def test_kill_9_in_the_middle_loses_and_doubles_nothing(
    collector: Any, chain: Chain, tmp_path: Path
) -> None:
    """Killed while it takes events, again and again: what it confirmed is there, once, in order."""
    token = await make_token(tmp_path / "centre")
    log, committed, rng = chain(3000), 0, random.Random(3)
    for _ in range(4):
        with collector() as running:
            async with aiohttp.ClientSession() as session:
                loop = asyncio.get_running_loop()
                loop.call_later(rng.uniform(0.05, 0.3), running.process.kill)
                confirmed = await deliver(session, running.url, token, log, committed)
        store = await Store.open(tmp_path / "centre")
        held = await store.events("manila")
        assert confirmed <= len(held) <= confirmed + 3
        assert held == log[: len(held)]
        assert (await store.verify())["manila"].first_bad_seq is None
        await store.close()
        committed = confirmed
    assert committed > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told(collector: Any, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end it with status 0, after one line that says where it listened."""
    with collector() as running:
        assert running.url.startswith("http://127.0.0.1:")
        running.process.send_signal(number)
        assert running.process.wait(10) == 0
        assert running.process.stdout.read() == ""


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return a certificate of 127.0.0.1 that signs itself, and its key."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "centre")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


async def test_it_speaks_tls_to_who_trusts_its_certificate(collector: Any, tmp_path: Path) -> None:
    """With --certificate and --key it is https; a client without the CA file refuses it."""
    token = await make_token(tmp_path / "centre")
    cert, key = certificate(tmp_path)
    headers = {"Authorization": f"Bearer {token}"}
    with collector("--certificate", str(cert), "--key", str(key)) as running:
        assert running.url.startswith("https://")
        async with aiohttp.ClientSession(headers=headers) as session:
            url = running.url + "/v1/lists"
            trust = ssl.create_default_context(cafile=cert)
            async with session.get(url, ssl=trust) as response:
                assert response.status == 200
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(url)


def test_tokens_sites_and_lists_from_the_command_line(central: Central, tmp_path: Path) -> None:
    """A token is printed once and listed by its hash; entries come and go; JSON is an array."""
    made = central("token", "add", "manila")
    token = made.stdout.strip()
    assert made.returncode == 0
    assert token.startswith("ipw_")
    (row,) = json.loads(central("token", "list", "--json").stdout)
    assert (row["site"], row["revoked"]) == ("manila", 0.0)
    assert digest(token).startswith(row["id"])
    (site,) = json.loads(central("sites", "--json").stdout)
    assert (site["site"], site["seq"], site["last_contact"]) == ("manila", 0, 0.0)
    reason = ("--reason", "scans all sites")
    assert central("lists", "add", "deny", "203.0.113.9/24", *reason, "--for", "2h").returncode == 0
    (entry,) = json.loads(central("lists", "list", "--json").stdout)
    assert (entry["network"], entry["source"]) == ("203.0.113.0/24", "central")
    assert entry["expires"] - entry["created"] == pytest.approx(7200)
    assert "203.0.113.0/24" in central("lists", "list").stdout
    assert central("lists", "del", "deny", "203.0.113.0/24").returncode == 0
    assert central("lists", "del", "deny", "203.0.113.0/24").returncode == 1
    assert central("token", "revoke", "manila").returncode == 0
    assert central("token", "revoke", "manila").returncode == 1


async def test_incidents_and_verify_from_the_command_line(
    central: Central, chain: Chain, tmp_path: Path
) -> None:
    """Incidents by site and state; verify is 0 while every chain holds and 1 where one does not."""
    store = await Store.open(tmp_path / "centre")
    await store.receive("manila", chain(4), 5.0)
    await store.receive("cebu", chain(3, site="cebu"), 5.0)
    await store.close()
    rows = json.loads(central("incidents", "--site", "manila", "--json").stdout)
    assert [row["id"] for row in rows] == ["MANILA-000002", "MANILA-000001"]
    assert json.loads(central("incidents", "--in", "closed", "--json").stdout) == []
    assert "CEBU-000001" in central("incidents").stdout
    good = central("verify", "--json")
    assert good.returncode == 0
    assert {row["site"]: row["events"] for row in json.loads(good.stdout)} == {
        "cebu": 3,
        "manila": 4,
    }
    store = await Store.open(tmp_path / "centre")
    await store._writer.execute("UPDATE events SET time = 9 WHERE site = 'cebu' AND seq = 2")
    await store._writer.commit()
    await store.close()
    bad = central("verify")
    assert bad.returncode == 1
    assert "event 2 was changed" in bad.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("sites",), "no central.db"),
        (("token", "add", "Manila City"), "is no site"),
        (("incidents", "--in", "lost"), "is no state"),
        (("lists", "add", "deny", "all", "--reason", "x"), "no address or network"),
        (("lists", "add", "deny", "10.0.0.1", "--reason", "x", "--for", "soon"), "span of time"),
        (("lists", "add", "deny", "10.0.0.1"), "--reason"),
        (("run", "--port", "70000"), "is no port"),
        (("run", "--key", "x"), "both --certificate and --key"),
        (("run", "--host", "192.0.2.1"), "192.0.2.1"),
    ],
)
def test_wrong_input_gets_one_sentence(central: Central, words: tuple[str, ...], says: str) -> None:
    """No traceback, exit status 1 or 2, and the sentence names what is wrong."""
    done = central(*words)
    assert done.returncode in {1, 2}
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_store_is_named(central: Central, tmp_path: Path) -> None:
    """Garbage in place of central.db gives the file and the mend."""
    (tmp_path / "centre").mkdir()
    (tmp_path / "centre" / "central.db").write_bytes(b"garbage, and enough of it" * 200)
    done = central("run")
    assert done.returncode == 1
    assert "central.db is damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_fast_and_shows_examples(central: Central) -> None:
    """Help imports no server and no store, and each command's help has an example."""
    script = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from ipwatchd.cli.central import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'aiohttp', 'aiosqlite', 'numpy', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"
    for words in (
        ["run"],
        ["token", "add"],
        ["sites"],
        ["incidents"],
        ["lists", "add"],
        ["verify"],
    ):
        assert "example: ipwatch-central" in central(*words, "--help").stdout
