"""Access logs → API requests: the combined format of nginx and Apache, and JSON of many makes."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec

from ipwatchd.logs.client import client, shown
from ipwatchd.logs.when import clf, epoch
from ipwatchd.records.event import Api

__all__ = ["FIELDS", "from_combined", "from_json"]

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "client": (
        "client_ip", "remote_ip", "remote_addr", "remoteAddr", "remote_address", "ClientHost",
        "clientip", "clientIp", "client_addr", "source_ip", "src_ip", "ip", "client",
    ),
    "method": ("method", "request_method", "RequestMethod", "http_method", "httpMethod", "verb"),
    "status": (
        "status", "status_code", "statusCode", "DownstreamStatus", "response_status", "http_status",
        "response_code",
    ),
    "name": (
        "host", "http_host", "RequestHost", "vhost", "server_name", "hostname", "authority",
    ),
    "key": (
        "client_id", "clientId", "key_id", "api_key_id", "consumer", "app_id", "user_id",
        "remote_user", "ClientUsername", "user",
    ),
    "secret": ("api_key", "apikey", "apiKey", "x_api_key", "token"),
    "time": (
        "ts", "time", "timestamp", "@timestamp", "StartUTC", "time_iso8601", "time_local", "msec",
        "date", "datetime",
    ),
}  # fmt: skip
"""What a fact is called in JSON logs, best first; looked up at the top and in `request`,
`response`, `req`, `res` and `http`. A header is never taken: the client wrote it."""

_INSIDE: Final = ("request", "response", "req", "res", "http")

# nginx writes a quote as \x22 and Apache as \", so that neither user nor request can end early.
_COMBINED: Final = re.compile(
    r"(?:([A-Za-z0-9._-]{1,255}(?::[0-9]{1,5})?) )?([0-9A-Za-z.:_-]{1,255}) [^ ]{1,255} "
    r"([^\[\]\"]{1,255}?) \[([^\]]{1,64})\] "
    r"\"((?:[^\"\\]|\\.)*)\" ([0-9]{3}) "
)
_REQUEST: Final = re.compile(r"([A-Z][A-Z-]{1,23}) ")


def from_combined(line: str, *, now: float, source: str) -> Api | None:
    """Return the request of a combined or common log line, with or without the virtual host."""
    found = _COMBINED.match(line)
    if found is None:
        return None
    vhost, who, user, stamp, request, status = found.groups()
    address, port, name = client(who)
    if not address and vhost:
        # Two words before the stamp: a client and an identity, no virtual host.
        address, port, name = client(vhost)
        vhost = ""
    if not address and not name:
        return None
    method = _REQUEST.match(request)
    ts = clf(stamp)
    return Api(
        ts=now if ts is None else ts,
        orig=address,
        orig_port=port,
        source=source,
        name=shown((vhost or "").lower()),
        method=method[1] if method else "",
        status=int(status),
        key="" if user == "-" else shown(user),
    )


def from_json(line: str, *, now: float, source: str) -> Api | None:
    """Return the request of a JSON object that has a method and a status."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    if not isinstance(record, dict):
        return None
    places = [record, *(one for name in _INSIDE if isinstance(one := record.get(name), dict))]
    method = _fact(places, "method")
    status = _status(_fact(places, "status"))
    if not isinstance(method, str) or status < 0:
        return None
    # Of a list of hops the last was written by the nearest proxy, the others by anybody.
    hop = _text(_fact(places, "client")).rpartition(",")[2]
    address, port, _ = client(hop.strip())
    ts = epoch(_fact(places, "time"))
    return Api(
        ts=now if ts is None else ts,
        orig=address,
        orig_port=port,
        source=source,
        name=shown(_text(_fact(places, "name"))),
        method=shown(method, 24).upper(),
        status=status,
        key=_key(places),
    )


def _fact(places: list[dict[str, Any]], fact: str) -> object:
    """Return the first value of a fact's names that is neither empty nor an object."""
    for name in FIELDS[fact]:
        for place in places:
            value = place.get(name)
            if value is not None and value != "" and not isinstance(value, (dict, list)):
                return value
    return None


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return "" if value == "-" else str(value)


def _status(value: object) -> int:
    """Return a status code, or -1; 0 is a connection that ended before an answer."""
    text = _text(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1


def _key(places: list[dict[str, Any]]) -> str:
    """Return who called. A secret is named by its digest: a history must not hold credentials."""
    known = _text(_fact(places, "key"))
    if known:
        return shown(known)
    secret = _text(_fact(places, "secret"))
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()[:16]}" if secret else ""
