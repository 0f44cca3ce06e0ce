"""An incident as an OCSF Incident Finding (class 2005, schema 1.3.0). Pure.

https://schema.ocsf.io/1.3.0/classes/incident_finding
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.incidents.review.course import FALSE, TRUE
from ipwatchd.records.incident import OPEN_STATES

if TYPE_CHECKING:
    from ipwatchd.records.incident import Incident

__all__ = ["incident_finding"]

_CLASS: Final = 2005
_CREATE, _UPDATE, _CLOSE = 1, 2, 3
_NEW, _ON_HOLD = 1, 3
_STATUS: Final = {
    "NEW": (_NEW, "New"), "TRIAGE": (2, "In Progress"), "CONFIRMED": (2, "In Progress"),
    "CONTAINED": (2, "In Progress"), "RESOLVED": (4, "Resolved"), "REVIEW": (4, "Resolved"),
    "CLOSED": (5, "Closed"), "REJECTED": (5, "Closed"), "MERGED": (5, "Closed"),
}  # fmt: skip
_SEVERITY: Final = {"info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
_PRIORITY: Final = {"P1": 4, "P2": 3, "P3": 2, "P4": 1, "P5": 1}
"""Low 1, medium 2, high 3, critical 4."""
_IMPACT: Final = {1: 3, 2: 2, 3: 1}
"""Ours counts down from 1, theirs up from Low 1."""
_VERDICT: Final = {
    FALSE: (1, "False Positive"), TRUE: (2, "True Positive"), "benign": (5, "Benign"),
}  # fmt: skip
_DUPLICATE: Final = (10, "Duplicate")


def incident_finding(incident: Incident) -> dict[str, Any]:
    """Return the finding as JSON would hold it; times are epoch milliseconds."""
    status, words = _STATUS[incident.state]
    if incident.on_hold and incident.state in OPEN_STATES:
        status, words = _ON_HOLD, "On Hold"
    activity = _CREATE if incident.state == "NEW" else _UPDATE
    if incident.state not in OPEN_STATES:
        activity = _CLOSE
    found: dict[str, Any] = {
        "activity_id": activity, "category_uid": 2, "class_uid": _CLASS,
        "type_uid": _CLASS * 100 + activity, "time": _ms(incident.updated or incident.opened),
        "start_time": _ms(incident.first_seen), "end_time": _ms(incident.last_seen),
        "count": incident.count, "severity_id": _SEVERITY.get(incident.severity, 0),
        "priority_id": _PRIORITY[incident.priority], "priority": incident.priority,
        "status_id": status, "status": words, "desc": incident.title,
        "is_suspected_breach": incident.personal,
        "metadata": {
            "version": "1.3.0", "uid": incident.id, "tenant_uid": incident.site,
            "product": {"name": "ipwatchd", "vendor_name": "ipwatchd"},
        },
        "finding_info_list": [_finding(incident)],
        "unmapped": {
            "site": incident.site, "class": incident.classification, "state": incident.state,
        },
    }  # fmt: skip
    return found | _optional(incident)


def _finding(incident: Incident) -> dict[str, Any]:
    return {
        "uid": incident.id, "title": incident.title, "types": [incident.classification or "other"],
        "created_time": _ms(incident.opened), "first_seen_time": _ms(incident.first_seen),
        "last_seen_time": _ms(incident.last_seen), "analytic": {
            "name": incident.rule, "type_id": 1 if incident.rule != "report" else 99,
            "type": "Rule" if incident.rule != "report" else "Report",
        },
    }  # fmt: skip


def _optional(incident: Incident) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if incident.impact:
        found["impact_id"] = _IMPACT[incident.impact]
    if incident.owner:
        found["assignee"] = {"name": incident.owner}
    if incident.resolution:
        found["comment"] = incident.resolution
    verdict = incident.verdict or (FALSE if incident.state == "REJECTED" else "")
    if incident.state == "MERGED":
        found["verdict_id"], found["verdict"] = _DUPLICATE
    elif verdict in _VERDICT:
        found["verdict_id"], found["verdict"] = _VERDICT[verdict]
    return found


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
