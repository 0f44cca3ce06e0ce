"""How SSH logins went: with OpenSSH itself, and the bounds of what is concluded."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture import Ring
from ipwatchd.capture.dissect.ssh_login import GRACE, Logins
from ipwatchd.config import CaptureSettings
from ipwatchd.records.event import Ssh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipwatchd.capture import Capture
    from ipwatchd.lab.netns import Namespace

KEY = (0, 1, 0, 2, 40_000, 22, 0, 0)
PORT = "22022"


def logins(*segments: tuple[bool, int], rest: tuple[int, int] = (0, 0)) -> tuple[Logins, str]:
    """Return what is made of encrypted segments (from the client, octets) in order."""
    held = Logins()
    held.begin(KEY, 5000, rest[1], 0.0, from_orig=False)
    held.begin(KEY, 1000, rest[0], 0.0, from_orig=True)
    at = {True: 1000 + rest[0], False: 5000 + rest[1]}
    outcome = ""
    for client, length in segments:
        event = held.feed(KEY, at[client], length, 1.0, from_orig=client)
        at[client] += length
        outcome = event.login if event else outcome
    return held, outcome


def ended(held: Logins) -> list[str]:
    """Return what is said of the logins that are over."""
    return [event.login for *_, event in held.idle(1.0 + GRACE)]


SERVICE = [(True, 44), (False, 44)]
NONE = [(True, 60), (False, 52)]
PASSWORD = (True, 148)


def test_success() -> None:
    """The answer that is shorter by 16 than that to the service request is a success."""
    held, outcome = logins(*SERVICE, *NONE, PASSWORD, (False, 28), (True, 100), (False, 28))
    assert outcome == "succeeded"
    assert ended(held) == []


def test_a_failed_login_says_how_many_requests_were_refused() -> None:
    """Three passwords after the question which methods there are."""
    held, _ = logins(*SERVICE, *NONE, *[PASSWORD, (False, 52)] * 3)
    [(*_, event)] = held.idle(1.0 + GRACE)
    assert (event.login, event.tries) == ("failed", 3)


def test_extensions_come_first() -> None:
    """EXT_INFO behind the new keys, or on its own, is not taken for the service's answer."""
    _, outcome = logins((False, 300), *SERVICE, *NONE, PASSWORD, (False, 28), rest=(0, 180))
    assert outcome == "succeeded"


def test_service_request_behind_the_new_keys() -> None:
    """A client may send its first request in the segment that ends the key exchange."""
    _, outcome = logins((False, 44), *NONE, PASSWORD, (False, 28), rest=(44, 0))
    assert outcome == "succeeded"


def test_failure_is_told_at_the_end() -> None:
    """Two answers and no success have failed; one may have been the list of methods."""
    held, outcome = logins(*SERVICE, *NONE, PASSWORD, (False, 52))
    assert outcome == ""
    assert held.idle(GRACE / 2) == []
    assert ended(held) == ["failed"]
    assert ended(logins(*SERVICE, *NONE)[0]) == ["unsure"]


def test_key_scan_is_no_login() -> None:
    """Who leaves after the key exchange or the service request has not tried to log in."""
    assert ended(logins()[0]) == []
    assert ended(logins(*SERVICE)[0]) == []


def test_gap_makes_unsure() -> None:
    """Where a segment is missing nothing is concluded; what is sent again counts once."""
    held, _ = logins(*SERVICE, *NONE)
    assert held.feed(KEY, 1000, 44, 1.0, from_orig=True) is None
    assert held.feed(KEY, 1104, 148, 1.0, from_orig=True) is None
    assert held.feed(KEY, 9000, 28, 1.0, from_orig=False) is None
    assert ended(held) == ["unsure"]


def test_bound() -> None:
    """Logins are held up to a bound, the longest silent goes and is counted."""
    held = Logins(4)
    for number in range(9):
        held.begin((*KEY[:4], number, 22, 0, 0), 0, 0, float(number), from_orig=True)
    assert (len(held), held.shed) == (4, 5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2**32 - 1), st.integers(0, 2000))))
def test_whatever_comes(segments: list[tuple[bool, int, int]]) -> None:
    """Any order of numbers and lengths ends in one of three words, once."""
    held = Logins()
    held.begin(KEY, 0, 0, 0.0, from_orig=True)
    held.begin(KEY, 0, 0, 0.0, from_orig=False)
    found = [held.feed(KEY, seq, length, 0.0, from_orig=side) for side, seq, length in segments]
    words = [event.login for event in found if event] + ended(held)
    assert len(words) <= 1
    assert set(words) <= {"succeeded", "failed", "unsure"}


@pytest.fixture
def served(namespace: Callable[[str], Namespace], tmp_path: Path) -> Iterator[Namespace]:
    """Return a namespace in which OpenSSH takes root's key and no other."""
    inside = namespace("")
    for name in ("host", "good", "bad"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True
        )
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port {PORT}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/good.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
    )
    inside.run(["mkdir", "-p", "/run/sshd"])
    process = inside.popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL
    )
    try:
        yield inside
    finally:
        process.terminate()
        process.wait(10)


def _login(inside: Namespace, key: Path, *options: str) -> bool:
    """Log in with a key and say whether it went well; once more where sshd was not up yet."""
    command = [
        "ssh", "-F", "none", "-i", str(key), "-p", PORT, "-o", "BatchMode=yes",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "IdentitiesOnly=yes", "-o", "ConnectionAttempts=10", *options,
        "root@127.0.0.1", "true",
    ]  # fmt: skip
    return inside.run(command, check=False).returncode == 0


def test_openssh(served: Namespace, tmp_path: Path) -> None:
    """Logins at a real server are told as they went, with each family of ciphers."""
    got: list[Capture] = []
    with served.inside():
        ring = Ring(["lo"], CaptureSettings(rich_per_second=0), got.append)
        ring.start()
    truth = []
    try:
        for cipher in ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr"):
            for name in ("good", "bad"):
                went = _login(served, tmp_path / name, "-c", cipher)
                truth.append("succeeded" if went else "failed")
        time.sleep(0.5)
    finally:
        ring.stop()
    events = [event for one in got for event in one.events if isinstance(event, Ssh)]
    clients = {event.orig_port: event.ts for event in events if event.version and event.client}
    told = {event.orig_port: event.login for event in events if event.login}
    assert truth == ["succeeded", "failed"] * 3
    assert [told.get(port) for port in sorted(clients, key=lambda port: clients[port])] == truth
