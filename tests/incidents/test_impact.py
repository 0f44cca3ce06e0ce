"""Priority follows from facts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.incidents.impact import parse_assessment
from ipwatchd.incidents.policy import load_policy, shipped

ASSESSMENT = load_policy().assessment
FILE = shipped() / "taxonomy" / "impact.toml"
HARMLESS = {
    "confidentiality": "no", "integrity": "no", "availability": "no", "data": "none",
    "malicious": "no", "ongoing": "no", "spread": "one",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected", "personal"),
    [({}, "P5", False),
     ({"confidentiality": "yes", "data": "health", "ongoing": "yes", "malicious": "yes"}, "P1",
      True),
     ({"confidentiality": "possible", "data": "contact"}, "P3", True),
     ({"confidentiality": "possible", "data": "contact", "subjects": "1-5000"}, "P2", True),
     ({"availability": "down", "critical_service": "yes", "ongoing": "yes"}, "P1", False),
     ({"availability": "down", "critical_service": "yes"}, "P3", False),
     ({"malicious": "yes", "ongoing": "yes", "spread": "many"}, "P3", False),
     ({"privileged": "yes", "malicious": "yes", "ongoing": "unknown"}, "P2", False),
     ({"data": "customer"}, "P5", True)],
)  # fmt: skip
def test_facts_make_the_priority(changes: dict[str, str], expected: str, personal: bool) -> None:
    """Cases of a call centre and what they come to."""
    derived = ASSESSMENT.derive(ASSESSMENT.answers(HARMLESS | changes))
    assert (derived.priority, derived.personal) == (expected, personal)
    assert all(derived.because)
    assert derived.priority == f"P{derived.impact + derived.urgency - 1}"


def answers_of() -> st.SearchStrategy[dict[str, Any]]:
    """Any answers, in the order no → worse of the file."""
    parts: dict[str, st.SearchStrategy[Any]] = {}
    for one in ASSESSMENT.questions:
        ids = [choice.id for choice in one.choices]
        if one.kind == "choice":
            parts[one.id] = st.sampled_from(ids)
        elif one.kind == "choices":
            parts[one.id] = st.lists(st.sampled_from(ids), min_size=1, unique=True)
        elif one.kind == "range":
            parts[one.id] = st.integers(0, 10_000).map(lambda n: {"min": 0, "max": n})
    return st.fixed_dictionaries({}, optional=parts)


@settings(max_examples=200, deadline=None)
@given(answers_of(), st.data())
def test_a_worse_fact_never_lowers_the_priority(facts: dict[str, Any], data: st.DataObject) -> None:
    """Whatever is known: one answer turned to the worse leaves the priority or raises it."""
    before = ASSESSMENT.derive(facts)
    graded = [one for one in ASSESSMENT.questions if one.kind == "choice" and one.id != "role"]
    question = data.draw(st.sampled_from(graded))
    ids = [choice.id for choice in question.choices]
    worse = ids[ids.index(facts.get(question.id, ids[0])) :]
    after = ASSESSMENT.derive(facts | {question.id: data.draw(st.sampled_from(worse))})
    assert after.impact <= before.impact
    assert after.urgency <= before.urgency


@settings(max_examples=200, deadline=None)
@given(answers_of())
def test_answers_read_back_as_they_are(facts: dict[str, Any]) -> None:
    """What is kept can be handed in again and stays the same."""
    assert ASSESSMENT.answers(facts) == facts


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("colour", "red", "no question"), ("integrity", "maybe", "no, possible, yes"),
     ("integrity", "no,yes", "one of"), ("data", "", "one or more"),
     ("subjects", "200-10", "10-200"),
     ("subjects", "-5", "10-200"), ("subjects", {"min": 1}, "10-200"),
     ("records", "9" * 12, "10-200")],
)  # fmt: skip
def test_no_answer_is_taken_for_one(name: str, value: Any, says: str) -> None:
    """What is not understood is refused with what would be."""
    with pytest.raises(ValueError, match=says):
        ASSESSMENT.answers({name: value})


def test_answers_as_people_type_them() -> None:
    """Hyphens, lists with commas, one number for both ends."""
    assert ASSESSMENT.answers(
        {"cross-border": "yes", "data": "health, contact", "subjects": "12", "countries": "DE,PH",
         "client": " Acme "}
    ) == {
        "cross_border": "yes", "data": ["health", "contact"], "subjects": {"min": 12, "max": 12},
        "countries": ["DE", "PH"], "client": "Acme",
    }  # fmt: skip
    assert ASSESSMENT.missing(HARMLESS) == []
    assert ASSESSMENT.missing({"data": ["none"]})[0] == "confidentiality"


def test_every_question_is_asked_in_three_languages() -> None:
    """English, Spanish and Tagalog: the phone rings in those."""
    assert all(one.text.keys() >= {"en", "es", "tl"} for one in ASSESSMENT.questions)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [("when = { privileged", "when = { color", "no question"),
     ('"@secret"', '"@zecret"', "zecret"),
     ("level = 1", "level = 0", ">= 1"), ('id = "role"', 'id = "client"', "twice"),
     ('when = { integrity = ["possible", "yes"] }', "when = {}", "always fits"),
     ("subjects = { at_least", "data = { at_least", "Cannot mutate"),
     ("{ en = ", "{ de = ", "English")],
)  # fmt: skip
def test_a_bad_file_is_refused_when_loaded(old: str, new: str, says: str) -> None:
    """A rule that could never or would always fit is found before it decides on anything."""
    text = FILE.read_text()
    assert old in text
    with pytest.raises(ValueError, match=says) as refusal:
        parse_assessment(text.replace(old, new, 1).encode(), "impact.toml")
    assert re.match("impact.toml", str(refusal.value))
