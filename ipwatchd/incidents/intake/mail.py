"""A mail as it came in → what a report needs of it. Every part may be hostile. Pure.

Nothing is unpacked or rendered: text is taken from the first text part, or from HTML with its tags,
scripts and styles left out.
"""

from __future__ import annotations

import email
import email.errors
import email.header
import email.utils
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from email.message import Message

__all__ = ["MAX_MAIL", "Mail", "MailFile", "parse_mail"]

MAX_MAIL: Final = 40 << 20
"""Bytes of a mail that is read: a larger one is reported by its head alone."""
HEAD: Final = 64 << 10
TEXT: Final = 100_000
"""Characters of text kept in the report; the original has them all."""
HTML: Final = 1 << 20
PARTS: Final = 200
"""MIME parts looked at: a mail of a million tiny parts costs no more."""
FILES: Final = 20
FILE_BYTES: Final = 25 << 20
LINE: Final = 300
REFERENCES: Final = 50
BOUNDARIES: Final = 100
"""Multiparts in multiparts that are followed at all: the parser recurses."""
_ID: Final = re.compile(r"<[^<>\s]{1,250}>")
_SKIPPED: Final = {"script", "style", "head", "title", "template", "noscript"}
_BREAKS: Final = {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "blockquote"}


class MailFile(NamedTuple):
    """A file that came with a mail."""

    name: str
    type: str
    data: bytes


class Mail(NamedTuple):
    """What a report needs. `notes` say what was left out, and why."""

    sender: str
    name: str
    subject: str
    message_id: str
    references: tuple[str, ...]
    language: str
    text: str
    files: tuple[MailFile, ...]
    notes: tuple[str, ...]


def parse_mail(data: bytes) -> Mail:
    """Return what is in a mail; never raises on any bytes."""
    notes = []
    if len(data) > MAX_MAIL:
        notes.append(f"the mail has {len(data):,} bytes: only its head was read")
        data = data[:HEAD]
    if data.lower().count(b"boundary") > BOUNDARIES:
        notes.append("too many parts in parts: only its head was read")
        data = data[:HEAD].partition(b"\n\n")[0] + b"\n\n"
    try:
        message = email.message_from_bytes(data)
    except (RecursionError, ValueError, LookupError, TypeError) as error:
        notes.append(f"no readable mail ({type(error).__name__}): its bytes are kept")
        message = email.message_from_bytes(b"")
    text, files = _parts(message, notes)
    name, sender = email.utils.parseaddr(_line(message, "From"))
    ids = _ID.findall(_line(message, "Message-ID", 2000))
    references = _ID.findall(
        f"{_line(message, 'In-Reply-To', 2000)} {_line(message, 'References', 16_000)}"
    )
    return Mail(
        sender=sender.lower()[:LINE], name=name[:LINE], subject=_line(message, "Subject"),
        message_id=ids[0] if ids else "",
        references=tuple(dict.fromkeys(references))[-REFERENCES:],
        language=_line(message, "Content-Language", 20).partition(",")[0].strip(),
        text=text[:TEXT], files=tuple(files), notes=tuple(notes),
    )  # fmt: skip


def _line(message: Message, name: str, most: int = LINE) -> str:
    """Return a header in one line; what can't be decoded stays as it is."""
    raw = str(message.get(name) or "")[:16_000]
    try:
        raw = str(email.header.make_header(email.header.decode_header(raw)))
    except (LookupError, UnicodeError, ValueError, email.errors.HeaderParseError):
        raw = raw.encode("utf-8", "replace").decode("utf-8", "replace")
    return " ".join(raw.encode("utf-8", "replace").decode().split())[:most]


def _parts(message: Message, notes: list[str]) -> tuple[str, list[MailFile]]:
    plain, html, files, size = "", "", list[MailFile](), 0
    for number, part in enumerate(message.walk()):
        if number >= PARTS:
            notes.append(f"has over {PARTS} parts: the others are in the original alone")
            break
        if part.is_multipart():
            continue
        kind, named = part.get_content_type(), part.get_filename()
        if kind == "text/plain" and not plain and not named:
            plain = _decoded(part)
        elif kind == "text/html" and not html and not named:
            html = _decoded(part)
        elif len(files) >= FILES:
            notes.append(f"has over {FILES} attachments: the others are in the original alone")
            break
        else:
            data = _payload(part)
            size += len(data)
            if size > FILE_BYTES:
                notes.append("its attachments are too large: they are in the original alone")
                break
            files.append(MailFile(_safe_name(named, number), kind[:100], data))
    return plain.strip() or _html_text(html), files


def _payload(part: Message) -> bytes:
    try:
        data = part.get_payload(decode=True)
    except (LookupError, UnicodeError, ValueError, AssertionError):
        data = None
    return data if isinstance(data, bytes) else b""


def _decoded(part: Message) -> str:
    data = _payload(part)[: 4 * HTML]
    for charset in (str(part.get_content_charset() or "utf-8"), "utf-8"):
        try:
            return data.decode(charset)
        except (LookupError, UnicodeError, ValueError):
            continue
    return data.decode("latin-1")


def _safe_name(name: object, number: int) -> str:
    """Return a file name without path or control characters."""
    text = str(name or f"part-{number}").replace("\\", "/").rpartition("/")[2]
    return "".join(letter if letter.isprintable() else "_" for letter in text)[:120] or "unnamed"


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._skipping += tag in _SKIPPED
        if tag in _BREAKS:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED and self._skipping:
            self._skipping -= 1

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.words.append(data)


def _html_text(html: str) -> str:
    if not html:
        return ""
    parser = _Text()
    try:
        parser.feed(html[:HTML])
    except (AssertionError, ValueError):  # html.parser on what is no HTML at all
        return ""
    lines = (" ".join(line.split()) for line in "".join(parser.words).splitlines())
    return "\n".join(line for line in lines if line)
