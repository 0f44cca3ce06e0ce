"""Incidents for other systems: OCSF's Incident Finding, STIX 2.1 bundles."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipwatchd.incidents.review.ocsf import incident_finding
from ipwatchd.incidents.review.stix import MARKINGS, bundle
from ipwatchd.records.incident import PRIORITIES, STATES
from tests.incidents.review.test_course import incident

ID = re.compile(r"[a-z0-9-]+--[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@given(st.sampled_from(STATES), st.sampled_from(PRIORITIES), st.integers(0, 3), st.booleans())
def test_each_state_is_a_finding_of_the_class(
    state: str, priority: str, impact: int, held: bool
) -> None:
    """Required attributes are there, and numbers are those of the schema."""
    found = incident_finding(
        incident(state=state, priority=priority, impact=impact, on_hold="waits" if held else "")
    )
    assert (found["class_uid"], found["category_uid"]) == (2005, 2)
    assert found["type_uid"] == 200500 + found["activity_id"]
    assert found["activity_id"] in {1, 2, 3}
    assert found["status_id"] in {1, 2, 3, 4, 5}
    assert found["severity_id"] == 4
    assert found["priority_id"] in {1, 2, 3, 4}
    assert found["time"] == found["time"] // 1
    (info,) = found["finding_info_list"]
    assert {"uid", "title"} <= set(info)
    if held and state in {"NEW", "TRIAGE"}:
        assert found["status"] == "On Hold"


def test_verdicts_are_those_of_the_schema() -> None:
    """What was rejected is a false positive, what was merged a duplicate."""
    assert incident_finding(incident(state="REJECTED"))["verdict_id"] == 1
    assert incident_finding(incident(state="MERGED"))["verdict_id"] == 10
    for number, word in ((1, "false-positive"), (2, "true-positive"), (5, "benign")):
        assert incident_finding(incident(state="CLOSED", verdict=word))["verdict_id"] == number
    assert "verdict_id" not in incident_finding(incident(state="NEW"))


def test_a_bundle_has_what_the_standard_asks_for() -> None:
    """Ids are of the right form, times have milliseconds, every reference is in the bundle."""
    made = bundle([incident(), incident(id="MNL-2", subject="2001:db8::/48")], "TLP:GREEN")
    objects = made["objects"]
    known = {one["id"] for one in objects}
    mark = f"marking-definition--{MARKINGS['TLP:GREEN']}"
    for one in objects:
        assert ID.fullmatch(one["id"]) or one["id"] == mark
        assert one["spec_version"] == "2.1"
        references = [v for k, v in one.items() if k.endswith("_ref")]
        references += [v for k, vs in one.items() if k.endswith("_refs") for v in vs]
        assert set(references) <= known
        for name in ("created", "modified", "first_observed", "last_observed"):
            assert name not in one or TIME.fullmatch(one[name])
        assert one["id"] == mark or one["object_marking_refs"] == [mark]
    assert [one["value"] for one in objects if "value" in one] == ["203.0.113.7", "2001:db8::/48"]


def test_the_same_incident_has_the_same_ids() -> None:
    """A second export says the same of the same, so that a receiver sees no second incident."""
    assert bundle([incident()]) == bundle([incident()])
    # The id that the standard's own rule gives this address (stix2 2.1, observed value).
    first = next(one for one in bundle([incident()])["objects"] if one["type"] == "ipv4-addr")
    assert first["id"] == "ipv4-addr--9ddd739e-87b1-587d-83f2-62ef1130af2f"


def test_a_subject_that_is_no_address_is_no_observable() -> None:
    """A login or a MAC stays in the name; nothing is invented for it."""
    kinds = {one["type"] for one in bundle([incident(subject="maria")])["objects"]}
    assert kinds == {"marking-definition", "identity", "incident"}


def test_an_unknown_marking_is_refused() -> None:
    """TLP 2.0 has five markings, and WHITE is none of them."""
    with pytest.raises(ValueError, match="no marking of TLP"):
        bundle([], "TLP:WHITE")
