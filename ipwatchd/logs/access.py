"""Access logs → API requests: the common and the combined format of nginx, Apache and their kin.

Of Squid's own format only what was refused: what people read through a proxy is no API.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Final

from ipwatchd.logs.client import client, shown
from ipwatchd.logs.when import stamp
from ipwatchd.records.event import Api, Auth

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["COMBINED", "SQUID", "TAGS", "from_combined", "from_squid"]

TAGS: Final = frozenset({
    "access", "apache", "apache2", "caddy", "haproxy", "httpd", "lighttpd", "nginx", "squid",
    "squid-1", "traefik",
})  # fmt: skip
"""Programs whose syslog messages may be lines of an access log."""
COMBINED: Final = '] "'
SQUID: Final = "NONE/- "
"""What each line of the format holds: looked for before a pattern is tried."""

# A user may hold anything but a bare quote: it ends at the stamp that a request follows. In a field
# nginx writes a quote as \x22 and Apache as \", so that neither user nor request can end early.
_COMBINED: Final = re.compile(
    r"([0-9A-Za-z._:-]{1,261}) ((?:\"\"|[^\"\\]|\\.){1,16384}?) "
    r"\[([^\[\]\" ]{1,40}(?: [^\[\]\" ]{1,12}){0,2})\] "
    r"\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)\" ([0-9]{3}) "
)
# Milliseconds stand behind the stamp; a user may have spaces, a URL has none.
_SQUID: Final = re.compile(
    r"([0-9]{9,10}\.[0-9]{3}) {1,8}[0-9]{1,12} ([0-9A-Fa-f.:]{2,45}) "
    r"(?:TCP_DENIED[A-Z_]{0,24}|(?:TAG_|NONE_)?NONE)/(40[0-9]) [0-9]{1,20} [^ ]{1,64} [^ ]+ (.+) "
    r"(?:HIER_)?NONE/- [^ ]+\Z"
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
    if not address and not vhost and (not name or middle[:2] != "- "):
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


def from_squid(line: str, *, source: str) -> Auth | None:
    """Return what Squid's own access log says of a request that it refused."""
    found = _SQUID.match(line)
    if found is None:
        return None
    stamped, who, status, user = found.groups()
    asked = status == "407"
    if asked and user == "-":
        # Every client is asked once before it sends a name.
        return None
    return Auth(
        ts=float(stamped), orig=client(who)[0], source=source,
        user="" if user == "-" else shown(user),
        result="failure" if asked else "aborted", service="proxy",
        method="basic" if asked else "policy",
    )  # fmt: skip


def _parties(first: str, middle: str) -> tuple[str, str, str]:
    """Return virtual host, client and user of what stands before the stamp.

    The first word is the client, or the virtual host where the second is an address and identd's
    "-" follows. Where both are addresses either may be what the client sent as host (lighttpd
    writes that second, a site's own format first): then nobody is the client.
    """
    second, _, rest = middle.partition(" ")
    if not rest.startswith("- ") or not client(second)[0]:
        return "", first, rest
    address, port, _ = client(first)
    return first, "-" if address and not port else second, rest[2:]
