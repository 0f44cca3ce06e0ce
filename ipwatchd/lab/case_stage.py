"""What the day of cases needs beside the site: plans, a client's file, doors, mail servers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.lab import casebook, post
from ipwatchd.lab.analysts import Desk
from ipwatchd.lab.case_scene import ACK_PORT, DOOR_PORT, GATEWAY, Scene
from ipwatchd.lab.people import mount_people
from ipwatchd.lab.site import named

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from ipwatchd.lab.site import Site
    from ipwatchd.lab.stage import Stage

__all__ = ["Props", "open_cases", "prepare"]

_POLL: Final = 1.0
"""Seconds between heartbeats: after six of them the centre takes a site for silent."""
_MORE: Final = """\

[intake]
lmtp = "{drop}"
listen = "{servers}:{door}"
tokens_file = "{tokens}"

[escalation]
plan = "{plan}"
listen = "{agents}:{acks}"
link = "http://{agents}:{acks}"
hand_over = false
"""


class Props(NamedTuple):
    """Files that were written before anything starts."""

    folder: Path
    token: str
    options: tuple[str, ...]
    """The centre's."""


def prepare(state: Path) -> Props:
    """Write plans, secrets and the client's file; make the people known to this namespace."""
    folder = state / "desk"
    (folder / "policy" / "clients").mkdir(parents=True)
    (folder / "policy" / "clients" / "acme.toml").write_text(casebook.CLIENT, "utf-8")
    mount_people(folder)
    secret = folder / "hook.secret"
    secret.write_text(secrets.token_hex(16), "ascii")
    token = secrets.token_hex(16)
    (folder / "tokens").write_text(f"chat-bot {token}\n", "ascii")
    hook = f"http://{named('alerts').ipv4}:{post.HOOK_PORT}/page"
    for name, mail in (("site", named("mail").ipv4), ("centre", named("centre").ipv4)):
        path = folder / f"{name}.toml"
        path.write_text(casebook.plan(name, mail, hook, str(secret)), "utf-8")
    return Props(folder, token, ("--escalation", str(folder / "centre.toml")))


async def open_cases(site: Site, stage: Stage, stack: AsyncExitStack, props: Props) -> Scene:
    """Start mail servers, web hook, site and centre; return the scene that the day is played on."""
    desk = Desk(stage.gateway)
    scene = Scene(
        site, stage.cast, stage.conductor, stage.gateway, stage.centre, desk, stage.narrator,
        props.folder.with_name("papers"), props.token,
    )  # fmt: skip
    await scene.mail.start(stack)
    await scene.far_mail.start(stack)
    await scene.hook.start(stack)
    more = _MORE.format(
        drop=stage.gateway.socket.with_name("lmtp.sock"), door=DOOR_PORT, acks=ACK_PORT,
        tokens=props.folder / "tokens", plan=props.folder / "site.toml", **GATEWAY,
    )  # fmt: skip
    incidents = casebook.SEAT.format(policy=props.folder / "policy")
    await stage.open(stack, incidents=incidents, more=more, poll=_POLL)
    return scene
