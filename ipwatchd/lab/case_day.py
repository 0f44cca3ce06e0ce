"""The day of twelve cases in its order: each from intake to its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ipwatchd.lab.case_intake import intake, morning
from ipwatchd.lab.case_night import alone, handed_over, taken_over
from ipwatchd.lab.case_papers import central_rows, papers
from ipwatchd.lab.case_urgent import climbing, disclosure, duplicate, visitor

if TYPE_CHECKING:
    from ipwatchd.lab.case_expect import Story
    from ipwatchd.lab.case_scene import Scene

__all__ = ["play_cases"]


async def play_cases(scene: Scene) -> Story:
    """Play the day from the first scan to the last report and return what was seen of it."""
    await morning(scene)
    await intake(scene)
    scene.say("the desk works on what has come in", "16:20")
    async with asyncio.TaskGroup() as group:
        for name in ("scan", "guess", "denied", "api", "phishing"):
            group.create_task(scene.through(name))
        for urgent in (duplicate, disclosure, climbing):
            group.create_task(urgent(scene))
    await visitor(scene)
    await alone(scene)
    await taken_over(scene)
    await handed_over(scene)
    async with asyncio.TaskGroup() as group:
        for name in ("night", "card"):
            group.create_task(scene.through(name))
    await papers(scene)
    return await _told(scene)


async def _told(scene: Scene) -> Story:
    """Return the story with how everything stands at the end."""
    story, desk = scene.story, scene.desk
    for name, identity in story.ids.items():
        story.incidents[name] = await desk.incident(identity)
        story.timelines[name] = await desk.timeline(identity)
    story.all = [str(row["id"]) for row in await desk.rows()]
    story.central = await central_rows(scene)
    story.refusals, story.commands = desk.refusals, desk.commands
    story.mails, story.hooks = scene.mail.receipts, scene.hook.receipts
    story.letters, story.far_mails = scene.mail.letters, scene.far_mail.receipts
    return story
