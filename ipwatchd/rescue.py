"""The rules of a site whose daemon can't start: a full disk, a damaged history.

A gateway that comes up without its deny list because a database can't be written is the worse of
two evils. So before the daemon ends with its error, what lists.db holds goes down to the kernel,
where it stays; whoever restarts the daemon (systemd) tries again until there is room. The lists
are read from a copy in memory: SQLite can't open a write-ahead log where nothing can be written.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipwatchd.enforcement import decide, policy_of, read_choice
from ipwatchd.enrich import Enricher
from ipwatchd.firewall import Firewall
from ipwatchd.lists import Lists
from ipwatchd.lists.compile import merge, network_ranges
from ipwatchd.services import services

if TYPE_CHECKING:
    from ipwatchd.config import Config
    from ipwatchd.enforcement import Choice
    from ipwatchd.records.policy import Policy

__all__ = ["hold_rules"]

_MEMORY: Final = "/dev/shm"  # noqa: S108 (a folder of our own is made in it, mode 0700)


async def hold_rules(config: Config, state_dir: Path, now: float) -> str:
    """Put the stored lists into the kernel where none of our rules are; return what was done.

    "" where there is nothing to do: no lists, mode off, or rules that stand already. Raises OSError
    where lists or kernel refuse.
    """
    choice = decide(read_choice(state_dir), config.firewall.mode, now)
    if _is_off(choice) or not (state_dir / "lists.db").exists():
        return ""
    with Firewall(config.firewall) as firewall:
        if firewall.status().present:
            return ""
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            for name in ("lists.db", "lists.db-wal"):
                if (state_dir / name).exists():
                    shutil.copyfile(state_dir / name, Path(folder, name))
            policy = await _policy(config, Path(folder), state_dir / "geo", choice, now)
        firewall.put(policy, now)
        denied = firewall.status().deny
    return f"the {denied} entries denied stand in the kernel all the same ({policy.mode})"


def _is_off(choice: Choice) -> bool:
    """Tell whether there shall be no rules; off that nobody has confirmed yet is but a pause."""
    return choice.mode == "off" and not (choice.confirm_by and choice.previous == "enforce")


async def _policy(config: Config, folder: Path, geo: Path, choice: Choice, now: float) -> Policy:
    management = config.firewall.management
    lists = await Lists.open(folder, management=management)
    try:
        lists.serve(services(config))
        await _bind(lists, config, geo)
        return policy_of(choice, lists, management, now)
    finally:
        await lists.close()


async def _bind(lists: Lists, config: Config, geo: Path) -> None:
    """Bind countries and operators; names and agents move, and history knows where to."""
    fixed = [one for one in lists.selectors() if one.startswith(("country:", "asn:"))]
    if not fixed:
        return
    enricher = Enricher(config.named_zones(), config.geo, geo)
    found = {}
    for selector in fixed:
        key, _, word = selector.partition(":")
        found[selector] = merge(network_ranges(enricher.networks(key, word)))
    await lists.bind(found)
