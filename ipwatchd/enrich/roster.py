"""The roster: who works here, when, from where. CSV or TOML → agents, faults named by line."""

from __future__ import annotations

import csv
import io
import tomllib
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ipwatchd.records.agent import Agent

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RosterError", "load_roster", "parse_roster"]

_MOST: Final = 16 << 20
"""Bytes of a roster: some 100,000 agents."""
_LISTS: Final = ("places", "devices")
_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Agent))


class RosterError(ValueError):
    """The roster can't be used; one line for each fault, with its place."""


def load_roster(path: Path) -> dict[str, Agent]:
    """Return agents by name. Raises RosterError, or OSError where the file can't be read."""
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


def parse_roster(text: str, name: str, *, toml: bool) -> dict[str, Agent]:
    """Return agents by name. Raises RosterError with every fault."""
    rows = _toml(text, name) if toml else _csv(text, name)
    agents: dict[str, Agent] = {}
    lines: dict[str, int] = {}
    extensions: dict[str, int] = {}
    faults: list[str] = []
    for line, row in rows:
        here = f"{name}:{line}"
        try:
            agent = _agent(row)
        except ValueError as error:
            faults.append(f"{here}: {error}")
            continue
        key = agent.name.lower()
        if key in lines:
            faults.append(f"{here}: {agent.name} is in line {lines[key]} already: keep one")
        elif agent.extension and agent.extension in extensions:
            other = extensions[agent.extension]
            faults.append(f"{here}: extension {agent.extension} is in line {other} already")
        else:
            agents[agent.name] = agent
        lines.setdefault(key, line)
        extensions.setdefault(agent.extension, line)
    if faults:
        raise RosterError("\n".join(faults))
    return agents


def _agent(row: dict[str, Any]) -> Agent:
    unknown = sorted(str(key) for key in row if key not in _FIELDS)
    if unknown:
        raise ValueError(f"unknown column {unknown[0]}: known are {', '.join(_FIELDS)}")
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
    return agent


def _toml(text: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RosterError(f"{name}: is not TOML: {error}") from None
    rows = tree.get("agent", [])
    if set(tree) - {"agent"} or not isinstance(rows, list):
        raise RosterError(f"{name}: write one [[agent]] table for each agent, nothing else")
    places = [i for i, line in enumerate(text.splitlines(), 1) if line.strip() == "[[agent]]"]
    places += [0] * (len(rows) - len(places))
    return [(line, row) for line, row in zip(places, rows, strict=False) if isinstance(row, dict)]


def _csv(text: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    rows: list[tuple[int, dict[str, Any]]] = []
    try:
        if "name" not in (reader.fieldnames or ()):
            raise RosterError(f"{name}:1: the first line names the columns: {','.join(_FIELDS)}")
        for row in reader:
            line = reader.line_num
            if None in row or None in row.values():
                raise RosterError(f"{name}:{line}: has another number of columns than line 1")
            known: dict[str, Any] = {key: value.strip() for key, value in row.items() if value}
            for key in _LISTS:
                if key in known:
                    known[key] = [one for one in known[key].replace(";", " ").split() if one]
            rows.append((line, known))
    except csv.Error as error:
        raise RosterError(f"{name}:{reader.line_num}: is not CSV: {error}") from None
    return rows
