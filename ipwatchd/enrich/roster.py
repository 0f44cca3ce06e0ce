"""The roster: who works here, when, from where. CSV or TOML → agents, faults named by line.

Rows with a fault are left out and named, the others count: one slip of the pen must not put a whole
site out of its shifts. A file that can't be read at all raises.
"""

from __future__ import annotations

import csv
import io
import tomllib
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ipwatchd.records.agent import Agent
from ipwatchd.records.mac import plain_mac
from ipwatchd.records.shift import within_shift

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Roster", "RosterError", "load_roster", "parse_roster"]

_MOST: Final = 16 << 20
"""Bytes of a roster: some 100,000 agents."""
_LISTS: Final = ("places", "devices")
_SHOWN: Final = 3
"""Faults that one sentence names; `ipwatchd check` names all."""
_OTHER: Final = "has another number of columns than line 1: quote what holds a comma"
_Row = tuple[int, dict[str, Any], str]
"""Line, what it says, and what is wrong with it as a line."""
_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Agent))


class RosterError(ValueError):
    """The roster can't be used at all; the message says why and where."""


class Roster(NamedTuple):
    """Agents by name, what is wrong with other rows, and whose rows those are (lower case)."""

    agents: dict[str, Agent]
    faults: tuple[str, ...] = ()
    unsure: frozenset[str] = frozenset()

    def over(self, last: Mapping[str, Agent]) -> dict[str, Agent]:
        """Return the agents, of rows with a fault as they were in the last roster."""
        kept = {name: one for name, one in last.items() if name.lower() in self.unsure}
        return kept | self.agents

    def sentence(self) -> str:
        """Return what is wrong in one sentence, "" where nothing is."""
        if not self.faults:
            return ""
        more = len(self.faults) - _SHOWN
        rest = f"; and {more:,} more: `ipwatchd check` names them" if more > 0 else ""
        return f"{'; '.join(self.faults[:_SHOWN])}{rest}; all other rows count"


def load_roster(path: Path) -> Roster:
    """Return what a file says. Raises RosterError, or OSError where the file can't be read."""
    with path.open("rb") as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise RosterError(f"{path} has over {_MOST:,} bytes: is it the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RosterError(f"{path}:{line}: is not UTF-8 text: save it as such") from None
    return parse_roster(text, str(path), toml=path.suffix == ".toml")


def parse_roster(text: str, name: str, *, toml: bool) -> Roster:
    """Return the agents and the faults of a text. Raises RosterError where no row can be used.

    Of two rows of one name the first counts; an extension of two agents is nobody's.
    """
    rows = _toml(text, name) if toml else _csv(text, name)
    agents: dict[str, Agent] = {}
    lines: dict[str, int] = {}
    faults: list[tuple[int, str]] = []
    unsure: set[str] = set()
    for line, row, wrong in rows:
        key = str(row.get("name", "")).strip().lower()
        try:
            agent = _agent(row, wrong)
        except ValueError as error:
            faults.append((line, str(error)))
            unsure.add(key)
            continue
        if key in lines:
            faults.append((line, f"{agent.name} is in line {lines[key]} already: keep one"))
            continue
        lines[key] = line
        agents[agent.name] = agent
    faults += _shared(agents, lines)
    told = tuple(f"{name}:{line}: {fault}" for line, fault in sorted(faults))
    if told and not agents:
        raise RosterError("\n".join(told))
    return Roster(agents, told, frozenset(unsure - set(lines)))


def _shared(agents: dict[str, Agent], lines: Mapping[str, int]) -> list[tuple[int, str]]:
    """Take extensions of two agents away from both; return the faults."""
    owners: dict[str, list[Agent]] = {}
    for agent in agents.values():
        if agent.extension:
            owners.setdefault(agent.extension, []).append(agent)
    faults: list[tuple[int, str]] = []
    for extension, several in owners.items():
        for agent in several if len(several) > 1 else ():
            agents[agent.name] = msgspec.structs.replace(agent, extension="")
        first, *others = (lines[agent.name.lower()] for agent in several)
        why = f"extension {extension} is in line {first} already: it counts for neither"
        faults += [(line, f"{why}, give each their own") for line in others]
    return faults


def _known(columns: Iterable[str], place: str) -> None:
    """Refuse a column that means nothing. Raises RosterError."""
    unknown = sorted(str(key) for key in columns if key not in _FIELDS)
    if unknown:
        where = f"{place}: " if place else ""
        known = ", ".join(_FIELDS)
        raise RosterError(f"{where}unknown column {unknown[0]!r}: known are {known}")


def _agent(row: dict[str, Any], wrong: str) -> Agent:
    """Return the agent of a row. Raises ValueError: what is wrong and the mend."""
    if wrong:
        raise ValueError(wrong)
    _known(row, "")
    try:
        agent = msgspec.convert(row, Agent)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if not agent.name.strip() or not agent.name.isprintable() or len(agent.name) > 64:
        raise ValueError("name is empty, too long or not printable: write the user's login name")
    try:
        ZoneInfo(agent.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"time_zone {agent.time_zone!r} is none: write for example Asia/Manila"
        ) from None
    if agent.shift:
        within_shift(agent.shift, agent.time_zone, 0.0, 0.0)
    return msgspec.structs.replace(agent, devices=tuple(map(plain_mac, agent.devices)))


def _toml(text: str, name: str) -> list[_Row]:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RosterError(f"{name}: is not TOML: {error}") from None
    rows = tree.get("agent", [])
    if set(tree) - {"agent"} or not isinstance(rows, list):
        raise RosterError(f"{name}: write one [[agent]] table for each agent, nothing else")
    places = [i for i, line in enumerate(text.splitlines(), 1) if line.strip() == "[[agent]]"]
    places += [0] * (len(rows) - len(places))
    return [
        (line, row, "") for line, row in zip(places, rows, strict=False) if isinstance(row, dict)
    ]


def _csv(text: str, name: str) -> list[_Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    rows: list[_Row] = []
    try:
        if "name" not in (reader.fieldnames or ()):
            raise RosterError(f"{name}:1: the first line names the columns: {','.join(_FIELDS)}")
        _known(reader.fieldnames or (), f"{name}:1")
        for row in reader:
            line = reader.line_num
            if None in row or None in row.values():
                rows.append((line, {"name": row["name"]}, _OTHER))
                continue
            known: dict[str, Any] = {key: value.strip() for key, value in row.items() if value}
            for key in _LISTS:
                if key in known:
                    known[key] = [one for one in known[key].replace(";", " ").split() if one]
            rows.append((line, known, ""))
    except csv.Error as error:
        raise RosterError(f"{name}:{reader.line_num}: is not CSV: {error}") from None
    return rows
