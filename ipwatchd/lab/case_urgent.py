"""The urgent cases: a disclosure, a page that climbs, a mail server that is down."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from ipwatchd.lab.case_scene import WORKS, until
from ipwatchd.lab.casebook import FIELDS
from ipwatchd.lab.site import named

if TYPE_CHECKING:
    from ipwatchd.lab.case_scene import Scene


__all__ = ["climbing", "disclosure", "duplicate", "visitor"]

_QUIET: Final = 4.0
"""Longer than the wait of the second step: who has answered is not paged in it."""


async def duplicate(scene: Scene) -> None:
    """Merge what was suggested to be the same, then work on what is left."""
    ids = scene.story.ids
    await _wrongly_rejected(scene, ids["again"])
    await scene.desk.do(
        "ben", "incidents", "merge", ids["again"], ids["laptop"], "--reason", "the same laptop"
    )
    scene.say(f"{ids['again']} is merged into {ids['laptop']}")
    await scene.through("laptop")


async def _wrongly_rejected(scene: Scene, identity: str) -> None:
    """Try to reject it alone: without a word why, as a P2, and with personal data in it."""
    desk, reject = scene.desk, ("incidents", "reject", identity)
    reason = ("--reason", "somebody told us already")
    await desk.refused("rejecting without a reason", "needs a reason", "ben", *reject)
    await desk.do("ben", "incidents", "prioritise", identity, "P2", "--reason", "a whole laptop")
    await desk.do("ben", *reject, *reason)
    await desk.refused("rejecting a P2 alone", "because it is P2", "ben", *reject, *reason)
    await desk.do("ben", "incidents", "prioritise", identity, "auto", "--reason", "it is encrypted")
    await desk.do("ben", "incidents", "assess", identity, "data=contact")
    await desk.refused(
        "rejecting personal data alone", "because it concerns personal data", "ben", *reject,
        *reason,
    )  # fmt: skip


async def disclosure(scene: Scene) -> None:
    """The P1: facts, the page and its answer, clocks, notices, updates, then its end."""
    desk, identity, work = scene.desk, scene.story.ids["leak"], WORKS["leak"]
    on = ("incidents",)
    await desk.do("dina", *on, "take", identity)
    await desk.refused(
        "confirming without facts", "needs its impact facts", "dina", *on, "confirm", identity
    )
    await desk.do("dina", *on, "assess", identity, *work.facts)
    scene.say(f"{identity} is a P1: ana is paged", colour="yellow")
    page = await scene.page(scene.mail, identity)
    scene.story.texts["link"] = await _answer_link(scene, page.link)
    scene.story.acked["leak"] = time.time()
    await desk.do(
        "dina", *on, "aware", identity, "--reason", "grace rang then",
        "--at", f"{time.time() - 60:.0f}",
    )  # fmt: skip
    scene.story.texts["clocks before"] = await desk.do("dina", *on, "clocks", identity)
    await desk.do(
        "dina", *on, "assess", identity, "client=Acme Insurance", "countries=ES",
        "subjects=240", "records=240", "cross_border=yes", "role=processor",
    )  # fmt: skip
    await desk.do("dina", *on, "confirm", identity)
    scene.story.texts["clocks"] = await desk.do("dina", *on, "clocks", identity)
    await _notices(scene, identity)
    await _updates(scene, identity)
    await _hindered(scene, identity)
    await desk.end(identity, work, FIELDS)
    scene.say(f"{identity} is closed: {work.resolved}")


async def _notices(scene: Scene, identity: str) -> None:
    desk, duty = scene.desk, "gdpr.controller"
    draft = await desk.do("dina", "incidents", "notice", identity, duty)
    scene.story.texts["draft"] = draft
    await desk.do("dina", "incidents", "notice", identity, duty, "--sent", "--reference",
                  "by telephone, B. Cruz")  # fmt: skip
    scene.story.texts["first notice"] = await desk.do("dina", "incidents", "clocks", identity)
    await desk.do("dina", "incidents", "response", identity, "--reason",
                  "mail recalled; the stranger was asked to delete it")  # fmt: skip
    reason = ("--reason", "a stranger, not the public")
    await desk.do("dina", "incidents", "waive", identity, "client-acme.first-call", *reason)
    await desk.refused(
        "waiving a duty alone", "needs a second person", "dina", "incidents", "waive", identity,
        "client-acme.first-call", *reason,
    )  # fmt: skip


async def _updates(scene: Scene, identity: str) -> None:
    desk, on = scene.desk, ("incidents",)
    await desk.do("dina", *on, "update", identity, "reporter", "--way", "phone", "--to",
                  "grace")  # fmt: skip
    await desk.do("dina", *on, "mark", identity, "TLP:AMBER+STRICT")
    await desk.refused(
        "telling the client what is TLP:AMBER+STRICT", "may read up to TLP:AMBER", "dina", *on,
        "update", identity, "client", "--lang", "es",
    )  # fmt: skip
    await desk.refused(
        "marking it less strictly without a reason", "needs a reason", "dina", *on, "mark",
        identity, "TLP:AMBER",
    )  # fmt: skip
    await desk.do("dina", *on, "mark", identity, "TLP:AMBER", "--reason", "the client must be told")
    scene.story.texts["update"] = await desk.do(
        "dina", *on, "update", identity, "client", "--lang", "es"
    )
    await desk.do("dina", *on, "update", identity, "client", "--send")


async def _hindered(scene: Scene, identity: str) -> None:
    """Try to close what can't be closed yet, and to deny who must not be denied."""
    desk, on = scene.desk, ("incidents",)
    await desk.refused(
        "closing from CONFIRMED", "close is not possible", "dina", *on, "close", identity,
        "--reason", "enough",
    )  # fmt: skip
    await desk.refused(
        "denying the management network", "management", "ana", *on, "respond",
        scene.story.ids["scan"], "deny", "--subject", named("admin").ipv4,
    )  # fmt: skip


async def _answer_link(scene: Scene, link: str) -> str:
    """Open a page's link as a desk's browser does, then press its button."""
    async with scene.browser("admin") as session:
        async with session.get(link) as shown:
            first = f"{shown.status} {'button' in await shown.text()}"
        async with session.post(link) as pressed:
            return f"{first} {pressed.status} {await pressed.text()}"


async def climbing(scene: Scene) -> None:
    """A P1 that nobody answers climbs; the second one answers by the command line."""
    desk, identity = scene.desk, scene.story.ids["inside"]
    await desk.do("ben", "incidents", "prioritise", identity, "P1", "--reason",
                  "one of ours scans the servers")  # fmt: skip

    async def second() -> bool:
        return any(
            one.incident == identity and one.to.startswith("ben") for one in scene.mail.receipts
        )

    await until(second, f"a page of {identity} to the second step")
    await desk.do("ben", "incidents", "ack", identity)
    scene.story.acked["inside"] = time.time()
    await desk.judge(identity, WORKS["inside"])
    await desk.end(identity, WORKS["inside"], FIELDS)
    scene.say(f"{identity} is closed: {WORKS['inside'].resolved}")


async def visitor(scene: Scene) -> None:
    """The mail server is down: the page goes another way. Then two people reject it."""
    desk, identity = scene.desk, scene.story.ids["visitor"]
    await asyncio.sleep(max(0.0, scene.story.acked["leak"] + _QUIET - time.time()))
    scene.say("the mail server is down; the visitor wants into the server room", "17:00")
    scene.mail.stop()
    await desk.do("ben", "incidents", "prioritise", identity, "P1", "--reason",
                  "he wants into the server room")  # fmt: skip
    await scene.page(scene.hook, identity)
    await scene.mail.start()
    scene.say("the mail server is back; the visitor is the fire inspector", "17:10")
    reason = ("--reason", "the fire inspector, announced to the front desk")
    await desk.do("ana", "incidents", "reject", identity, *reason)
    await desk.refused(
        "rejecting a P1 alone", "needs a second person", "ana", "incidents", "reject",
        identity, *reason,
    )  # fmt: skip
    await desk.do("ben", "incidents", "reject", identity, *reason)
    scene.say(f"{identity} is rejected by two people")
