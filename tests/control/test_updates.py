"""Updates over the control API: drafted under pseudonyms, kept in the timeline, refused by TLP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from ipwatchd.config import Config
from ipwatchd.control.client import Client, RefusedError
from ipwatchd.control.offline import StateTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Open a state folder of its own."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "effective.json").write_bytes(msgspec.json.encode(Config()))
    transport = StateTransport(folder)
    yield Client(transport)
    transport.close()


def made(client: Client) -> str:
    """Report something about an address, in Spanish; return the incident's id."""
    told = "llamaron desde 203.0.113.7"
    return str(client.report(told, subject="203.0.113.7", language="es")["id"])


def test_a_draft_is_in_the_language_of_the_report_and_hides_addresses(client: Client) -> None:
    """The client sees a stand-in, the authority the address; the reporter reads Spanish."""
    identity = made(client)
    reporter = client.update(identity, "reporter")
    assert reporter["language"] == "es"
    assert identity in reporter["text"]
    theirs = client.update(identity, "client", "en")
    assert "203.0.113.7" not in theirs["text"] + theirs["subject"]
    assert "203.0.113.7" in client.update(identity, "regulator")["text"]


def test_what_was_told_stands_in_the_timeline(client: Client) -> None:
    """Who was told, how, in which words; the draft's where no others are given."""
    identity = made(client)
    client.act(
        identity, "update", audience="client", to="B. Cruz", way="phone", text="we are on it"
    )
    client.act(identity, "update", audience="management", to="the board", way="mail")
    first, second = [one for one in client.incident(identity).timeline if one["kind"] == "updated"]
    assert (first["body"]["to"], first["body"]["way"]) == ("B. Cruz", "phone")
    assert first["body"]["text"] == "we are on it"
    assert identity in second["body"]["subject"]
    assert client.verify().get("first_bad_seq") is None


def test_a_marking_keeps_audiences_out(client: Client) -> None:
    """What is TLP:RED is told to nobody by template; taking a marking down needs a word."""
    identity = made(client)
    client.act(identity, "mark", tlp="tlp:red")
    assert client.incident(identity).incident["tlp"] == "TLP:RED"
    for audience in ("reporter", "client", "management", "regulator"):
        with pytest.raises(RefusedError, match="is marked TLP:RED"):
            client.update(identity, audience)
    with pytest.raises(RefusedError, match="needs a reason"):
        client.act(identity, "mark", tlp="TLP:GREEN")
    client.act(identity, "mark", tlp="TLP:GREEN", reason="the culprit is known")
    assert client.update(identity, "client")["tlp"] == "TLP:AMBER"


def test_a_translation_stands_beside_the_words(client: Client) -> None:
    """The report stays as it came; the translation names it, and one of nothing is refused."""
    identity = made(client)
    detail = client.incident(identity)
    (report,) = detail.incident["reports"]
    client.act(identity, "translate", report=report, language="en", reason="they called from …")
    after = client.incident(identity).timeline
    assert after[0]["body"]["report"]["text"] == "llamaron desde 203.0.113.7"
    assert after[-1]["body"] == {"report": report, "language": "en", "text": "they called from …"}
    with pytest.raises(RefusedError, match="is no report of"):
        client.act(identity, "translate", report="x", language="en", reason="y")
