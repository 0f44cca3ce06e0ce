"""JSON objects of logs → logins and API requests, by the shapes of the rules."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.logs.client import client, shown
from ipwatchd.logs.when import epoch
from ipwatchd.records.event import Api, Auth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipwatchd.logs.ruleset import Shape

__all__ = ["Objects"]

Path = tuple[str, ...]
_REQUEST: Final = "request"
_NONE: Final = frozenset({"", "-", "::", "0.0.0.0"})  # noqa: S104 - what Windows logs for nobody


class Objects:
    """Reads objects by shapes. `fields` are a site's own paths of facts, dots between names."""

    def __init__(self, shapes: Sequence[Shape], fields: Mapping[str, Sequence[str]]) -> None:
        own = {
            fact: tuple(tuple(one.split(".")) for one in paths) for fact, paths in fields.items()
        }
        self._shapes = [(one, _marks(one)) for one in (_widened(shape, own) for shape in shapes)]

    def read(self, line: str, *, now: float, source: str) -> Auth | Api | None:
        """Return what an object reports by the first shape that fits it, or None."""
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return None
        if not isinstance(record, dict):
            return None
        for shape, names in self._shapes:
            if names.isdisjoint(record):
                continue
            places = [
                record, *(one for name in shape.inside if isinstance(one := record.get(name), dict))
            ]  # fmt: skip
            read = _request if shape.by == _REQUEST else _worded if shape.lines else _login
            event = read(places, shape, now, source)
            if event is not None:
                return event
        return None


def _widened(shape: Shape, own: Mapping[str, tuple[Path, ...]]) -> Shape:
    """Return a shape of requests that looks at a site's own paths first."""
    if shape.by != _REQUEST:
        return shape
    names = {*shape.facts, *own}
    facts = {name: (*own.get(name, ()), *shape.facts.get(name, ())) for name in names}
    return msgspec.structs.replace(shape, facts=facts)


def _marks(shape: Shape) -> frozenset[str]:
    """Return the names that an object of a shape has one of at its top: others are passed over."""
    paths = shape.facts.get("method" if shape.by == _REQUEST else shape.by, ())
    return frozenset(
        {*shape.inside, *(path[0] for path in paths), *(".".join(path) for path in paths)}
    )


def _fact(places: Sequence[dict[str, Any]], shape: Shape, fact: str) -> object:
    """Return the first value of a fact's paths that is neither empty nor an object."""
    for path in shape.facts.get(fact, ()):
        for place in places:
            value = place.get(path[0])
            if len(path) > 1:
                value = _within(place, value, path)
            if value is not None and value != "" and not isinstance(value, (dict, list)):
                return value
    return None


def _within(place: dict[str, Any], value: object, path: Path) -> object:
    """Return the value at a path, or under a name that is the path in dots (as ECS writes it)."""
    for name in path[1:]:
        if not isinstance(value, dict):
            return place.get(".".join(path))
        value = value.get(name)
    return place.get(".".join(path)) if value is None else value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int)):
        return ""
    return "" if value in _NONE else str(value)


def _login(places: Sequence[dict[str, Any]], shape: Shape, now: float, source: str) -> Auth | None:
    """Return the login of an object whose `by` fact is one of the shape's cases."""
    case = shape.cases.get(_text(_fact(places, shape, shape.by)))
    if case is None or case.result == "nothing":
        return None
    user = _text(_fact(places, shape, "user"))
    if shape.skip_user and user.endswith(shape.skip_user):
        return None
    result = case.result
    if case.good and (status := _text(_fact(places, shape, "status")).lower()):
        result = "success" if status == case.good else "failure"
    address, port, host = client(_text(_fact(places, shape, "client")))
    ts = epoch(_fact(places, shape, "time"))
    own_port = _text(_fact(places, shape, "port"))
    return Auth(
        ts=now if ts is None else ts, orig=address, source=source, user=shown(user),
        orig_port=int(own_port) if own_port.isdecimal() and len(own_port) <= 5 else port,
        result=result, service=shape.service,
        method=case.method or shown(_text(_fact(places, shape, "method")), 64).lower(),
        host=host or shown(_text(_fact(places, shape, "host"))),
    )  # fmt: skip


def _worded(places: Sequence[dict[str, Any]], shape: Shape, now: float, source: str) -> Auth | None:
    """Return the login that an object tells of in words."""
    text = _text(_fact(places, shape, shape.by))
    for line in shape.lines:
        facts = line.match(text)
        if facts is not None and line.result in {"success", "failure", "aborted"}:
            who = facts.get("from") or _text(_fact(places, shape, "client"))
            address, port, host = client(who)
            ts = epoch(_fact(places, shape, "time"))
            return Auth(
                ts=now if ts is None else ts, orig=address, orig_port=port, host=host,
                source=source, user=shown(facts.get("user") or ""), result=line.result,
                service=shape.service, method=line.method or facts.get("method", "").lower(),
            )  # fmt: skip
    return None


def _request(places: Sequence[dict[str, Any]], shape: Shape, now: float, source: str) -> Api | None:
    """Return the request of an object that has a method and a status."""
    method = _fact(places, shape, "method")
    status = _status(_fact(places, shape, "status"))
    if not isinstance(method, str) or status < 0:
        return None
    # Of a list of hops the last was written by the nearest proxy, the others by anybody.
    hop = _text(_fact(places, shape, "client")).rpartition(",")[2]
    address, port, _ = client(hop.strip())
    ts = epoch(_fact(places, shape, "time"))
    return Api(
        ts=now if ts is None else ts,
        orig=address,
        orig_port=port,
        source=source,
        name=shown(_text(_fact(places, shape, "name"))),
        method=shown(method, 24).upper(),
        status=status,
        key=_key(places, shape),
    )


def _status(value: object) -> int:
    """Return a status code, or -1; 0 is a connection that ended before an answer."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return -1
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1


def _key(places: Sequence[dict[str, Any]], shape: Shape) -> str:
    """Return who called. A secret is named by its digest: a history must not hold credentials."""
    known = _text(_fact(places, shape, "key"))
    if known:
        return shown(known)
    secret = _text(_fact(places, shape, "secret"))
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()[:16]}" if secret else ""
