"""A page as a mail (RFC 5322), marked as written by a machine (RFC 3834). Pure."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipwatchd.records.paging import Channel, Message

__all__ = ["mail_of"]

SUBJECT: Final = 200


def mail_of(channel: Channel, message: Message) -> EmailMessage:
    """Return the mail of a page; what came from strangers can't begin a header of its own."""
    import datetime as dt

    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"] = channel.sender
    mail["To"] = message.to
    mail["Subject"] = _line(message.subject)
    mail["Date"] = format_datetime(dt.datetime.fromtimestamp(message.time, dt.UTC))
    host = channel.sender.rpartition("@")[2] or "localhost"
    # The same page again has the same Message-ID: mail programs show a duplicate once.
    mail["Message-ID"] = f"<{message.incident.lower()}.{message.page}@{host}>"
    mail["References"] = f"<{message.incident.lower()}@{host}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Priority"] = "1" if message.priority in {"P1", "P2"} else "3"
    mail["X-Ipwatchd-Incident"] = message.incident
    mail.set_content(message.body)
    return mail


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:SUBJECT]
