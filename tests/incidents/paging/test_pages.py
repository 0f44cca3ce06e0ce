"""What stands in a page: whom to answer and how, and which clocks run."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ipwatchd.incidents.paging.pages import message_of
from ipwatchd.incidents.paging.plan_file import parse_plan
from ipwatchd.records.incident import Obligation
from ipwatchd.records.paging import Page
from tests.incidents.paging.plans import PLAN
from tests.incidents.review.test_course import NOW, incident

PAGE = Page(number=1, time=NOW, person="", channel="mail", to="a@x")


@pytest.mark.parametrize(
    ("site", "command"),
    [("manila", "ipwatchctl incidents ack"), ("centre", "ipwatch-central ack")],
)
def test_a_page_names_the_command_of_the_place_that_it_comes_from(site: str, command: str) -> None:
    """Who is paged by the centre answers at the centre."""
    case = replace(incident(), site=site)
    made = message_of(case, PAGE, parse_plan(PLAN.encode(), "plan"), zone="UTC", link="", now=NOW)
    assert f"Acknowledge: {command} {case.id}" in made.body


def test_what_only_may_apply_is_no_clock_that_runs() -> None:
    """A duty that facts decide on is asked for; one that binds has its time."""
    duties = (
        Obligation(id="cert-in.report", title="Report it", due=NOW + 3600, started=NOW),
        Obligation(id="ph-npc.people", title="Tell the people", due=NOW + 3600, started=NOW,
                   state="possible", asks=("countries",)),
        Obligation(id="gdpr.people", title="Tell them", due=NOW + 9, started=NOW, state="void"),
    )  # fmt: skip
    case = replace(incident(), obligations=duties)
    made = message_of(case, PAGE, parse_plan(PLAN.encode(), "plan"), zone="UTC", link="", now=NOW)
    assert "Report it: 1h left\n1 more may apply: answer countries (incidents assess)" in made.body
    assert "Tell" not in made.body
