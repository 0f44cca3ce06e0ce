"""A case on paper: what its archive consists of, each file with its SHA-256. Pure.

The big files (mails, attachments, evidence) stay where they are and are handed over in pieces, so
that a case of any size can be exported.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ipwatchd.records.incident import Exhibit, Incident, IncidentEvent

__all__ = ["MANIFEST", "SUMS", "Member", "members", "papers", "suffix_of"]

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
"""The same sums as `sha256sum -c` reads them."""


class Member(NamedTuple):
    """A kept file of a case: its name in the archive, where it is kept, its hash and size."""

    name: str
    folder: str
    sha256: str
    suffix: str
    bytes: int = 0


def suffix_of(name: str) -> str:
    """Return what a piece of evidence is kept under after its hash."""
    return f".{name.rpartition('.')[2]}"


def members(exhibits: Sequence[Exhibit], events: Iterable[IncidentEvent]) -> list[Member]:
    """Return the kept files of a case, each under a name of its own."""
    found: dict[str, Member] = {}
    for one in (*_evidence(exhibits), *(each for event in events for each in _reported(event))):
        name = one.name
        if found.get(name, one) != one:
            # two of a second with the same name
            name = f"{name}.{one.sha256[:8]}"
        found[name] = one._replace(name=name)
    return list(found.values())


def _evidence(exhibits: Iterable[Exhibit]) -> Iterator[Member]:
    for one in exhibits:
        name = f"evidence/{one.taken:.0f}-{_safe(one.name)}"
        yield Member(name, "evidence", one.sha256, suffix_of(one.name), one.bytes)


def _reported(event: IncidentEvent) -> Iterator[Member]:
    """Yield the files that came with a report."""
    report: Mapping[str, Any] = event.body.get("report") or {}
    if event.kind not in {"opened", "reported"} or not report:
        return
    stem = f"reports/{_safe(report['id'])}"
    if report.get("original"):
        yield Member(f"{stem}.eml", "reports", report["original"], ".eml")
    for number, one in enumerate(report.get("attachments", ())):
        name = f"{stem}/{number}-{_safe(one['name'])}"
        yield Member(name, "reports", one["sha256"], "", one["bytes"])


def _safe(name: str) -> str:
    """Return a name that stays in its folder and on its line of SHA256SUMS."""
    text = "".join(letter if letter.isprintable() else "_" for letter in name)
    return text.replace("/", "_").replace("\\", "_").lstrip(".") or "unnamed"


def papers(
    incident: Incident, documents: Mapping[str, object], there: Sequence[Member],
    lost: Mapping[str, str], now: float,
) -> dict[str, bytes]:  # fmt: skip
    """Return the small files: documents as JSON, the manifest, its sums.

    `there` are the kept files that still are what they were, `lost` says why others are left out.
    """
    made = {name: msgspec.json.format(msgspec.json.encode(one)) for name, one in documents.items()}
    files = [
        *({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
          for name, data in made.items()),
        *({"name": one.name, "bytes": one.bytes, "sha256": one.sha256} for one in there),
    ]  # fmt: skip
    manifest = {
        "incident": incident.id, "site": incident.site, "exported": now, "files": files,
        "missing": lost,
    }  # fmt: skip
    made[MANIFEST] = msgspec.json.format(msgspec.json.encode(manifest))
    made[SUMS] = "".join(f"{one['sha256']}  {one['name']}\n" for one in files).encode()
    return made
