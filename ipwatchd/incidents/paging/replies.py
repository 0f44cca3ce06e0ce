"""Acknowledging a page by answering its mail. Pure.

The left part of a page's Message-ID is `INCIDENT.PAGE.TAG`; a mail program names it in In-Reply-To
and References of an answer (RFC 5322, 3.6.4). TAG is 128 bits of HMAC over incident, page and the
address that was paged, so that nobody makes one who has not seen that mail.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ipwatchd.records.incident import Incident
    from ipwatchd.records.paging import Letter, Page

__all__ = ["Ref", "acknowledges", "answered_letter", "answered_page", "ref_of", "refs_in"]

TAG: Final = 16
REFS: Final = 60
"""References looked at: a mail that names thousands costs no more. A joined page names 50."""
_MARKS: Final = " .!,;👍"
_REF: Final = re.compile(r"\b([a-z0-9][a-z0-9-]{0,80}-\d{6,9})\.(l?\d{1,9})\.([a-z2-7]{26})\b")


class Ref(NamedTuple):
    """What an answer names: incident, page, and the tag that proves that it saw the mail.

    `page` is the number of a page, or l and the number of a letter.
    """

    incident: str
    page: str
    tag: str


def ref_of(key: bytes, incident: str, page: int | str, to: str) -> str:
    """Return the left part of a page's Message-ID: in small letters, as some servers make it."""
    return f"{incident.lower()}.{page}.{_tag(key, incident, page, to)}"


def _tag(key: bytes, incident: str, page: int | str, to: str) -> str:
    text = f"reply|{incident.upper()}|{page}|{to.strip().lower()}".encode()
    made = hmac.new(key, text, hashlib.sha256).digest()[:TAG]
    return base64.b32encode(made).decode().rstrip("=").lower()


def refs_in(names: Iterable[str]) -> tuple[Ref, ...]:
    """Return what looks like ours among Message-IDs, or in a text that quotes them."""
    found: dict[Ref, None] = {}
    for name in names:
        for one in _REF.finditer(name.lower()):
            found[Ref(one[1].upper(), one[2], one[3])] = None
            if len(found) == REFS:
                return tuple(found)
    return tuple(found)


def answered_page(key: bytes, ref: Ref, incident: Incident) -> Page | None:
    """Return the page that a reference names; None where its tag is not ours."""
    held = incident.paging.pages if incident.paging else ()
    return next((one for one in held if _is_of(key, ref, str(one.number), one.to)), None)


def answered_letter(key: bytes, ref: Ref, incident: Incident) -> Letter | None:
    """Return the letter that a reference names; None where its tag is not ours."""
    held = incident.letters
    return next((one for one in held if _is_of(key, ref, f"l{one.number}", one.to)), None)


def _is_of(key: bytes, ref: Ref, number: str, to: str) -> bool:
    return number == ref.page and hmac.compare_digest(_tag(key, ref.incident, number, to), ref.tag)


def acknowledges(text: str, words: Sequence[str]) -> bool:
    """Tell whether an answer's own first line is a word that acknowledges.

    A word that ends with * may be followed by others ("ack, on my way"); after the rest nothing
    may follow: "ok but I can't come" is no yes. What is quoted does not count.
    """
    own = (line.strip() for line in text.splitlines())
    said = next((one for one in own if one and one[0] != ">" and one[-1] != ":"), "").casefold()
    for word in words:
        bare = word.removesuffix("*").casefold()
        rest = said.removeprefix(bare)
        if rest == said:
            continue
        if not rest.strip(_MARKS) or (word.endswith("*") and not rest[0].isalnum()):
            return True
    return False
