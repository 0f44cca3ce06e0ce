"""The centre's cable is pulled, and later the daemon is killed: somebody is paged all the while."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from ipwatchd.lab.case_scene import DOOR_PORT, GATEWAY, WORKS, until
from ipwatchd.lab.casebook import DETECTED, NIGHT

if TYPE_CHECKING:
    from ipwatchd.lab.case_scene import Scene


__all__ = ["alone", "handed_over", "taken_over"]


async def alone(scene: Scene) -> None:
    """The centre's cable is pulled: incidents, reports and pages go on at the site."""
    scene.say("the cable of the centre is pulled", "19:00", colour="yellow")
    _cable(scene, "down")
    scene.say(NIGHT.text, NIGHT.clock)
    await scene.cast.play(NIGHT)
    await scene.detected(DETECTED[-1])
    scene.say("the chat bot hands in that card numbers stand on a note", "19:20")
    identity = await scene.reported("card", _chat(scene))
    await scene.desk.do("dina", "incidents", "take", identity)
    await scene.desk.do("dina", "incidents", "assess", identity, *WORKS["card"].facts)
    await scene.page(scene.mail, identity)
    status = await asyncio.to_thread(scene.desk.client.status)
    scene.story.cut_off = not status.uplink.reachable or status.uplink.waiting > 0
    await until(lambda: _silent_said(scene), "the centre's page that the site is silent")
    scene.say("the cable is back", "19:40")
    _cable(scene, "up")
    await scene.delivered()
    await until(lambda: _centre_rests(scene), "the centre's end of the silence")


async def _silent_said(scene: Scene) -> bool:
    return any("is silent" in one.subject for one in scene.far_mail.receipts)


async def _chat(scene: Scene) -> str:
    """Hand a report in over HTTP, as a chat bot on the portal does; return what was answered."""
    body = {
        "id": "chat-4711", "text": "An agent wrote three card numbers on a note at desk 12.",
        "kind": "card-data", "channel": "chat", "language": "en", "reporter": "desk 14",
        "answers": {"where": "under the keyboard of desk 12", "when": "19:15",
                    "how_many": "three, of Acme Insurance"},
    }  # fmt: skip
    url = f"http://{GATEWAY['servers']}:{DOOR_PORT}/v1/reports"
    said = []
    async with scene.browser("portal") as session:
        for token in ("a token that nobody gave", scene.token, scene.token):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post(url, json=body, headers=headers) as answer:
                said.append(f"{answer.status} {(await answer.json()).get('incident', '-')}")
    return "\n".join(said)


def _cable(scene: Scene, state: str) -> None:
    scene.site.internet.run(["ip", "link", "set", "dev", "centre", state])


async def _centre_pages(scene: Scene) -> list[dict[str, Any]]:
    return list(json.loads(await scene.centre.ctl("pages", "--json")))


async def _centre_rests(scene: Scene) -> bool:
    return not await _centre_pages(scene)


async def taken_over(scene: Scene) -> None:
    """The daemon is killed: the centre pages in its place, and gives it back."""
    card = scene.story.ids["card"]
    scene.say("ipwatchd is killed (kill -9): the centre takes over", "20:00", colour="yellow")
    await scene.gateway.program.kill()
    scene.story.killed = time.time()

    async def taken() -> str:
        rows = await _centre_pages(scene)
        return next((str(r["id"]) for r in rows if r["rule"] == "taken-over"
                     and card in str(r["title"])), "")  # fmt: skip

    name = await until(taken, f"the centre's taking over of {card}")
    await scene.page(scene.far_mail, name)
    scene.story.texts["ack at the centre"] = await scene.centre.ctl("ack", name)
    scene.say(f"answered at the centre ({name}); ipwatchd starts again", "20:10")
    await scene.conductor.start_daemon()

    async def answered() -> bool:
        paging = (await scene.desk.incident(card)).get("paging") or {}
        return bool(paging.get("acked"))

    await until(answered, f"the centre's answer for {card} at the site")
    await until(lambda: _centre_rests(scene), "the end of what the centre had taken over")


async def handed_over(scene: Scene) -> None:
    """The site leaves paging to the centre: its pages come from there, and end with its answer."""
    night = scene.story.ids["night"]
    scene.say("the site hands paging over to the centre for the night", "21:00")
    scene.gateway.change("hand_over = false", "hand_over = true")

    async def hushed() -> bool:
        status = await asyncio.to_thread(scene.desk.client.status)
        return bool(status.escalation["hushed"])

    await until(hushed, "the centre's word that it pages")
    await scene.desk.do("ben", "incidents", "prioritise", night, "P1", "--reason",
                        "two scans in a day")  # fmt: skip

    async def paged() -> bool:
        return any(night in one.subject for one in scene.far_mail.receipts)

    await until(paged, f"the centre's page for {night}")
    await scene.desk.do("ben", "incidents", "take", night)
    await until(lambda: _centre_rests(scene), "the end of what the centre paged for")
