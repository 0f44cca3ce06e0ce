"""Hostile mails and reports through the real doors (LMTP, maildir, HTTP): time, memory, stalls.

The desk runs in a process of its own with an event loop that notes how long it stood still; each
mail is handed over as a mail server or a bot does. `memory` is the process's peak (VmHWM, set back
between cases); what must hold is that the mail is kept whole, an incident opens, and the next plain
mail is taken at once.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import os
import smtplib
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

MB = 1 << 20
TOKEN = "a-token-of-the-bench"  # noqa: S105 - of this run alone
_TICK = 0.005


class Case(NamedTuple):
    """A hostile thing, the door that it comes to, and what makes it."""

    name: str
    door: str
    make: Callable[[], bytes]


def plain(text: str = "they asked for my code") -> EmailMessage:
    """Return a mail without guile."""
    message = EmailMessage()
    message["From"], message["Subject"] = "ana@client.example", "odd call"
    message["Message-ID"] = f"<{os.urandom(8).hex()}@x>"
    message.set_content(text)
    return message


def attached(size: int) -> bytes:
    """Return a mail with one attachment of random bytes."""
    message = plain()
    message.add_attachment(os.urandom(size), maintype="application", subtype="zip", filename="a")
    return message.as_bytes()


def lines(size: int) -> bytes:
    """Return a mail of very many short lines."""
    return plain().as_bytes() + b"a\n" * (size // 2)


def zip_bomb() -> bytes:
    """Return a mail with a ZIP of 40 kB that unpacks to gigabytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            with archive.open(f"{number}", "w") as file:
                for _ in range(100):
                    file.write(bytes(MB))
    message = plain()
    message.add_attachment(made.getvalue(), maintype="application", subtype="zip", filename="b.zip")
    return message.as_bytes()


def html(body: str) -> bytes:
    """Return a mail of HTML alone."""
    message = plain()
    message.set_content(body, subtype="html")
    return message.as_bytes()


def parts(count: int) -> bytes:
    """Return a mail of very many parts."""
    head = b"From: a@x\nSubject: parts\nMIME-Version: 1.0\n"
    return head + b"Content-Type: multipart/mixed; boundary=B\n\n" + b"--B\n\nx\n" * count


def nested(depth: int) -> bytes:
    """Return mails in mails."""
    return b"From: a@x\nSubject: deep\n" + b"Content-Type: message/rfc822\n\n" * depth + b"\nend\n"


def headers(count: int) -> bytes:
    """Return a mail of very many header lines."""
    return b"From: a@x\n" + b"X-A: b\n" * count + b"Subject: heads\n\nx\n"


def forged() -> bytes:
    """Return a mail that claims thousands of threads."""
    ids = b" ".join(b"<%d@x>" % number for number in range(200_000))
    return b"From: eve@x\nSubject: Re: odd call\nReferences: " + ids + b"\n\nhello\n"


def encoded(charset: bytes) -> bytes:
    """Return a mail in an encoding that it is not in."""
    return b"Subject: =?x-none?Q?=FF?=\nContent-Type: text/plain; charset=%s\n\n" % charset + (
        b"caf\xe9 \xff\xfe\x00" * 200_000
    )


CASES = (
    Case("plain", "lmtp", lambda: plain().as_bytes()),
    Case("30 MB, one attachment", "lmtp", lambda: attached(22 * MB)),
    Case("39 MB, one attachment", "maildir", lambda: attached(28 * MB)),
    Case("45 MB: head alone", "maildir", lambda: lines(45 * MB)),
    Case("30 MB of short lines", "lmtp", lambda: lines(30 * MB)),
    Case("ZIP bomb", "lmtp", zip_bomb),
    Case("HTML with scripts, 5 MB", "lmtp", lambda: html("<script>x()</script><p>a" * 200_000)),
    Case("HTML of open tags, 5 MB", "lmtp", lambda: html("<div" * 1_250_000)),
    Case("HTML of entities, 5 MB", "lmtp", lambda: html("&#x41;&a" * 600_000)),
    Case("1,000,000 parts", "lmtp", lambda: parts(1_000_000)),
    Case("mails in mails, 5,000", "lmtp", lambda: nested(5_000)),
    Case("mails in mails, 1,000,000", "lmtp", lambda: nested(1_000_000)),
    Case("1,000,000 headers", "lmtp", lambda: headers(1_000_000)),
    Case("one header of 30 MB", "lmtp", lambda: b"Subject: " + b"a" * (30 * MB) + b"\n\nx"),
    Case("200,000 forged threads", "lmtp", forged),
    Case("wrong encoding, utf-8", "lmtp", lambda: encoded(b"utf-8")),
    Case("wrong encoding, utf-7", "lmtp", lambda: encoded(b"utf-7")),
    Case("wrong encoding, idna", "lmtp", lambda: encoded(b"idna")),
    Case("wrong encoding, zlib", "lmtp", lambda: encoded(b"zlib")),
    Case("uuencoded without end", "lmtp", lambda: plain().as_bytes().replace(
        b"7bit", b"x-uuencode") + b"begin 666 a\n" + b"M" * (20 * MB)),
    Case("over 48 MB", "lmtp", lambda: lines(60 * MB)),
    Case("report of 2 MB", "http", lambda: json.dumps({"text": "a" * (2 * MB)}).encode()),
    Case("report of 100,000 deep", "http", lambda: b'{"text":' + b"[" * 100_000),
    Case("report in latin-1", "http", lambda: b'{"text": "caf\xe9"}'),
)  # fmt: skip


async def _desk(folder: Path, said: Connection) -> None:
    """Run the desk of a state folder until the other end closes; tell stalls and peaks."""
    from ipwatchd.config import Config
    from ipwatchd.config.settings import IntakeSettings, SiteSettings
    from ipwatchd.desk.desk import Desk
    from ipwatchd.stores import Stores

    settings = IntakeSettings(
        maildir=str(folder / "mail"), lmtp=str(folder / "lmtp"), listen="127.0.0.1:0",
        tokens_file=str(folder / "tokens"),
    )  # fmt: skip
    config = Config(site=SiteSettings(name="bench"), intake=settings)
    stores = await Stores.open(config, folder / "state")
    desk = Desk(settings, stores, time.time)
    await desk.start()
    assert desk.web is not None, desk.note
    said.send(desk.web.port)
    longest, before, polled = 0.0, time.perf_counter(), 0.0
    while True:
        await asyncio.sleep(_TICK)
        now = time.perf_counter()
        longest, before = max(longest, now - before - _TICK), now
        if now - polled > 0.2:
            polled = now
            await desk.tick(time.time())
            before = time.perf_counter()
        if said.poll():
            if said.recv() == "stop":
                break
            newest = await stores.incidents.list(limit=1)
            said.send((longest, _memory("VmHWM"), newest[0].id if newest else ""))
            _forget_peak()
            longest, before = 0.0, time.perf_counter()
    await desk.stop()
    await stores.close(time.time())


def _memory(name: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak() -> None:
    """Set the peak back to what is resident now (proc(5), clear_refs 5)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _child(folder: Path, said: Connection) -> None:
    asyncio.run(_desk(folder, said))


def hand_in(case: Case, folder: Path, port: int, data: bytes) -> str:
    """Hand one over at its door and return what was answered."""
    if case.door == "maildir":
        return _delivered(folder / "mail", data)
    if case.door == "http":
        return _posted(port, data)
    with smtplib.LMTP(str(folder / "lmtp")) as door:
        try:
            door.sock.settimeout(120)
            wire = data.replace(b"\n", b"\r\n")  # a mail server sends lines of its own ends
            door.sendmail("ana@client.example", ["reports@bench"], wire)
        except smtplib.SMTPException as error:
            return str(error)[:60]
        except OSError as error:
            return f"cut off: {error}"
    return "250"


def _delivered(maildir: Path, data: bytes) -> str:
    (maildir / "tmp").mkdir(parents=True, exist_ok=True)
    (maildir / "new").mkdir(exist_ok=True)
    (maildir / "tmp" / "1").write_bytes(data)
    (maildir / "tmp" / "1").rename(maildir / "new" / "1")
    deadline = time.monotonic() + 60
    while (maildir / "new" / "1").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return "left in new" if (maildir / "new" / "1").exists() else "taken"


def _posted(port: int, data: bytes) -> str:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/reports", data, {"Authorization": f"Bearer {TOKEN}"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - the same
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError as error:
        return f"cut off: {error}"


def measure(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what each case did."""
    (folder / "mail" / "new").mkdir(parents=True)
    (folder / "tokens").write_text(f"bot {TOKEN}\n", encoding="ascii")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    desk = multiprocessing.get_context("spawn").Process(target=_child, args=(folder, theirs))
    desk.start()
    theirs.close()  # so that its end is seen here
    port = ours.recv()
    before = ""
    for case in CASES:
        data = case.make()
        begin = time.perf_counter()
        answer = hand_in(case, folder, port, data)
        took = time.perf_counter() - begin
        ours.send("how")
        stall, memory, newest = ours.recv()
        begin = time.perf_counter()
        after = hand_in(CASES[0], folder, port, CASES[0].make())
        yield {
            "case": case.name, "door": case.door, "mb": round(len(data) / MB, 1),
            "answer": answer, "seconds": round(took, 2), "stall_ms": round(1000 * stall),
            "memory_mb": round(memory), "incident": newest if newest != before else "",
            "next": after, "next_ms": round(1000 * (time.perf_counter() - begin)),
        }  # fmt: skip
        ours.send("how")
        before = ours.recv()[2]
    ours.send("stop")
    desk.join(30)


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = []
        for row in measure(Path(name)):
            rows.append(row)
            words = (f"{row['case']:27} {row['door']:8} {row['mb']:>5} MB  {row['seconds']:>6} s  "
                     f"stall {row['stall_ms']:>5} ms  peak {row['memory_mb']:>5} MB  "
                     f"{row['answer']}, then {row['next']} in {row['next_ms']} ms")  # fmt: skip
            print(words, file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
