"""A page through Postfix and its answer back: delivery, "ack" by LMTP, and a mail that came back.

Runs alone as root: `python benchmarks/answers_by_mail.py [--json]`. Needs Debian's postfix; it runs
in a network namespace and a folder of its own, and is stopped at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import json
import os
import shutil
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.smtp import SMTP

from ipwatchd.config import Config
from ipwatchd.config.settings import EscalationSettings, IntakeSettings, SiteSettings
from ipwatchd.desk.desk import Desk
from ipwatchd.paging.answers import Answers
from ipwatchd.paging.pager import Pager
from ipwatchd.records.finding import Finding
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 20
LAST: Final = 30.0
PLAN: Final = """
[channels.mail]
kind = "smtp"
host = "127.0.0.1"
port = 25
tls = "none"
sender = "soc@site.example"
reply_to = "soc@site.example"
[people.ana]
contacts = [{ channel = "mail", to = "ana@example.net" }]
[people.gone]
contacts = [{ channel = "mail", to = "gone@example.net" }]
[catch_all]
targets = ["person:ana"]
"""
MAIN: Final = """
compatibility_level = 3.6
queue_directory = {0}/queue
data_directory = {0}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
myhostname = mx.site.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
transport_maps = inline:{{ {{site.example=lmtp:unix:{0}/lmtp}}
  {{example.net=smtp:[127.0.0.1]:2525}} }}
maillog_file = {0}/maillog
maillog_file_prefixes = {0}
"""


class Mailbox:
    """Where ana's mails arrive; nobody else lives there."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Refuse who is gone."""
        del server, session, options
        if address.startswith("gone"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        del server, session
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 ok"


@contextlib.contextmanager
def postfix(folder: Path) -> Any:
    """Run Postfix on loopback."""
    conf = folder / "conf"
    conf.mkdir()
    for name in ("queue/pid", "data"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "data", "postfix")
    (conf / "main.cf").write_text(MAIN.format(folder))
    master = Path("/usr/share/postfix/master.cf.dist").read_text()
    # No chroot: its folders are not set up here.
    lines = [line.replace(" y  ", " n  ") for line in master.splitlines()]
    (conf / "master.cf").write_text("\n".join(lines) + "\n")
    subprocess.run(["postfix", "-c", str(conf), "start"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["postfix", "-c", str(conf), "stop"], check=False, capture_output=True)


async def until(condition: Callable[[], Any]) -> float:
    """Wait until something is so; return the seconds that took."""
    begun = time.perf_counter()
    async with asyncio.timeout(LAST):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.002)
    return time.perf_counter() - begun


def _beyond(count: Callable[[], int], number: int) -> bool:
    return count() > number


def answer(page: Any) -> None:
    """Answer a page as a phone does, through Postfix."""
    mail = EmailMessage()
    mail["From"], mail["To"] = "Ana <ana@example.net>", page["Reply-To"]
    mail["Subject"], mail["In-Reply-To"] = f"Re: {page['Subject']}", page["Message-ID"]
    mail.set_content("Ack!\n\nSent from my phone\n")
    with smtplib.SMTP("127.0.0.1", 25) as server:
        server.send_message(mail)


async def run(folder: Path) -> dict[str, Any]:
    """Page, answer and bounce; return the medians."""
    (folder / "plan.toml").write_text(PLAN)
    config = Config(
        site=SiteSettings(name="manila"), intake=IntakeSettings(lmtp=f"{folder}/lmtp"),
        escalation=EscalationSettings(plan=f"{folder}/plan.toml"),
    )  # fmt: skip
    stores = await Stores.open(config, folder / "state")
    pager = Pager(config.escalation, stores.incidents, stores.state_dir, time.time)
    desk, answers = Desk(config.intake, stores, time.time), Answers(pager, stores.incidents)
    assert desk.mail is not None
    desk.mail.answers = answers.take
    await desk.start()
    (folder / "lmtp").chmod(0o777)
    box, stop = Mailbox(), asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, loop=loop), "127.0.0.1", 2525)
    paging = asyncio.create_task(pager.run(stop))
    there, acked = [], []
    for number in range(ROUNDS):
        now = time.time()
        await stores.incidents.finding(Finding(
            rule="data-upload", subject=f"10.0.0.{number}", key=f"k{number}", title="a gigabyte",
            first_seen=now, last_seen=now, count=1, severity="critical", score=1.0, value=1.0,
            classification="data-leak", threshold=1.0, evidence={"direction": "outgoing"},
        ), now)  # fmt: skip
        there.append(await until(partial(_beyond, lambda: len(box.mails), number)))
        await asyncio.to_thread(answer, box.mails[-1])
        acked.append(
            await until(partial(_beyond, lambda: answers.counters["acks_by_mail"], number))
        )
    first = await stores.incidents.incident("MANILA-000001")
    assert first is not None
    await pager.post.notify(first, "person:gone", "x", actor="bench", now=time.time())
    bounced = await until(lambda: answers.counters["bounces"])
    stop.set()
    await paging
    server.close()
    await desk.stop()
    await stores.close(time.time())
    return {
        "rounds": ROUNDS, "page_at_the_mailbox_ms": 1e3 * statistics.median(there),
        "acknowledged_after_the_answer_ms": 1e3 * statistics.median(acked),
        "bounce_taken_ms": 1e3 * bounced,
    }  # fmt: skip


def main() -> int:
    """Run in a namespace of its own."""
    if "--inside" not in sys.argv:
        words = ["unshare", "-n", sys.executable, __file__, "--inside", *sys.argv[1:]]
        return subprocess.run(words, check=False, env=os.environ).returncode
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with postfix(folder):
            found = asyncio.run(run(folder))
    if "--json" in sys.argv:
        print(json.dumps(found))
    else:
        for key, value in found.items():
            print(f"{key:34} {value:10.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
