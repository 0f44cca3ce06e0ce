"""What Asterisk, OpenVPN, FreeRADIUS and strongSwan say twice is one failed login."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest

from ipwatchd.logs import Reader

NOW: Final = 1_795_304_700.0


def written(program: str, *patterns: str) -> list[str]:
    """Return the first line of a program for each pattern."""
    text = Path(__file__).with_name("real.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(row) for row in text.splitlines()]
    said = [row["line"] for row in rows if row["program"].startswith(program)]
    return [next(line for line in said if re.search(one, line)) for one in patterns]


def reader_of(program: str) -> Reader:
    """Return a reader; of strongSwan one that has heard of the packet that came."""
    reader = Reader()
    if program == "strongSwan":
        (came,) = written(program, r"(?:eap.)?13. received packet")
        assert reader.line(came, now=NOW, source="x") is None
    return reader


@pytest.mark.parametrize(
    ("program", "own", "echoes"),
    [
        ("Asterisk", 'InvalidAccountID.*"999"', ("evil.*No matching", "Failed.*<unknown>")),
        ("Asterisk", 'InvalidPassword.*"boss"', ("failed to authenticate as 'boss'",)),
        ("Asterisk", "FailedACL", ("SIP ACL: Rejecting",)),
        ("OpenVPN", "VERIFY ERROR", ("52171 OpenSSL: error", "52171 TLS Error: TLS handshake")),
        ("FreeRADIUS", "Login incorrect.*cli 198", ("Invalid user.*cli 198",)),
        ("strongSwan", "eap.13. EAP-MS-CHAPv2 verif", ("eap.13. no EAP key",)),
    ],
)
def test_an_echo_of_the_servers_word(program: str, own: str, echoes: tuple[str, ...]) -> None:
    """Alone each of the lines counts; after the server's own word its echoes do not."""
    (word,) = written(program, own)
    for echo in written(program, *echoes):
        assert reader_of(program).line(echo, now=NOW, source="x") is not None
        reader = reader_of(program)
        assert reader.line(word, now=NOW, source="x") is not None
        assert reader.line(echo, now=NOW, source="x") is None
        assert reader.line(word, now=NOW, source="x") is not None
