"""Pages and letters: who was told, by which channel, and how that stands. Types only."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

__all__ = ["KINDS", "Channel", "Letter", "Message", "Page", "Paging"]

KINDS: Final = ("smtp", "webhook", "syslog", "apprise")


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[channels.NAME] a way out. Secrets stand in files of their own.

    smtp: host, port, tls, user, password_file, sender, reply_to. webhook: url, secret_file (signs
    the body). syslog: address (udp:HOST:PORT, tcp:HOST:PORT, tls:HOST:PORT, unix:/dev/log).
    apprise: url_file, whose first line is one of its URLs.
    """

    kind: Literal["smtp", "webhook", "syslog", "apprise"]
    host: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password_file: str = ""
    sender: str = ""
    reply_to: str = ""
    url: str = ""
    secret_file: str = ""
    address: str = ""
    url_file: str = ""
    ca_file: str = ""
    timeout: Annotated[float, Meta(gt=0, le=120)] = 15.0
    tries: Annotated[int, Meta(ge=1, le=20)] = 4
    retry: Annotated[float, Meta(gt=0, le=600)] = 2.0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out by a channel to one place.

    `kind` is page, letter or paper (a report on a schedule), `page` its number. `ref` is the left
    part of a mail's Message-ID, `refs` those of the pages that this one stands for beside its own;
    `files` are paths of what goes with it.
    """

    incident: str
    page: int
    channel: str
    to: str
    subject: str
    body: str
    priority: str = "P5"
    cause: str = ""
    site: str = ""
    link: str = ""
    time: float = 0.0
    kind: str = "page"
    tlp: str = ""
    ref: str = ""
    refs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One person told by one channel. `state` is "" (on its way), delivered or failed.

    `instead` is the number of the failed page that this one stands in for.
    """

    number: int
    time: float
    person: str
    channel: str
    to: str = ""
    step: int = 0
    round: int = 0
    instead: int = 0
    state: str = ""
    why: str = ""


class Letter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that asks for no answer: an update, or what the response `notify` sent.

    `state` is "" (on its way), delivered, failed (and tried again for a day) or withdrawn. `about`
    is "update" or the id of the response's receipt, `name` who it is for in words.
    """

    number: int
    time: float
    channel: str
    about: str
    to: str = ""
    name: str = ""
    person: str = ""
    state: str = ""
    why: str = ""
    tries: int = 0


class Paging(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far escalation of an incident is: a fold of its events.

    A run begins for a `cause` and goes through the policy's steps until as many as the step needs
    have acknowledged. `raised` are the causes that began one already, `jump` the step that somebody
    wants now (-1: none).
    """

    policy: str
    cause: str
    priority: str
    begun: float
    stepped: float
    step: int = 0
    round: int = 0
    need: int = 1
    acks: tuple[str, ...] = ()
    acked: float = 0.0
    over: bool = False
    jump: int = -1
    raised: tuple[str, ...] = ()
    pages: tuple[Page, ...] = ()
    count: int = 0
