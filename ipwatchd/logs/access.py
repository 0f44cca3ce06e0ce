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

__all__ = ["from_combined"]

# nginx writes a quote as \x22 and Apache as \", so that neither user nor request can end early.
_COMBINED: Final = re.compile(
    r"(?:([A-Za-z0-9._-]{1,255}(?::[0-9]{1,5})?) )?([0-9A-Za-z.:_-]{1,255}) [^ ]{1,255} "
    r"([^\[\]\"]{1,255}?) \[([^\]]{1,64})\] "
    r"\"((?:[^\"\\]|\\.)*)\" ([0-9]{3}) "
)
_REQUEST: Final = re.compile(r"([A-Z][A-Z-]{1,23}) ")


def from_combined(line: str, *, now: float, source: str, zone: tzinfo = UTC) -> Api | None:
    """Return the request of a combined or common log line, with or without the virtual host.

    `zone` is that of a stamp that names none.
    """
    found = _COMBINED.match(line)
    if found is None:
        return None
    vhost, who, user, when, request, status = found.groups()
    address, port, name = client(who)
    if not address and vhost:
        # Two words before the stamp: a client and an identity, no virtual host.
        address, port, name = client(vhost)
        vhost = ""
    if not address and not name:
        return None
    method = _REQUEST.match(request)
    ts = stamp("clf", when, int(now // 3600), zone)
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
