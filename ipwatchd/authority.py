"""Whether an agent may be where they were: by the roster, at whoever asks for agent records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ipwatchd.enrich.roster import load_roster
from ipwatchd.records.agent import is_among

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.records.agent import Agent
    from ipwatchd.records.place import Place

__all__ = ["Authority"]


class Authority:
    """Answers yes, no, or "" where there is no roster; a changed file is read again."""

    def __init__(self, roster: str, locate: Callable[[str], Place | None]) -> None:
        self._path = Path(roster) if roster else None
        self._locate = locate
        self._stamp = -1
        self._agents: dict[str, Agent] = {}
        self._unsure: frozenset[str] = frozenset()
        """Whose row has a fault: nothing is said of them."""

    def __call__(self, agent: str, address: str, devices: Sequence[str]) -> str:
        """Tell whether an agent may work at an address, with a device known by these names."""
        if self._path is None:
            return ""
        self._refresh(self._path)
        # maria, maria@ACME.EXAMPLE and ACME\\maria are one person.
        name = agent.rpartition("\\")[2].partition("@")[0].lower()
        known = self._agents.get(name)
        if known is None:
            return "" if name in self._unsure else "no"
        named = {device.lower() for device in devices if device}
        strange = named and known.devices and not named & {one.lower() for one in known.devices}
        return "no" if strange or not self._allowed(known.places, address) else "yes"

    def _refresh(self, path: Path) -> None:
        """Read the roster where it changed; what of it can't be used stays as it last was."""
        try:
            stamp = path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._stamp = stamp
                told = load_roster(path)
                agents, self._unsure = told.over(self._agents), told.unsure
                self._agents = {name.lower(): one for name, one in agents.items()}
                self._agents |= {one.extension: one for one in agents.values() if one.extension}
        except (OSError, ValueError):
            return

    def _allowed(self, places: Sequence[str], address: str) -> bool:
        return not places or is_among(places, address, self._locate(address))
