"""What happened at the child's door, by name."""

from __future__ import annotations

import msgspec

__all__ = ["RichCounters"]


class RichCounters(msgspec.Struct, kw_only=True):
    """Messages and children.

    `given` messages came, `answered` gave events, `malformed` gave none; `over_budget` were more
    than `rich_per_second`, `shed` found the queue full or no child. Children: `started`, `crashed`
    (with the message they were at), `hung` (killed over one message), `garbled` (killed since they
    wrote what is no answer).
    """

    given: int = 0
    answered: int = 0
    malformed: int = 0
    over_budget: int = 0
    shed: int = 0
    started: int = 0
    crashed: int = 0
    hung: int = 0
    garbled: int = 0
