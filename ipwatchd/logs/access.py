"""Access logs → API requests: the common and the combined format of nginx, Apache and their kin."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Final

from ipwatchd.logs.client import client, shown
from ipwatchd.logs.when import stamp
from ipwatchd.records.event import Api

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["TAGS", "from_combined"]

TAGS: Final = frozenset({
    "access", "apache", "apache2", "caddy", "haproxy", "httpd", "lighttpd", "nginx", "squid", "squid-1",
    "traefik",
})  # fmt: skip
"""Programs whose syslog messages may be lines of an access log."""

# A user may hold anything but a bare quote: it ends at the stamp that a request follows. Inside a
# field nginx writes a quote as \x22 and Apache as \", so that neither user nor request can end early.
_COMBINED: Final = re.compile(
    r"([0-9A-Za-z._:-]{1,261}) ((?:\"\"|[^\"\\]|\\.){1,16384}?) "
    r"\[([^\[\]\" ]{1,40}(?: [^\[\]\" ]{1,12}){0,2})\] "
    r"\"((?:[^\"\\]|\\.)*)\" ([0-9]{3}) "
)
_REQUEST: Final = re.compile(r"([A-Z][A-Z-]{1,23}) ")
# Apache writes "" for a user without letters.
_NOBODY: Final = frozenset({"", "-", '""'})


def from_combined(line: str, *, now: float, source: str, zone: tzinfo = UTC) -> Api | None:
    """Return the request of a combined or common log line, with or without the virtual host.

    `zone` is that of a stamp that names none.
    """
    found = _COMBINED.match(line)
    if found is None:
        return None
    first, middle, when, request, status = found.groups()
    vhost, who, user = _parties(first, middle)
    address, port, name = client(who)
    if not address and (not name or middle[:2] != "- "):
        return None
    method = _REQUEST.match(request)
    ts = stamp("clf", when, int(now // 3600), zone)
    return Api(
        ts=now if ts is None else ts,
        orig=address,
        orig_port=port,
        source=source,
        name=shown(vhost.lower()),
        method=method[1] if method else "",
        status=int(status),
        key="" if user in _NOBODY else shown(user),
    )


def _parties(first: str, middle: str) -> tuple[str, str, str]:
    """Return virtual host, client and user of what stands before the stamp.

    The first word is the client, or the virtual host where the second is an address. The word
    behind the client is what identd(8) said of it: never read.
    """
    second, _, rest = middle.partition(" ")
    if rest and second != "-" and client(second)[0]:
        return first, second, rest.partition(" ")[2]
    return "", first, rest
