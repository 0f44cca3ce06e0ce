"""Read the configuration file; name file, line, key, what is wrong and the nearest known key."""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from ipwatchd.config.position import key_lines
from ipwatchd.config.section import Section
from ipwatchd.config.settings import Config, DetectSettings
from ipwatchd.records.finding import RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["DETECTORS", "ConfigError", "Fault", "load", "parse", "parse_detectors"]

_MOST = 1 << 20
"""Bytes of a configuration file; more is not one."""

DETECTORS = "detectors.toml"
"""Name of the file of thresholds, beside the configuration."""

_DAILY = r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]"

Key = tuple[str, ...]
Kind = TypeVar("Kind", bound=Section)


class Fault(NamedTuple):
    """One thing that is wrong: the key's path, the sentence, the line (0: none)."""

    key: Key
    text: str
    line: int = 0


class ConfigError(ValueError):
    """The file can't be used. `faults` has all that is wrong, the text one line for each."""

    def __init__(self, name: str, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(_sentence(name, fault) for fault in faults))


def _sentence(name: str, fault: Fault) -> str:
    place = f"{name}:{fault.line}" if fault.line else name
    key = ".".join(fault.key)
    return f"{place}: {key}: {fault.text}" if key else f"{place}: {fault.text}"


def load(path: Path) -> Config:
    """Read and check a file, and DETECTORS beside it where there is one.

    Raises ConfigError, or OSError where one can't be read.
    """
    config = parse(_text(path), str(path))
    beside = path.with_name(DETECTORS)
    if not beside.is_file():
        return config
    detect = parse_detectors(_text(beside), str(beside))
    if config.detect != DetectSettings():
        fault = Fault(("detect",), f"thresholds stand in {beside} too: keep them in one place")
        raise ConfigError(str(path), [fault])
    return msgspec.structs.replace(config, detect=detect)


def parse_detectors(text: str, name: str) -> DetectSettings:
    """Check the text of a detectors file. Raises ConfigError."""
    return _parsed(DetectSettings, text, name, _check_detectors)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise ConfigError(str(path), [Fault((), f"has over {_MOST} bytes: is it the right file?")])
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(str(path), [Fault((), "is not UTF-8 text", line)]) from None


def parse(text: str, name: str) -> Config:
    """Check the text of a file; `name` stands in the messages. Raises ConfigError."""
    return _parsed(Config, text, name, _check_meaning)


def _parsed(
    kind: type[Kind], text: str, name: str, check: Callable[[Kind], Iterator[Fault]]
) -> Kind:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(name, [_syntax(str(error))]) from None
    faults = list(_check_table(kind, tree, ()))
    if not faults:
        config = msgspec.convert(tree, kind)
        faults = list(check(config))
        if not faults:
            return config
    lines = key_lines(text)
    raise ConfigError(name, [fault._replace(line=_line(lines, fault.key)) for fault in faults])


def _syntax(message: str) -> Fault:
    place = re.search(r"\(at line (\d+), column (\d+)\)", message)
    text = message.partition(" (at ")[0]
    if place is None:
        return Fault((), f"is not TOML: {message}")
    return Fault((), f"is not TOML: {text} in column {place[2]}", int(place[1]))


def _line(lines: dict[Key, int], key: Key) -> int:
    """Return the line of a key, or of the nearest table round it."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 0)


def _check_table(kind: type[Section], table: dict[str, Any], path: Key) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, value in table.items():
        here = (*path, name)
        field = fields.get(name)
        if field is None:
            yield Fault(here, _unknown("key" if path else "table", name, list(fields)))
        elif isinstance(field.type, type) and issubclass(field.type, Section):
            if isinstance(value, dict):
                yield from _check_table(field.type, value, here)
            else:
                yield Fault(here, f"is a table: write [{'.'.join(here)}] and its keys below it")
        else:
            yield from _check_value(field.type, value, here)


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    if near:
        return f"unknown {what}; did you mean {near[0]}?"
    return f"unknown {what}; known here: {', '.join(sorted(known))}"


def _check_value(kind: Any, value: Any, here: Key) -> Iterator[Fault]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        yield Fault(here, _expected(str(error), value))


def _expected(message: str, value: object) -> str:
    """Say what msgspec found in words for the person who wrote the file."""
    choice = re.search(r"matching regex '\^\(([a-z|]+)\)\$'", message)
    if choice and isinstance(value, str):
        options = choice[1].split("|")
        near = difflib.get_close_matches(value, options, 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{value!r} is none of {', '.join(options)}{hint}"
    message = re.sub(r" - at `\$(.*)`$", lambda m: f" (at {m[1]})" if m[1] else "", message)
    for code, word in (("array", "a list [ ]"), ("str", "text in quotes"), ("int", "a number")):
        message = message.replace(f"`{code}`", word)
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
    return f"{shown}: {message[0].lower()}{message[1:]}"


def _check_meaning(config: Config) -> Iterator[Fault]:
    """Yield what types can't say: networks that are none, a URL that is none."""
    seen: dict[str, str] = {}
    for zone, networks in config.zones.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]*(:[a-z0-9_-]+)?", zone):
            yield Fault(("zones", zone), "a zone's name is like agents, servers or partner:acme")
        for network in networks:
            yield from _check_network(network, ("zones", zone))
            if seen.setdefault(network, zone) != zone:
                yield Fault(("zones", zone), f"{network} is in zone {seen[network]} already")
    for network in config.firewall.management:
        yield from _check_network(network, ("firewall", "management"))
    yield from _check_url(config.uplink.url)
    if len(set(config.capture.interfaces)) != len(config.capture.interfaces):
        yield Fault(
            ("capture", "interfaces"), "names an interface twice: its packets would count twice"
        )
    yield from _check_rules(config.incidents.auto_deny, ("incidents", "auto_deny"))
    for fault in _check_detectors(config.detect):
        yield fault._replace(key=("detect", *fault.key))
    if config.firewall.table in {"filter", "nat", "mangle", "raw"}:
        yield Fault(("firewall", "table"), "is a name that other firewalls use: choose your own")


def _check_detectors(detect: DetectSettings) -> Iterator[Fault]:
    """Yield what is wrong with what detectors expect and allow."""
    for one in detect.expected:
        yield from _check_rules(one.rules, ("expected",))
        for network in one.networks:
            yield from _check_network(network, ("expected",))
        for moment in (one.since, one.until):
            if moment and not _is_moment(moment):
                yield Fault(("expected",), f"{moment!r} is no time: write 2026-05-01T08:00:00Z")
        if one.daily and not re.fullmatch(_DAILY, one.daily):
            yield Fault(("expected",), f"{one.daily!r} are no hours: write 22:00-04:00 (UTC)")
    for address in (*detect.bypass.resolvers, *detect.lan_spoofing.gateways):
        if "/" in address:
            yield Fault((), f"{address!r} is a network: write one address")
        else:
            yield from _check_network(address, ("bypass", "resolvers"))
    for network in detect.bypass.allowed:
        yield from _check_network(network, ("bypass", "allowed"))


def _check_rules(rules: Iterable[str], here: Key) -> Iterator[Fault]:
    for rule in rules:
        if rule not in RULES:
            yield Fault(here, _unknown("rule", rule, list(RULES)))


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _check_network(text: str, here: Key) -> Iterator[Fault]:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        mend = ""
        if "host bits" in str(error):
            mend = f"; did you mean {ipaddress.ip_network(text, strict=False)}?"
        yield Fault(
            here, f"{text!r} is no network{mend or ': write 10.20.0.0/16 or 2001:db8::/32'}"
        )


def _check_url(url: str) -> Iterator[Fault]:
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield Fault(
            ("uplink", "url"), f"{url!r} is no address of a centre: write https://HOST:8470"
        )
