"""Every call of the control API: one table of method, path, role and handler.

`dispatch` is free of transport: the socket's server and the state-folder client both use it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from ipwatchd.control import (
    cases,
    clocks,
    effects,
    exports,
    feeds,
    firewall,
    incidents,
    lists,
    overview,
    paging,
    people,
    privacy,
    records,
    reviews,
    updates,
)
from ipwatchd.control.call import (
    ROLES,
    Call,
    ForbiddenError,
    NotFoundError,
    Peer,
    UnavailableError,
)
from ipwatchd.control.messages import Problem
from ipwatchd.incidents.ask import GuardError
from ipwatchd.sqlite import CorruptStoreError
from ipwatchd.trouble import sentence

if TYPE_CHECKING:
    from ipwatchd.control.house import House

__all__ = ["ROUTES", "Route", "dispatch", "match"]

_LOG: Final = logging.getLogger(__name__)
Handler = Callable[["House", Call], Awaitable[object]]


class Route(NamedTuple):
    """One call: `path` has {names}, `role` is the least that may, `audit` names a look.

    A `polled` look is what a screen asks again and again: the same one is noted now and then.
    """

    method: str
    path: str
    role: str
    handler: Handler
    audit: str = ""
    polled: bool = False


ROUTES: Final = (
    Route("GET", "status", "viewer", overview.status),
    Route("GET", "doctor", "viewer", overview.doctor),
    Route("GET", "throughput", "viewer", overview.throughput),
    Route("GET", "top", "viewer", overview.top, "top", polled=True),
    Route("GET", "zones", "viewer", overview.zones),
    Route("GET", "agents", "viewer", people.agents, "agents", polled=True),
    Route("GET", "audit", "admin", overview.audit, "audit", polled=True),
    Route("GET", "records/{kind}", "viewer", records.records, "records"),
    Route("GET", "flows", "viewer", records.flows, "flows"),
    Route("GET", "events", "viewer", records.events, "events"),
    Route("GET", "addresses/{address}", "viewer", records.address, "show"),
    Route("GET", "audit/verify", "admin", privacy.verify, "audit-verify"),
    Route("GET", "archive-keys", "admin", privacy.keys),
    Route("POST", "archive-keys/{day}/drop", "admin", privacy.drop_key, "drop-key"),
    Route("GET", "subjects/{subject}", "admin", privacy.subject, "subject"),
    Route("POST", "subjects/{subject}/erase", "admin", privacy.erase, "erase"),
    Route("POST", "reveal", "admin", privacy.reveal, "reveal"),
    Route("POST", "backup", "admin", privacy.backup, "backup"),
    Route("POST", "exports", "operator", exports.begin, "export"),
    Route("GET", "exports/{id}", "operator", exports.read),
    Route("DELETE", "exports/{id}", "operator", exports.end, "export-end"),
    Route("GET", "why/{address}", "viewer", lists.why, "why", polled=True),
    Route("GET", "lists/{name}", "viewer", lists.entries, "entries", polled=True),
    Route("POST", "lists/{name}", "operator", lists.add, "add"),
    Route("DELETE", "lists/{name}", "operator", lists.remove, "remove"),
    Route("POST", "lists/{name}/import", "admin", lists.import_entries, "import"),
    Route("GET", "lists/{name}/preview", "viewer", effects.preview, "preview"),
    Route("GET", "lists/{name}/export", "viewer", lists.export, "export"),
    Route("GET", "feeds", "viewer", feeds.listed),
    Route("POST", "feeds/{name}/refresh", "admin", feeds.refresh, "feed-refresh"),
    Route("GET", "firewall", "viewer", firewall.state),
    Route("GET", "firewall/diff", "viewer", firewall.diff),
    Route("POST", "firewall/mode", "admin", firewall.set_mode, "firewall-mode"),
    Route("POST", "firewall/confirm", "admin", firewall.confirm, "firewall-confirm"),
    Route("POST", "firewall/rollback", "admin", firewall.rollback, "firewall-rollback"),
    Route("GET", "policy", "viewer", incidents.policy),
    Route("GET", "incidents", "viewer", incidents.listed, "incidents", polled=True),
    Route("GET", "incidents/verify", "viewer", incidents.verify),
    Route("GET", "trends", "viewer", reviews.looked_back, "trends", polled=True),
    Route("GET", "trends/page", "viewer", reviews.period, "trends", polled=True),
    Route("GET", "trends/export", "operator", reviews.exported, "incident-export"),
    Route("GET", "incidents/{id}/page", "viewer", reviews.case, "incident"),
    Route("GET", "incidents/{id}/update", "operator", updates.drafted, "incident"),
    Route("POST", "incidents/{id}/update", "operator", updates.told, "update"),
    Route("POST", "incidents/{id}/send", "operator", updates.sent, "update-sent"),
    Route("GET", "incidents/{id}", "viewer", incidents.show, "incident"),
    Route("GET", "pages", "viewer", paging.listed, "pages", polled=True),
    Route("GET", "clocks", "viewer", clocks.listed, "clocks", polled=True),
    Route("GET", "regimes", "viewer", clocks.regimes),
    Route("GET", "incidents/{id}/clocks", "viewer", clocks.of_incident, "incident", polled=True),
    Route("GET", "incidents/{id}/notices/{obligation}", "operator", clocks.notice, "notice"),
    Route("GET", "incidents/{id}/responses", "viewer", cases.proposed, "incident", polled=True),
    Route("GET", "incidents/{id}/export", "operator", cases.export, "incident-export"),
    Route("GET", "incidents/{id}/file", "operator", cases.piece, "incident-export"),
    Route("POST", "incidents/{id}/respond", "operator", cases.respond, "respond"),
    Route("POST", "incidents/{id}/undo", "operator", cases.undo, "undo"),
    Route("POST", "incidents/{id}/{action}", "operator", incidents.act, "incident"),
    Route("POST", "reports", "operator", cases.report, "report"),
    Route("POST", "cases", "admin", cases.import_cases, "import"),
)


def match(pattern: str, path: str) -> dict[str, str] | None:
    """Return the {names} of a pattern as they stand in a path, or None where it is another path."""
    wanted, given = pattern.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    names: dict[str, str] = {}
    for want, have in zip(wanted, given, strict=True):
        if want.startswith("{"):
            names[want[1:-1]] = unquote(have)
        elif want != have:
            return None
    return names


_ONLY_READ: Final = (
    "the state folder is only read here, since a daemon holds it or you may not write to it: ask "
    "the daemon (--socket), or run this as the folder's owner"
)


async def dispatch(
    house: House, peer: Peer, method: str, target: str, body: bytes, now: float,
    wall: float | None = None,
) -> tuple[int, bytes]:  # fmt: skip
    """Answer one call: HTTP status and JSON. Every refusal is a `Problem` with a sentence.

    `now` is what `since:1h` counts from, `wall` the time of the call where that is another.
    """
    try:
        answer = await _answer(
            house, peer, method, target, body, now, now if wall is None else wall
        )
    except (ForbiddenError, GuardError, NotFoundError, UnavailableError) as error:
        return _problem(error.status, str(error), error.exit)
    except LookupError as error:
        return _problem(404, str(error), 1)
    except (ValueError, msgspec.MsgspecError) as error:
        return _problem(400, str(error), 2)
    except CorruptStoreError as error:
        return _problem(500, str(error), 1)
    except (OSError, sqlite3.Error) as error:
        _LOG.warning("%s %s: %s", method, target.partition("?")[0][:200], error)
        mend = f"; {_ONLY_READ}" if house.stores.read_only else ""
        return _problem(500, f"can't do that now: {sentence(error)}{mend}", 1)
    return 200, msgspec.json.encode(answer)


def _problem(status: int, text: str, code: int) -> tuple[int, bytes]:
    return status, msgspec.json.encode(Problem(error=text, exit=code))


async def _answer(
    house: House, peer: Peer, method: str, target: str, body: bytes, now: float, wall: float
) -> object:
    url = urlsplit(target)
    path = url.path.removeprefix("/v1/")
    for route in ROUTES:
        names = match(route.path, path) if route.method == method else None
        if names is None:
            continue
        if ROLES.index(peer.role) < ROLES.index(route.role):
            raise ForbiddenError(peer, route.role)
        call = Call(now, peer, names, dict(parse_qsl(url.query)), _decode(body))
        answer = await route.handler(house, call)
        if route.audit:
            try:
                await _note(house, route, call, wall)
            except (OSError, sqlite3.Error) as error:
                raise OSError(_unnoted(method, error)) from error
        return answer
    raise NotFoundError(f"no such call: {method} {url.path}")


def _unnoted(method: str, error: Exception) -> str:
    """Say what became of a call that the audit log could not take."""
    done = "not shown" if method == "GET" else "done all the same"
    return f"the audit log can't be written ({sentence(error)}); it was {done}"


def _decode(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any]) if body else {}
    except RecursionError:
        raise ValueError("the request's JSON is nested too deep: nothing here needs that") from None


async def _note(house: House, route: Route, call: Call, wall: float) -> None:
    """Write the look or the change to the audit log; a read-only folder can't take it."""
    if house.stores.read_only:
        return
    subject = "/".join(call.names.values()) or call.query.get("filter", "")
    subject = call.body.get("network") or call.query.get("network") or subject
    detail = str(call.body.get("reason") or call.query.get("reason") or "")
    action = f"{call.names['name']} {route.audit}" if "name" in call.names else route.audit
    write = house.stores.audit.look if route.polled else house.stores.audit.write
    await write(call.peer.name, action, str(subject)[:500], now=wall, detail=detail[:500])
