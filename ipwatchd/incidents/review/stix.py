"""Incidents as a STIX 2.1 bundle under a TLP 2.0 marking. Pure.

https://docs.oasis-open.org/cti/stix/v2.1; the markings are those of OASIS's common object
repository (extension definition 60a3c5c5-…). Ids are UUID 5 of what they name: the same incident
has the same id in every export.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.records.incident import Incident

__all__ = ["MARKINGS", "bundle"]

MARKINGS: Final = {
    "TLP:CLEAR": "94868c89-83c2-464b-929b-a1a8aa3c8487",
    "TLP:GREEN": "bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "TLP:AMBER": "55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "TLP:AMBER+STRICT": "939a9414-2ddd-4d32-a0cd-375ea402b003",
    "TLP:RED": "e828b379-4e03-4974-9ac4-e53a884c97c1",
}
"""TLP 2.0 marking → its marking definition."""
_TLP: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
_OURS: Final = uuid.UUID("6f0f1a3e-63f4-5a0e-9a53-3c4b9fd1a2b7")
_OBSERVABLES: Final = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""The namespace of observables' ids (STIX 2.1, 2.9)."""
_MOST: Final = 999_999_999
"""The greatest `number_observed` that the standard allows."""


def bundle(incidents: Iterable[Incident], marking: str = "TLP:AMBER") -> dict[str, Any]:
    """Return a bundle; ValueError for a marking that TLP 2.0 does not know."""
    if marking not in MARKINGS:
        raise ValueError(f"{marking!r} is no marking of TLP 2.0: {', '.join(MARKINGS)}")
    mark = f"marking-definition--{MARKINGS[marking]}"
    objects = {mark: _marking(marking, mark)}
    for incident in incidents:
        for one in _objects(incident):
            objects.setdefault(one["id"], one if one["id"] == mark else _marked(one, mark))
    identity = uuid.uuid5(_OURS, "".join(sorted(objects)))
    return {"type": "bundle", "id": f"bundle--{identity}", "objects": list(objects.values())}


def _marked(one: dict[str, Any], mark: str) -> dict[str, Any]:
    return {**one, "object_marking_refs": [mark]}


def _marking(marking: str, mark: str) -> dict[str, Any]:
    level = marking.removeprefix("TLP:").lower()
    return {
        "type": "marking-definition", "spec_version": "2.1", "id": mark,
        "created": "2022-10-01T00:00:00.000Z", "name": marking,
        "extensions": {_TLP: {"extension_type": "property-extension", "tlp_2_0": level}},
    }  # fmt: skip


def _objects(incident: Incident) -> Iterable[dict[str, Any]]:
    site = {
        **_common("identity", incident.site, incident.first_seen, incident.first_seen),
        "name": incident.site, "identity_class": "organization",
    }  # fmt: skip
    # An identity is the same whenever it is named.
    site["created"] = site["modified"] = _time(0.0)
    case = {
        **_common("incident", incident.id, incident.opened, incident.updated or incident.opened),
        "name": f"{incident.id}: {incident.title}"[:500], "created_by_ref": site["id"],
        "labels": [one for one in (incident.classification, incident.priority) if one],
        "description": incident.resolution or incident.title,
    }  # fmt: skip
    yield site
    yield case
    seen = _observable(incident.subject)
    if seen:
        observed = {
            **_common("observed-data", incident.id, incident.opened, incident.opened),
            "created_by_ref": site["id"], "first_observed": _time(incident.first_seen),
            "last_observed": _time(max(incident.last_seen, incident.first_seen)),
            "number_observed": min(max(incident.count, 1), _MOST), "object_refs": [seen["id"]],
        }  # fmt: skip
        yield seen
        yield observed
        yield {
            **_common("relationship", incident.id, incident.opened, incident.opened),
            "relationship_type": "related-to", "source_ref": observed["id"],
            "target_ref": case["id"], "created_by_ref": site["id"],
        }  # fmt: skip


def _common(kind: str, name: str, created: float, modified: float) -> dict[str, Any]:
    return {
        "type": kind, "spec_version": "2.1", "id": f"{kind}--{uuid.uuid5(_OURS, f'{kind}|{name}')}",
        "created": _time(created), "modified": _time(max(modified, created)),
    }  # fmt: skip


def _observable(subject: str) -> dict[str, Any] | None:
    """Return the subject as an observable: an address or a network; None for anything else."""
    try:
        network = ipaddress.ip_network(subject.partition("%")[0], strict=False)
    except ValueError:
        return None
    single = network.prefixlen == network.max_prefixlen
    value = str(network.network_address) if single else str(network)
    kind = f"ipv{network.version}-addr"
    identity = uuid.uuid5(_OBSERVABLES, f'{{"value":"{value}"}}')
    return {"type": kind, "spec_version": "2.1", "id": f"{kind}--{identity}", "value": value}


def _time(seconds: float) -> str:
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"
