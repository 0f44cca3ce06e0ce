"""A page as a mail (RFC 5322), marked as written by a machine (RFC 3834). Pure."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.records.paging import Channel, Message

__all__ = ["mail_of"]

SUBJECT: Final = 200
_FOOT: Final = "\n-- \nOr answer this mail: ack\n({ref})\n"
# A Message-ID in a header of its own is never folded into an encoded word.
_POLICY: Final = email.policy.SMTP.clone(max_line_length=900)


def mail_of(
    channel: Channel, message: Message, files: Iterable[tuple[str, bytes]] = ()
) -> EmailMessage:
    """Return the mail of a page or letter; what came from strangers begins no header of its own.

    `files` are name and content of what goes with it.
    """
    import datetime as dt

    mail = EmailMessage(policy=_POLICY)
    mail["From"] = channel.sender
    mail["To"] = message.to
    mail["Subject"] = _line(message.subject)
    mail["Date"] = format_datetime(dt.datetime.fromtimestamp(message.time, dt.UTC))
    host = channel.sender.rpartition("@")[2] or "localhost"
    # The same page again has the same Message-ID: mail programs show a duplicate once.
    kind = "" if message.kind == "page" else message.kind
    left = message.ref or f"{message.incident.lower()}.{kind}{message.page}"
    mail["Message-ID"] = f"<{left}@{host}>"
    # An answer names these too: it answers every page that this mail stands for.
    others = (f"<{one}@{host}>" for one in (message.incident.lower(), *message.refs))
    mail["References"] = " ".join(others)
    if channel.reply_to:
        mail["Reply-To"] = channel.reply_to
    mail["Auto-Submitted"] = "auto-generated"
    if not kind:
        mail["X-Priority"] = "1" if message.priority in {"P1", "P2"} else "3"
    if message.tlp:
        mail["X-TLP"] = message.tlp
    mail["X-Ipwatchd-Incident"] = message.incident
    asks = channel.reply_to and not kind
    mail.set_content(message.body + (_FOOT.format(ref=left) if asks else ""))
    for name, data in files:
        if name.endswith(".html"):
            mail.add_attachment(data.decode("utf-8", "replace"), subtype="html", filename=name)
        else:
            kind = "pdf" if name.endswith(".pdf") else "octet-stream"
            mail.add_attachment(data, maintype="application", subtype=kind, filename=name)
    return mail


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:SUBJECT]
