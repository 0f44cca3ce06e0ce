"""Allow and deny entries: who may pass, kept with their history, compiled for kernel and detectors.

`Lists` is the store. `compile`, `match`, `formats`, `preview` and `why` are pure. Management
networks always pass; then allow beats deny; what no entry names passes.
"""

from __future__ import annotations

from ipwatchd.lists.admit import FullError, LockOutError
from ipwatchd.lists.enter import Imported
from ipwatchd.lists.escalate import ban_seconds
from ipwatchd.lists.feeds import FeedState
from ipwatchd.lists.formats import Import, Item, Problem
from ipwatchd.lists.keeper import FeedKeeper
from ipwatchd.lists.replace import Replaced
from ipwatchd.lists.rows import Edit
from ipwatchd.lists.store import Change, Lists, NoEntryError
from ipwatchd.lists.why import PRECEDENCE, Why

__all__ = [
    "PRECEDENCE",
    "Change",
    "Edit",
    "FeedKeeper",
    "FeedState",
    "FullError",
    "Import",
    "Imported",
    "Item",
    "Lists",
    "LockOutError",
    "NoEntryError",
    "Problem",
    "Replaced",
    "Why",
    "ban_seconds",
]
