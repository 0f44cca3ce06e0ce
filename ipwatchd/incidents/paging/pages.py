"""The text of a page, in the language of who gets it, and the token that acknowledges it. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from ipwatchd.incidents.legal.clocks import clocks
from ipwatchd.incidents.legal.notices import local
from ipwatchd.incidents.paging.plan import WORDS
from ipwatchd.records.duration import duration_text
from ipwatchd.records.paging import Message

if TYPE_CHECKING:
    from ipwatchd.incidents.paging.plan import Plan
    from ipwatchd.records.incident import Incident
    from ipwatchd.records.paging import Page

__all__ = ["message_of", "read_token", "token_of", "values_of"]

TAG: Final = 16
SHOWN: Final = 5
CENTRE: Final = "centre"
"""What the centre's own log names as its site."""


def message_of(
    incident: Incident,
    page: Page,
    plan: Plan,
    *,
    zone: str,
    link: str,
    now: float,
    ref: str = "",
) -> Message:
    """Return the message of a page; `ref` is what a mail that answers it names."""
    person = plan.people.get(page.person)
    words = plan.said(person.language if person else "en")
    cause = incident.paging.cause if incident.paging else ""
    values = values_of(incident, cause=cause, zone=zone, now=now) | {
        "person": person.name if person else page.person, "link": link, "step": str(page.step + 1),
        "answer": _answer(incident),
    }  # fmt: skip
    return Message(
        incident=incident.id, page=page.number, channel=page.channel, to=page.to,
        subject=words.subject.format_map(values), body=words.body.format_map(values),
        priority=incident.priority, cause=cause, site=incident.site, link=link, time=now, ref=ref,
    )  # fmt: skip


def values_of(incident: Incident, *, cause: str, zone: str, now: float) -> dict[str, str]:
    """Return what the words of a page or a notice may name, all of WORDS."""
    owed = [row for row in clocks(incident, now) if not row.obligation.settled]
    possible = [row.obligation for row in owed if row.obligation.state == "possible"]
    running = [row for row in owed if row.obligation.due and row.obligation not in possible]
    lines = [f"{row.obligation.title}: {_left(row.left)}" for row in running[:SHOWN]]
    if possible:
        asks = ", ".join(dict.fromkeys(name for one in possible for name in one.asks))
        lines.append(f"{len(possible)} more may apply: answer {asks} (incidents assess)")
    return dict.fromkeys(WORDS, "") | {
        "id": incident.id, "site": incident.site, "priority": incident.priority,
        "title": incident.title, "subject": incident.subject or "-",
        "severity": incident.severity, "state": incident.state,
        "class": incident.classification or "-",
        "client": str(incident.facts.get("client") or "-"), "cause": cause,
        "opened": local(incident.opened, zone), "clocks": "\n".join(lines),
    }  # fmt: skip


def _answer(incident: Incident) -> str:
    """Return the command that acknowledges, where the incident is."""
    if incident.site == CENTRE:
        return f"ipwatch-central ack {incident.id}"
    return f"ipwatchctl incidents ack {incident.id}"


def _left(left: float) -> str:
    return f"{duration_text(abs(left))} {'left' if left >= 0 else 'over'}"


def token_of(key: bytes, incident: str, page: int, person: str) -> str:
    """Return the token by which a page is acknowledged: 128 bits of HMAC, nothing is stored."""
    text = f"{incident}|{page}|{person}".encode()
    tag = hmac.new(key, text, hashlib.sha256).digest()[:TAG]
    return base64.urlsafe_b64encode(tag + text).decode().rstrip("=")


def read_token(key: bytes, token: str) -> tuple[str, int, str] | None:
    """Return incident, page and person of a token that is ours, else None."""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        tag, text = data[:TAG], data[TAG:]
        if not hmac.compare_digest(tag, hmac.new(key, text, hashlib.sha256).digest()[:TAG]):
            return None
        incident, page, person = text.decode().split("|", 2)
        return incident, int(page), person
    except ValueError:
        return None
