"""How cases come in: by traffic that detectors see, by telephone and by mail."""

from __future__ import annotations

import asyncio
import time
from email.message import EmailMessage
from typing import TYPE_CHECKING

from ipwatchd.lab import casebook, post
from ipwatchd.lab.casebook import DETECTED
from ipwatchd.lab.site import named

if TYPE_CHECKING:
    from ipwatchd.lab.case_scene import Scene


__all__ = ["intake", "morning"]


async def morning(scene: Scene) -> None:
    """Play the traffic and wait for what the detectors find in it."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for step in casebook.TRAFFIC:
            await asyncio.sleep(max(begun + step.at - time.monotonic(), 0))
            scene.say(step.text, step.clock)
            group.create_task(scene.conductor.step(step))
    for case in DETECTED[:-1]:
        await scene.detected(case)


async def intake(scene: Scene) -> None:
    """Take in what people report, each by another way."""
    desk, say = scene.desk, scene.say
    say("maria rings: ana asks what the script asks, in Spanish", "15:20")
    await scene.reported("phishing", desk.answer(
        "ana", ("report", "--kind", "phishing-call", "--lang", "es", "--from", "maria",
                "--role", "employee"), casebook.ANSWERS,
    ))  # fmt: skip
    say("jose mails that his laptop is gone", "15:40")
    await scene.reported("laptop", _mailed(scene))
    say("grace, his team lead, rings about the same laptop", "15:45")
    await scene.reported("again", desk.do(
        "ben", "report", "Jose of my team lost his work laptop LT-0342 in a taxi",
        "--from", "grace", "--role", "employee",
    ))  # fmt: skip
    words = ("report", "--kind", "visitor", "--from", "front desk", "--answer",
             "where=by the server room, writes things down", "--answer", "when=now")  # fmt: skip
    say("somebody stands by the server room and writes things down", "16:00")
    await desk.refused("a team lead who may look hands a report in", "operator", "gil", *words)
    await scene.reported("visitor", desk.do("ben", *words))
    say("an agent sent a list of a client's customers to a stranger", "16:10")
    await scene.reported("leak", desk.do(
        "ana", "report", "--kind", "wrong-disclosure", "--from", "grace", "--role", "employee",
        "--answer", "when=today 16:02",
        "--answer", "what=names, policy and identity card numbers of 240 people",
        "--answer", "to=a stranger, by mail: the address was completed wrongly",
        "--answer", "client=Acme Insurance", "--answer", "agent=jose",
    ))  # fmt: skip


async def _mailed(scene: Scene) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = "Jose <jose@bpo.example>", post.REPORTS
    mail["Subject"] = "I lost my work laptop LT-0342 in a taxi"
    mail["Message-ID"] = "<laptop-1@bpo.example>"
    mail.set_content(casebook.MAIL)
    host = named("desk2")
    await post.send(scene.site.hosts[host.name], host.ipv4, named("mail").ipv4, mail)
