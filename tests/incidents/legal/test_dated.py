"""Regimes by date: which file counts for an incident, and clocks that are not to be trusted."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents.legal.clocks import clocks, duty_of, reconcile
from ipwatchd.incidents.legal.seat import Seat
from ipwatchd.incidents.policy import load_policy, shipped
from ipwatchd.incidents.store import Incidents
from ipwatchd.records.incident import Report
from tests.incidents.legal.test_clocks import DAY, HOUR, LEAK, NOW, POLICY, incident, seated

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.incidents.policy import Policy

GDPR = next(one for one in POLICY.regimes if one.id == "gdpr")
SWITCH = dt.date(2027, 1, 1)
FACTS = LEAK | {"role": "controller"}


def two_versions() -> Policy:
    """Return a policy in which the 72 hours become 96 on 1 January 2027, as was once proposed."""
    older = replace(GDPR, valid_to=SWITCH - dt.timedelta(days=1))
    longer = tuple(
        replace(one, within="96h") if one.id == "authority" else one for one in GDPR.duties
    )
    newer = replace(GDPR, valid_from=SWITCH, version="2027", duties=longer)
    return replace(POLICY, regimes=(newer, older), seat=Seat(country="ES", zone="Europe/Madrid"))


def at(day: str) -> float:
    """Return a time in Madrid as epoch seconds."""
    return dt.datetime.fromisoformat(day).timestamp()


@pytest.mark.parametrize(
    ("aware", "now", "hours", "version"),
    [("2026-12-31T23:59+01:00", "2026-12-31T23:59+01:00", 72, "gdpr 2016/679"),
     ("2026-12-31T23:59+01:00", "2027-01-02T09:00+01:00", 72, "gdpr 2016/679"),
     ("2027-01-01T00:00+01:00", "2027-01-01T00:00+01:00", 96, "gdpr 2027"),
     ("2027-01-01T00:00+01:00", "2026-12-31T20:00+01:00", 96, "gdpr 2027")],
)  # fmt: skip
def test_the_file_counts_that_was_in_force_at_awareness(
    aware: str, now: str, hours: int, version: str
) -> None:
    """The switch is at midnight where the site is; what is asked later changes nothing."""
    policy = two_versions()
    one = incident(facts=FACTS, aware=at(aware))
    (duty,) = reconcile(one, policy, at(now))
    assert (duty.due - at(aware), duty.regime) == (hours * HOUR, version)
    found = duty_of(duty.id, one, policy)
    assert found is not None
    assert found[1].within == f"{hours}h"
    held = replace(one, obligations=(duty,))
    assert reconcile(held, policy, at("2027-06-01T00:00+02:00")) == []


def test_corrected_awareness_changes_the_file_too() -> None:
    """Who learns that it was known before the switch has the older, shorter time."""
    policy = two_versions()
    one = incident(facts=FACTS, aware=at("2027-01-01T08:00+01:00"))
    held = tuple(reconcile(one, policy, NOW))
    earlier = at("2026-12-31T22:00+01:00")
    (moved,) = reconcile(replace(one, aware=earlier, obligations=held), policy, NOW)
    assert (moved.due, moved.regime) == (earlier + 72 * HOUR, "gdpr 2016/679")


def test_a_clock_that_was_wrong_at_the_opening_loses_no_duty() -> None:
    """Opened in 1970, when no regime was there yet: what is in force now counts, and is late."""
    one = incident(facts=FACTS, opened=60.0)
    (duty,) = reconcile(one, two_versions(), NOW)
    held = replace(one, obligations=(duty,))
    assert [row.state for row in clocks(held, NOW)] == ["late"]
    (moved,) = reconcile(replace(held, aware=NOW - HOUR), two_versions(), NOW)
    assert moved.due == NOW + 71 * HOUR


def test_an_ended_file_still_counts_for_what_was_known_before() -> None:
    """Facts are answered a week after its end; awareness was before it: the duty comes up."""
    ends = replace(GDPR, valid_to=dt.date(2026, 11, 21))
    policy = seated("ES", regimes=(ends,))
    (duty,) = reconcile(incident(facts=FACTS, aware=NOW), policy, NOW + 7 * DAY)
    assert duty.due == NOW + 72 * HOUR
    assert reconcile(incident(facts=FACTS, aware=NOW + 7 * DAY), policy, NOW + 8 * DAY) == []


@pytest.mark.parametrize(
    ("older_ends", "why"),
    [("", "gdpr is there twice for 2027-01-01"),
     ("valid_to = 2027-01-01", "gdpr is there twice for 2027-01-01"),
     ("valid_to = 2017-12-31", "before it begins"),
     ("valid_to = 2026-12-31", "")],
)  # fmt: skip
def test_two_files_for_one_day_are_refused(tmp_path: Path, older_ends: str, why: str) -> None:
    """Nobody could say which counts: the regime is named, and the mend."""
    folder = tmp_path / "regimes"
    folder.mkdir()
    text = (shipped() / "regimes" / "gdpr.toml").read_text()
    begins = "valid_from = 2018-05-25"
    (folder / "gdpr-2027.toml").write_text(text.replace(begins, "valid_from = 2027-01-01"))
    (folder / "gdpr.toml").write_text(text.replace(begins, f"{begins}\n{older_ends}"))
    if why:
        with pytest.raises(ValueError, match=why):
            load_policy(str(tmp_path))
    else:
        assert sum(one.id == "gdpr" for one in load_policy(str(tmp_path)).regimes) == 2


def test_nothing_is_said_of_an_ended_file_whose_successor_is_in_force() -> None:
    """Warnings are for what is not covered: the day before, the next file is there and quiet."""
    policy = two_versions()
    for day in (SWITCH - dt.timedelta(days=1), SWITCH):
        assert policy.not_in_force(day) == []
    assert "is in force from" in policy.not_in_force(dt.date(2016, 1, 1))[0]


JUMPS = st.lists(
    st.tuples(st.floats(-800 * DAY, 800 * DAY), st.booleans(), st.booleans()), max_size=6
)


async def test_clocks_hold_over_jumps_of_the_clock_and_restarts(tmp_path: Path) -> None:
    """Whatever the clock says, forth or back, over restarts: due is awareness and 72 hours."""
    rounds: list[list[tuple[float, bool, bool]]] = []

    @settings(max_examples=25, deadline=None, database=None)
    @given(JUMPS)
    def gather(jumps: list[tuple[float, bool, bool]]) -> None:
        rounds.append(jumps)

    gather()
    chosen = IncidentSettings(country="ES", time_zone="Europe/Madrid")
    log = await Incidents.open(tmp_path, "madrid", chosen)
    answers: dict[str, Any] = {"answers": FACTS}
    for number, jumps in enumerate(rounds):
        report = Report(id=f"r{number}", received=NOW, channel="call", reporter="ana", text="x")
        one = await log.report(report, NOW)
        one = await log.act(one.id, "assess", actor="ben", now=NOW, details=answers)
        for jump, restarts, states in jumps:
            now = NOW + jump
            if restarts:
                await log.close()
                log = await Incidents.open(tmp_path, "madrid", chosen)
            if states:
                one = await log.act(
                    one.id, "aware", actor="ben", reason="as the log has it", now=now,
                    details={"at": now - HOUR},
                )  # fmt: skip
            else:
                one = await log.act(one.id, "note", actor="ben", reason="on it", now=now)
            due = {row.id: row.due for row in one.obligations if row.state != "void"}
            assert due["gdpr.authority"] == (one.aware or one.opened) + 72 * HOUR
            row = next(r for r in clocks(one, now) if r.obligation.id == "gdpr.authority")
            assert row.left == due["gdpr.authority"] - now
            assert (row.state == "late") == (now > due["gdpr.authority"])
    assert (await log.verify()).first_bad_seq is None
    await log.close()
