"""What of a configuration a running agent takes when the file is read again; pure.

The rest waits for a restart and is named: a setting that silently does nothing is the worse answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipwatchd.config import Config

__all__ = ["taken"]

_AT_START: Final[Mapping[str, tuple[str, ...]]] = {
    "site": (), "capture": (), "uplink": (), "control": (), "history": (), "intake": (),
    "firewall": ("table", "log_group", "log_per_second", "kill_connections", "watch"),
    "incidents": (
        "reopen_seconds", "headers_seconds", "policy", "country", "time_zone", "laws", "contact",
    ),
    "escalation": ("listen",),
}  # fmt: skip
"""Section → its settings that are read at the start alone; none named: all of them."""


def taken(running: Config, fresh: Config) -> tuple[Config, list[str]]:
    """Return the configuration to take, and what of `fresh` waits for a restart, by name."""
    waits, kept = [], {}
    for section, names in _AT_START.items():
        old, new = getattr(running, section), getattr(fresh, section)
        if not names and old != new:
            kept[section] = old
            waits.append(f"[{section}]")
        changed = {name: getattr(old, name) for name in names
                   if getattr(old, name) != getattr(new, name)}  # fmt: skip
        if changed:
            kept[section] = msgspec.structs.replace(new, **changed)
            waits.append(f"[{section}] {', '.join(changed)}")
    return msgspec.structs.replace(fresh, **kept), waits
