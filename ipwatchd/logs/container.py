"""What containers' engines put around a line: Docker's json-file driver, Kubernetes' CRI format."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ipwatchd.logs.when import rfc3339

__all__ = ["WRAPPED", "unwrapped"]

WRAPPED: Final = frozenset("{0123456789")
"""What a wrapped line begins with."""
_DOCKER: Final = ('{"log":"', '"stream":"std')
_CRI: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})) "
    r"std(?:out|err) [FP](?::[^ ]{1,32})? "
)


class _Docker(msgspec.Struct):
    log: str
    time: str = ""


def unwrapped(line: str) -> tuple[str, float | None] | None:
    """Return what a container wrote and when its engine read it; None for another line.

    What stands inside can't pass for the wrapping: it is one JSON text, or behind the CRI's head.
    """
    if line.startswith(_DOCKER[0]) and _DOCKER[1] in line:
        try:
            record = msgspec.json.decode(line, type=_Docker)
        except (msgspec.DecodeError, UnicodeError):
            return None
        return record.log, rfc3339(record.time)
    found = _CRI.match(line) if " std" in line[:48] else None
    return (line[found.end() :], rfc3339(found[1])) if found else None
