"""What the centre's answers mean; everything in them is checked before it is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.records.entry import LISTS, ListEntry
from ipwatchd.records.exchange import MAX_ENTRIES, Committed, Entries, Refusal
from ipwatchd.records.network import canonical
from ipwatchd.uplink.protocol import Conflict, Denied, Failed, Gap, Held

if TYPE_CHECKING:
    from ipwatchd.uplink.protocol import Answer

__all__ = ["SOURCE", "entries_of", "held_of", "refusal_of"]

SOURCE: Final = "central"
TEXT: Final = 2000


def held_of(status: int, body: bytes) -> Answer:
    """Return the answer to events or a heartbeat."""
    if status != 200:
        return refusal_of(status, body)
    try:
        return Held(msgspec.json.decode(body, type=Committed).committed)
    except msgspec.MsgspecError as error:
        return Failed(f"the centre's answer is not understood: {error}")


def refusal_of(status: int, body: bytes) -> Answer:
    """Return the answer of any other status than the good ones."""
    try:
        refusal = msgspec.json.decode(body, type=Refusal)
    except msgspec.MsgspecError:
        refusal = Refusal(f"is the URL that of ipwatch-central? It answered status {status}")
    if status in {401, 403}:
        return Denied(f"the centre refuses this site's token: {refusal.error}")
    if status == 409 and refusal.expected is not None:
        return Gap(refusal.expected)
    if status == 409 and refusal.conflict is not None:
        return Conflict(refusal.error)
    return Failed(f"the centre answered {status}: {refusal.error}")


def entries_of(body: bytes) -> list[ListEntry]:
    """Return the entries of an answer to a poll, one a network, all of source "central".

    Raises ValueError where any is not sound: a set with holes would be a wrong set.
    """
    try:
        held = msgspec.json.decode(body, type=Entries).entries
    except msgspec.MsgspecError as error:
        raise ValueError(f"the centre's lists are not understood: {error}") from error
    if len(held) > MAX_ENTRIES:
        raise ValueError(f"the centre sent {len(held):,} list entries, over {MAX_ENTRIES:,}")
    return list({(entry.list, entry.network): entry for entry in map(_sound, held)}.values())


def _sound(entry: ListEntry) -> ListEntry:
    if entry.list not in LISTS:
        raise ValueError(f"the centre sent an entry for a list {entry.list[:20]!r}")
    words = (entry.reason, entry.author, entry.scope, entry.ticket)
    if any(len(text) > TEXT for text in (*words, entry.network)):
        raise ValueError(f"the centre sent an entry with over {TEXT} characters of text")
    network, _ = canonical(entry.network)
    return msgspec.structs.replace(entry, network=network, source=SOURCE)
