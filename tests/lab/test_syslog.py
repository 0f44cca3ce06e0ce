"""The mail server's log goes to the gateway: each of three lines by another way, all are read."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ipwatchd.config.settings import SyslogSettings
from ipwatchd.lab import mailbox, syslog
from ipwatchd.lab.certificates import Authority
from ipwatchd.lab.netns import Namespace, veth
from ipwatchd.logs.listener import Listener
from ipwatchd.logs.rules import Reader
from ipwatchd.records.event import Auth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = "10.30.0.25"


def test_three_lines_by_three_ways(namespace: Callable[[str], Namespace], tmp_path: Path) -> None:
    """UDP, TCP and TLS with the sender's own certificate each bring one failed login."""
    gateway, mail = namespace("gateway"), namespace("mail")
    veth(gateway, "servers0", mail, "eth0")
    gateway.address("servers0", f"{syslog.COLLECTOR}/24")
    mail.address("eth0", f"{HOST}/24")
    authority = Authority(tmp_path)
    pair, own = authority.issue([syslog.COLLECTOR]), authority.issue(["mail"])
    context = authority.client()
    context.load_cert_chain(own.certificate, own.key)
    listener = Listener(
        SyslogSettings(
            udp=f"{syslog.COLLECTOR}:514", tcp=f"{syslog.COLLECTOR}:514",
            tls=f"{syslog.COLLECTOR}:6514", allow=("10.30.0.0/24",),
            certificate=str(pair.certificate), key=str(pair.key),
            client_ca=str(authority.certificate),
        )
    )  # fmt: skip
    with gateway.inside():
        listener.start()
    users = ["root", "admin", "test"]

    async def talk() -> None:
        sender = syslog.Sender(mail, "mail", context)
        for user in users:
            await sender.send("dovecot", mailbox.said(user, "203.0.113.98", HOST, right=False))
        await sender.close()

    try:
        assert listener.problem == ""
        asyncio.run(talk())
        lines: list[tuple[str, bytes]] = []
        end = time.monotonic() + 10
        while len(lines) < len(users) and time.monotonic() < end:
            lines += listener.senders.take(10)
    finally:
        listener.stop()
    assert listener.senders.counters.connections == 2, "one of TCP and one of TLS"
    assert {sender for sender, _ in lines} == {HOST}
    events = [Reader().line(line, now=time.time(), source="x") for _, line in lines]
    told = [(one.orig, one.user, one.result) for one in events if isinstance(one, Auth)]
    assert sorted(told) == sorted(("203.0.113.98", user, "failure") for user in users)
