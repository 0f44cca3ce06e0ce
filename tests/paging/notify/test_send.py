"""Messages leave by mail, webhook, syslog and apprise, at real servers."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import hmac
import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.paging.notify.mail import mail_of
from ipwatchd.paging.notify.outbox import Outbox
from ipwatchd.paging.notify.send import SendError, send
from ipwatchd.paging.notify.syslog import line_of_page
from ipwatchd.records.paging import Channel, Message

if TYPE_CHECKING:
    from pathlib import Path

    from tests.paging.notify.conftest import Mails, Posts


def message(**changes: Any) -> Message:
    """Return a message."""
    fields: dict[str, Any] = {
        "incident": "MANILA-000001", "page": 3, "channel": "mail", "to": "ana@example.net",
        "subject": "[P1] MANILA-000001 correo con números", "body": "qué pasó\nsegunda línea",
        "priority": "P1", "cause": "opened", "site": "manila", "time": 1_795_000_000.0,
    }  # fmt: skip
    return Message(**(fields | changes))


def smtp(port: int, **changes: Any) -> Channel:
    """Return a channel to a local mail server."""
    fields: dict[str, Any] = {"kind": "smtp", "host": "127.0.0.1", "port": port, "tls": "none",
                              "sender": "ipwatchd@site.example", "timeout": 5.0,
                              "retry": 0.01}  # fmt: skip
    return Channel(**(fields | changes))


async def test_a_mail_arrives_as_it_was_written(mails: tuple[Mails, int]) -> None:
    """Recipient, subject and text in UTF-8, marked as a machine's, one id for the same page."""
    box, port = mails
    await send(smtp(port), message())
    ((to, data),) = box.taken
    mail = email.message_from_bytes(data, policy=email.policy.default)
    assert to == ("ana@example.net",)
    assert mail["Subject"] == "[P1] MANILA-000001 correo con números"
    assert mail["Message-ID"] == "<manila-000001.3@site.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "qué pasó" in mail.get_content()


@pytest.mark.parametrize("to", ["<", ":;@", "a@b\nBcc: c@d", '"'])
async def test_an_address_that_is_none_is_a_failed_delivery(
    mails: tuple[Mails, int], to: str
) -> None:
    """Python's parser raises anything on some: what waits behind it leaves all the same."""
    box, port = mails
    ended: list[tuple[int, bool]] = []

    async def done(one: Message, ok: bool, why: str, tries: int) -> None:
        del why, tries
        ended.append((one.page, ok))

    outbox = Outbox({"mail": smtp(port, tries=1)}, done)
    for number in (1, 2):
        assert outbox.put(message(to=to, page=number))
    outbox.put(message(page=3))
    async with asyncio.timeout(10):
        while outbox._lines:  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)
    await outbox.close()
    assert sorted(ended) == [(1, False), (2, False), (3, True)]
    assert len(box.taken) == 1


async def test_a_server_without_tls_gets_no_page(mails: tuple[Mails, int]) -> None:
    """STARTTLS is the default, and what is told to no one must not go in the clear."""
    box, port = mails
    with pytest.raises(SendError, match="STARTTLS"):
        await send(smtp(port, tls="starttls"), message())
    assert not box.taken


async def test_a_dead_and_a_hanging_server_are_named(free_port: int) -> None:
    """Nobody listens: refused at once. Somebody listens and says nothing: given up in time."""
    with pytest.raises(SendError, match="refused"):
        await send(smtp(free_port), message())
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(SendError, match=r"timed out|no answer"):
            await send(smtp(mute.getsockname()[1], timeout=0.2), message())


async def test_a_webhook_is_signed(posts: Posts, tmp_path: Path) -> None:
    """Body and time are under the shared secret's HMAC; a refusal is named with its status."""
    (tmp_path / "secret").write_text("s3cret\n")
    channel = Channel(
        kind="webhook", url=f"http://127.0.0.1:{posts.port}/page", timeout=5.0,
        secret_file=str(tmp_path / "secret"),
    )  # fmt: skip
    await send(channel, message())
    ((headers, body),) = posts.taken
    stamp = headers["X-Ipwatchd-Timestamp"].encode()
    made = hmac.new(b"s3cret", stamp + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Ipwatchd-Signature"] == f"sha256={made}"
    assert json.loads(body)["incident"] == "MANILA-000001"
    posts.status = 500
    with pytest.raises(SendError, match="answered 500"):
        await send(channel, message())


async def test_syslog_over_udp_tcp_and_a_local_socket(tmp_path: Path) -> None:
    """One datagram, one octet-counted line, one line to /dev/log: the same RFC 5424 text."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(5.0)
        await send(_syslog(f"udp:127.0.0.1:{udp.getsockname()[1]}"), message())
        line = udp.recv(4096)
    assert re.match(rb"<105>1 2026-\d\d-\d\dT[\d:.]+Z \S+ ipwatchd \d+ page \[page@32473 ", line)
    assert "números".encode() in line
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.put_nowait(await reader.read())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await send(_syslog(f"tcp:127.0.0.1:{port}"), message())
    framed = await got.get()
    size, _, rest = framed.partition(b" ")
    assert int(size) == len(rest)
    server.close()
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        local.bind(str(path))
        local.settimeout(5.0)
        await send(_syslog(f"unix:{path}"), message())
        assert local.recv(4096).startswith(b"<105>1 ")


def _syslog(address: str) -> Channel:
    return Channel(kind="syslog", address=address, timeout=5.0)


async def test_apprise_speaks_in_a_process_of_its_own(posts: Posts, tmp_path: Path) -> None:
    """One of apprise's own schemes reaches our server; a URL it does not know is refused."""
    file = tmp_path / "url"
    file.write_text(f"json://127.0.0.1:{posts.port}/page\n")
    channel = Channel(kind="apprise", url_file=str(file), timeout=20.0)
    await send(channel, message())
    assert json.loads(posts.taken[0][1])["title"].startswith("[P1]")
    file.write_text("pigeon://nowhere\n")
    with pytest.raises(SendError, match="not understood"):
        await send(channel, message())


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@settings(max_examples=150, deadline=None)
@given(text, text, text)
def test_words_of_strangers_begin_no_header_and_no_field(
    subject: str, body: str, word: str
) -> None:
    """Whatever a title holds: a mail has its own headers, a syslog line its own structure."""
    one = message(subject=subject, body=body, cause=word)
    mail = email.message_from_bytes(bytes(mail_of(smtp(25), one)), policy=email.policy.default)
    assert mail.get_all("To") == ["ana@example.net"]
    assert {name.lower() for name in mail} <= {
        "from", "to", "subject", "date", "message-id", "references", "auto-submitted",
        "x-priority", "x-ipwatchd-incident", "content-type", "content-transfer-encoding",
        "mime-version",
    }  # fmt: skip
    line = line_of_page(one, "host", 7).decode()
    assert "\n" not in line.split("] \ufeff")[0]
    assert re.match(
        r'<\d+>1 \S+ host ipwatchd 7 page \[page@32473( [a-z]+="(\\.|[^"\\\]])*")+\] \ufeff', line
    )


async def test_what_fails_is_tried_again_and_then_given_up(mails: tuple[Mails, int]) -> None:
    """Refused three times it leaves at the fourth; refused for ever it is given up and said."""
    box, port = mails
    box.refuse = "451 later"
    done: asyncio.Queue[tuple[bool, str, int]] = asyncio.Queue()

    async def note(_: Message, ok: bool, why: str, tries: int) -> None:
        done.put_nowait((ok, why, tries))

    outbox = Outbox({"mail": smtp(port, tries=3)}, note)
    outbox.put(message())
    ok, why, tries = await asyncio.wait_for(done.get(), 20)
    assert (ok, tries) == (False, 3)
    assert "451" in why
    assert "451" in outbox.troubles["mail"]
    box.refuse = ""
    outbox.put(message())
    assert (await asyncio.wait_for(done.get(), 20))[0]
    assert not outbox.troubles
    await outbox.close()


async def test_a_flood_leaves_as_few_and_what_is_urgent_first() -> None:
    """A hundred pages to one place become a handful; none is lost; a P1 has a line of its own."""
    sent: list[Message] = []
    done: asyncio.Queue[int] = asyncio.Queue()
    gate = asyncio.Event()

    async def slow(_: Channel, one: Message) -> None:
        if one.priority != "P1":
            await gate.wait()
        sent.append(one)

    async def note(one: Message, ok: bool, *_: Any) -> None:
        assert ok
        done.put_nowait(one.page)

    outbox = Outbox({"mail": smtp(25)}, note, send=slow)
    for number in range(100):
        outbox.put(message(page=number, priority="P3"))
    outbox.put(message(page=100))
    async with asyncio.timeout(20):
        assert await done.get() == 100
        assert len(sent) == 1
        gate.set()
        numbers = [await done.get() for _ in range(100)]
    assert sorted(numbers) == list(range(100))
    assert len(sent) <= 5
    await outbox.close()


async def test_a_channel_that_is_gone_fails_at_once() -> None:
    """A plan that lost a channel escalates what waits for it."""
    done: asyncio.Queue[str] = asyncio.Queue()

    async def note(_: Message, ok: bool, why: str, tries: int) -> None:
        assert not ok
        assert not tries
        done.put_nowait(why)

    outbox = Outbox({}, note)
    outbox.put(message())
    assert "no channel 'mail'" in await asyncio.wait_for(done.get(), 20)
    await outbox.close()


@pytest.fixture
def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
