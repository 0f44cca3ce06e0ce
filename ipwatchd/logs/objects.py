"""JSON objects of logs → logins and API requests, by the shapes of the rules."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ipwatchd.logs.client import client, shown
from ipwatchd.logs.when import epoch
from ipwatchd.records.event import Api, Auth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipwatchd.logs.ruleset import Shape

__all__ = ["Objects"]

Path = tuple[str, ...]
Way = tuple[str, str, Path]
Places = dict[str, dict[str, Any]]
_REQUEST: Final = "request"
_OBJECTS: Final = (dict, list)
_KINDS: Final = 1024
"""Sets of names whose fits are kept: who writes new ones without end only pushes out others."""
_NAMES: Final = 96
"""Most names of a set that is kept, so that objects full of names fill no memory."""
_decode: Final = msgspec.json.Decoder().decode
_NONE: Final = frozenset({"", "-", "::", "0.0.0.0"})  # noqa: S104 - what Windows logs for nobody


class _Fit(NamedTuple):
    """A shape, and where objects with certain names may have each of its facts, best first.

    A way is the name of the object within that holds it, "" the whole, the first name of the path
    there, and the path where it has more.
    """

    shape: Shape
    by: tuple[Way, ...]
    facts: tuple[tuple[str, tuple[Way, ...]], ...]


class Objects:
    """Reads objects by shapes. `fields` are a site's own paths of facts, dots between names."""

    def __init__(self, shapes: Sequence[Shape], fields: Mapping[str, Sequence[str]]) -> None:
        own = {
            fact: tuple(tuple(one.split(".")) for one in paths) for fact, paths in fields.items()
        }
        self._shapes = [(one, _marks(one)) for one in (_widened(shape, own) for shape in shapes)]
        self._inside = frozenset(name for shape in shapes for name in shape.inside)
        self._fits: dict[tuple[str | None, ...], list[_Fit]] = {}

    def read(self, line: str, *, now: float, source: str) -> Auth | Api | None:
        """Return what an object reports by the first shape that fits it, or None."""
        try:
            record = _decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return None
        if not isinstance(record, dict):
            return None
        places: Places = {"": record}
        names: tuple[str | None, ...] = tuple(record)
        for name in self._inside.intersection(record):
            if isinstance(inner := record[name], dict):
                places[name] = inner
                names = (*names, None, name, *inner)
        # Objects of one program have the same names over and over.
        fits = self._fits.get(names)
        for fit in self._fitted(places, names) if fits is None else fits:
            shape = fit.shape
            read = _request if shape.by == _REQUEST else _worded if shape.lines else _login
            event = read(places, fit, now, source)
            if event is not None:
                return event
        return None

    def _fitted(self, places: Places, names: tuple[str | None, ...]) -> list[_Fit]:
        fits = [
            _fit(shape, places) for shape, marks in self._shapes if not marks.isdisjoint(places[""])
        ]
        if len(names) <= _NAMES:
            self._fits[names] = fits
            if len(self._fits) > _KINDS:
                del self._fits[next(iter(self._fits))]
        return fits


def _fit(shape: Shape, places: Places) -> _Fit:
    """Return a shape with those of its paths that begin with a name which is there."""
    inside = [name for name in ("", *shape.inside) if name in places]
    facts = {
        fact: tuple(
            (name, path[0], path[1:] and path) for path in paths for name in inside
            if path[0] in places[name] or ".".join(path) in places[name]
        )
        for fact, paths in shape.facts.items()
    }  # fmt: skip
    return _Fit(shape, facts.get(shape.by, ()), tuple(one for one in facts.items() if one[1]))


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


def _fact(places: Places, ways: tuple[Way, ...]) -> Any:
    """Return the first value of a fact that is neither empty nor an object."""
    for name, first, path in ways:
        place = places[name]
        value = place.get(first)
        if path:
            value = _within(place, value, path)
        if value is not None and value != "" and value.__class__ not in _OBJECTS:
            return value
    return None


def _facts(places: Places, fit: _Fit) -> dict[str, Any]:
    return {fact: _fact(places, ways) for fact, ways in fit.facts}


def _within(place: dict[str, Any], value: object, path: Path) -> object:
    """Return the value at a path, or under a name that is the path in dots (as ECS writes it)."""
    for name in path[1:]:
        if not isinstance(value, dict):
            return place.get(".".join(path))
        value = value.get(name)
    return place.get(".".join(path)) if value is None else value


def _text(value: object) -> str:
    if isinstance(value, str):
        return "" if value in _NONE else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else ""


def _login(places: Places, fit: _Fit, now: float, source: str) -> Auth | None:
    """Return the login of an object whose `by` fact is one of the shape's cases."""
    shape = fit.shape
    case = shape.cases.get(_text(_fact(places, fit.by)))
    if case is None or case.result == "nothing":
        return None
    fact = _facts(places, fit).get
    user = _text(fact("user"))
    if shape.skip_user and user.endswith(shape.skip_user):
        return None
    result = case.result
    if case.good and (status := _text(fact("status")).lower()):
        result = "success" if status == case.good else "failure"
    address, port, host = client(_text(fact("client")))
    ts = epoch(fact("time"))
    own_port = _text(fact("port"))
    return Auth(
        ts=now if ts is None else ts, orig=address, source=source, user=shown(user),
        orig_port=int(own_port) if own_port.isdecimal() and len(own_port) <= 5 else port,
        result=result, service=shape.service,
        method=case.method or shown(_text(fact("method")), 64).lower(),
        host=host or shown(_text(fact("host"))),
    )  # fmt: skip


def _worded(places: Places, fit: _Fit, now: float, source: str) -> Auth | None:
    """Return the login that an object tells of in words."""
    text = _text(_fact(places, fit.by))
    for line in fit.shape.lines:
        facts = line.match(text)
        if facts is not None and line.result in {"success", "failure", "aborted"}:
            fact = _facts(places, fit).get
            address, port, host = client(facts.get("from") or _text(fact("client")))
            ts = epoch(fact("time"))
            return Auth(
                ts=now if ts is None else ts, orig=address, orig_port=port, host=host,
                source=source, user=shown(facts.get("user") or ""), result=line.result,
                service=fit.shape.service, method=line.method or facts.get("method", "").lower(),
            )  # fmt: skip
    return None


def _request(places: Places, fit: _Fit, now: float, source: str) -> Api | None:
    """Return the request of an object that has a method and a status."""
    fact = _facts(places, fit).get
    method, status = fact("method"), _status(fact("status"))
    if not isinstance(method, str) or status < 0:
        return None
    # Of a list of hops the last was written by the nearest proxy, the others by anybody.
    address, port, _ = client(_text(fact("client")).rpartition(",")[2].strip())
    ts = epoch(fact("time"))
    return Api(
        ts=now if ts is None else ts, orig=address, orig_port=port, source=source,
        name=shown(_text(fact("name"))), method=shown(method, 24).upper(), status=status,
        key=_key(_text(fact("key")), _text(fact("secret"))),
    )  # fmt: skip


def _status(value: object) -> int:
    """Return a status code, or -1; 0 is a connection that ended before an answer."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 3 else -1
    if isinstance(value, bool) or not isinstance(value, int):
        return -1
    return value if 0 <= value <= 999 else -1


def _key(known: str, secret: str) -> str:
    """Return who called. A secret is named by its digest: a history must not hold credentials."""
    if known:
        return shown(known)
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()[:16]}" if secret else ""
