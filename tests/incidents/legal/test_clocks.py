"""Legal clocks: what is owed follows from facts, and when it is due from the calendar."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents.actions import InvalidActionError
from ipwatchd.incidents.fold import fold
from ipwatchd.incidents.legal.clocks import clocks, reconcile
from ipwatchd.incidents.legal.notices import draft
from ipwatchd.incidents.legal.periods import Period, end_of, parse_period, year_end
from ipwatchd.incidents.legal.regimes import parse_client
from ipwatchd.incidents.legal.seat import Seat
from ipwatchd.incidents.policy import load_policy, shipped, site_policy
from ipwatchd.incidents.store import Incidents
from ipwatchd.records.incident import Incident, Obligation, Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

POLICY = load_policy()
HOUR, DAY = 3600.0, 86400.0
NOW = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC).timestamp()
LEAK = {
    "confidentiality": "yes", "integrity": "no", "availability": "no", "data": ["contact"],
    "malicious": "yes", "ongoing": "no", "spread": "one",
}  # fmt: skip
CLIENT = b"""
id = "acme"
name = "Acme Seguros"
aliases = ["acme-es"]
country = "ES"
laws = ["gdpr"]
zone = "Europe/Madrid"
source = "MSA, clause 7.2"
valid_from = 2025-03-01
valid_to = 2028-02-29
holidays = [2026-12-25]
[[duty]]
id = "desk"
title = "Call the security desk"
to = "security desk"
cite = "clause 7.2(a)"
within = "4h"
phased = true
fields = ["nature", "data", "measures"]
[[duty]]
id = "report"
title = "Written report"
to = "security desk"
cite = "clause 7.2(b)"
within = "5bd"
fields = ["nature", "cause"]
"""


def incident(**changes: Any) -> Incident:
    """Return an incident opened at NOW."""
    fields: dict[str, Any] = {
        "id": "MANILA-000001", "site": "manila", "rule": "report", "subject": "", "title": "a mail",
        "severity": "medium", "priority": "P3", "state": "TRIAGE", "first_seen": NOW,
        "last_seen": NOW, "count": 1, "classification": "data-leak", "opened": NOW,
    }  # fmt: skip
    return Incident(**(fields | changes))


def ids(found: list[Obligation]) -> dict[str, str]:
    """Return id → state."""
    return {one.id: one.state for one in found}


def seated(country: str = "", laws: tuple[str, ...] = (), **changes: Any) -> Any:
    """Return the policy of a site."""
    return replace(POLICY, seat=Seat(country=country, laws=laws), **changes)


@pytest.mark.parametrize(
    ("seat", "facts", "expected"),
    [(seated("ES"), {"role": "controller"}, {"gdpr.authority"}),
     (seated("ES"), {"role": "controller", "data": ["health"]}, {"gdpr.authority", "gdpr.people"}),
     (seated("MX"), {"role": "processor", "countries": ["DE", "MX"]}, {"gdpr.controller"}),
     (seated("MX"), {"role": "controller", "countries": ["MX"]}, set()),
     (seated("PH"), {"role": "controller", "countries": ["PH"], "data": ["identity"]},
      {"ph-npc.commission", "ph-npc.people", "ph-npc.full-report"}),
     (seated("PH"), {"role": "processor", "countries": ["PH"], "data": ["identity"]},
      {"ph-npc.controller"}),
     (seated("PH"), {"role": "controller", "countries": ["PH"],
                     "subjects": {"min": 1, "max": 99}}, set()),
     (seated("IN"), {"role": "controller", "countries": ["IN"]}, {"cert-in.report"}),
     (seated("US", ("hipaa",)), {"role": "controller", "countries": ["US"], "data": ["health"],
                                 "subjects": {"min": 1, "max": 499}},
      {"hipaa.people", "hipaa.hhs-annual"}),
     (seated("US", ("hipaa",)), {"role": "controller", "countries": ["US"], "data": ["health"],
                                 "subjects": {"min": 1, "max": 501}},
      {"hipaa.people", "hipaa.hhs", "hipaa.media"}),
     (seated("US", ("hipaa",)), {"role": "processor", "countries": ["US"], "data": ["health"]},
      {"hipaa.entity"}),
     (seated("US"), {"role": "processor", "countries": ["US"], "data": ["payment-card"]},
      {"pci-dss.acquirer", "pci-dss.brands"}),
     (seated("FR"), {"confidentiality": "no", "role": "controller"}, set()),
     (seated("FR"), {"data": ["internal"], "role": "controller"}, set())],
)  # fmt: skip
def test_what_is_owed_follows_from_facts(
    seat: Any, facts: dict[str, Any], expected: set[str]
) -> None:
    """Where, whose data, of what kind, in which role, of how many: the duties that follow."""
    found = reconcile(incident(facts=LEAK | facts), seat, NOW)
    assert {one.id for one in found if one.state in {"", "waits"}} == expected


def test_nis2_runs_in_three_steps() -> None:
    """24 hours, 72 hours, and a month from the notification; the one on request waits for it."""
    policy = seated("DE", ("nis2",))
    one = incident(facts=LEAK, priority="P1", aware=NOW)
    found = {duty.id: duty for duty in reconcile(one, policy, NOW)}
    assert found["nis2.early-warning"].due == NOW + 24 * HOUR
    assert found["nis2.notification"].due == NOW + 72 * HOUR
    assert (found["nis2.final"].state, found["nis2.final"].due) == ("waits", 0.0)
    assert (found["nis2.intermediate"].state, found["nis2.intermediate"].due) == ("waits", 0.0)
    sent = dt.datetime(2027, 1, 31, 12, tzinfo=dt.UTC).timestamp()
    held = found | {"nis2.notification": replace(found["nis2.notification"], done=sent)}
    (final,) = reconcile(replace(one, obligations=tuple(held.values())), policy, sent)
    assert final.id == "nis2.final"
    assert final.due == dt.datetime(2027, 2, 28, 12, tzinfo=dt.UTC).timestamp()
    slow = replace(one, facts=LEAK | {"availability": "degraded"})
    assert set(ids(reconcile(slow, policy, NOW))) - set(found) == {"nis2.recipients"}
    minor = reconcile(replace(one, priority="P3"), policy, NOW)
    assert not any(duty.id.startswith("nis2") for duty in minor)


def test_what_is_not_known_is_asked_for_and_holds_the_case() -> None:
    """A role or country that nobody has named makes a duty possible, which is not settled."""
    found = reconcile(incident(facts=LEAK), seated("ES"), NOW)
    possible = {one.id: one.asks for one in found if one.state == "possible"}
    assert possible["gdpr.authority"] == ("role",)
    abroad = reconcile(incident(facts=LEAK), seated("MX"), NOW)
    assert {one.id: one.asks for one in abroad}["gdpr.controller"] == ("countries", "role")
    assert not any(one.settled for one in found)
    settled = replace(
        incident(facts=LEAK | {"role": "processor", "countries": ["ES"]}),
        obligations=tuple(found),
    )
    after = ids(reconcile(settled, seated("ES"), NOW))
    assert after["gdpr.authority"] == "void"
    assert after["gdpr.controller"] == ""


def test_a_client_has_a_contract_a_country_and_a_role() -> None:
    """The named client's file brings its duties, its law, and the role we have for it."""
    client = parse_client(CLIENT, "acme.toml")
    policy = seated("PH", clients=(client,))
    one = incident(facts=LEAK | {"client": "ACME-ES"}, aware=NOW)
    found = {duty.id: duty for duty in reconcile(one, policy, NOW)}
    assert found["client-acme.desk"].due == NOW + 4 * HOUR
    assert found["gdpr.controller"].aim
    # Saturday 21 November 10:30 in Madrid; five business days on is Friday the 27th.
    assert dt.datetime.fromtimestamp(
        found["client-acme.report"].due, ZoneInfo("Europe/Madrid")
    ) == (dt.datetime(2026, 11, 27, 10, 30, tzinfo=ZoneInfo("Europe/Madrid")))
    other = {one.id for one in reconcile(replace(one, facts=LEAK), policy, NOW)}
    assert "client-acme.desk" not in other


@pytest.mark.parametrize("day", ["2027-05-12", "2027-05-13"])
def test_a_regime_is_applied_only_while_in_force(day: str) -> None:
    """The DPDP Rules' rule 7 begins eighteen months after their publication, and not before."""
    when = dt.date.fromisoformat(day)
    now = dt.datetime.combine(when, dt.time(12), dt.UTC).timestamp()
    facts = LEAK | {"role": "controller", "countries": ["IN"]}
    found = ids(reconcile(incident(facts=facts, aware=now), seated("IN"), now))
    assert ("dpdp.board-detailed" in found) == (day == "2027-05-13")
    assert bool(POLICY.not_in_force(when)) == (day == "2027-05-12")


def test_a_duty_that_began_outlives_its_regime() -> None:
    """A regime that ended is said and brings nothing new; what began before it ended stays."""
    regime = next(one for one in POLICY.regimes if one.id == "gdpr")
    ends = replace(regime, valid_to=dt.date(2026, 11, 21))
    policy = seated("ES", regimes=(ends,))
    one = incident(facts=LEAK | {"role": "controller"}, aware=NOW)
    held = tuple(reconcile(one, policy, NOW))
    later = NOW + 2 * DAY
    assert "ended on 2026-11-21" in policy.not_in_force(dt.date(2026, 11, 23))[0]
    assert reconcile(replace(one, obligations=held), policy, later) == []
    assert reconcile(replace(one, opened=later, aware=later), policy, later) == []


def test_corrected_awareness_moves_every_clock_and_keeps_what_was_done() -> None:
    """The due times follow the corrected awareness, also of what was met or waived."""
    policy = seated("ES", ("nis2",))
    one = incident(facts=LEAK | {"role": "controller"}, priority="P1", aware=NOW)
    held = {duty.id: duty for duty in reconcile(one, policy, NOW)}
    met = replace(held["nis2.early-warning"], done=NOW + 20 * HOUR, state="met")
    held["nis2.early-warning"] = met
    corrected = replace(one, aware=NOW - 10 * HOUR, obligations=tuple(held.values()))
    moved = {duty.id: duty for duty in reconcile(corrected, policy, NOW + 30 * HOUR)}
    assert moved["gdpr.authority"].due == NOW + 62 * HOUR
    assert moved["nis2.early-warning"].done == met.done
    after = replace(corrected, obligations=tuple((held | moved).values()))
    states = {row.obligation.id: row.state for row in clocks(after, NOW + 30 * HOUR)}
    assert states["nis2.early-warning"] == "met-late"
    assert reconcile(after, policy, NOW + 31 * HOUR) == []


def test_local_days_keep_the_time_of_day_over_a_change_of_clocks() -> None:
    """Days and months are the zone's: 09:30 stays 09:30; hours are counted."""
    madrid = ZoneInfo("Europe/Madrid")
    start = dt.datetime(2026, 10, 24, 9, 30, tzinfo=madrid)
    end = end_of(start.timestamp(), parse_period("2d"), "Europe/Madrid")
    assert dt.datetime.fromtimestamp(end, madrid) == dt.datetime(2026, 10, 26, 9, 30, tzinfo=madrid)
    assert end - start.timestamp() == 49 * HOUR
    assert end_of(start.timestamp(), parse_period("48h"), "Europe/Madrid") == end - HOUR


@pytest.mark.parametrize(
    ("start", "period", "end"),
    [("2026-01-31", "1mo", "2026-02-28"), ("2024-01-31", "1mo", "2024-02-29"),
     ("2024-02-29", "1y", "2025-02-28"), ("2026-11-20", "1bd", "2026-11-23"),
     ("2026-12-24", "1bd", "2026-12-28"), ("2026-12-31", "60d", "2027-03-01"),
     ("2026-05-15", "2w", "2026-05-29")],
)  # fmt: skip
def test_calendar_periods(start: str, period: str, end: str) -> None:
    """Months without such a day end on their last; business days skip weekends and holidays."""
    begin = dt.datetime.fromisoformat(f"{start}T12:00+08:00").timestamp()
    holidays = (dt.date(2026, 12, 25),)
    found = end_of(begin, parse_period(period), "Asia/Manila", holidays)
    assert dt.datetime.fromtimestamp(found, ZoneInfo("Asia/Manila")).date().isoformat() == end


def test_the_yearly_log_is_due_sixty_days_after_the_year_of_discovery() -> None:
    """HIPAA 164.408(c): what is discovered in 2026 is due on 2 March 2027 in New York."""
    policy = seated("US", ("hipaa",))
    facts = LEAK | {"data": ["health"], "role": "controller", "countries": ["US"],
                    "subjects": {"min": 3, "max": 12}}  # fmt: skip
    found = {one.id: one for one in reconcile(incident(facts=facts, aware=NOW), policy, NOW)}
    due = dt.datetime.fromtimestamp(found["hipaa.hhs-annual"].due, ZoneInfo("America/New_York"))
    assert due == dt.datetime(2027, 3, 2, tzinfo=ZoneInfo("America/New_York"))


ZONES = ("UTC", "Asia/Manila", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe",
         "Asia/Kolkata", "America/Bogota")  # fmt: skip
periods = st.builds(Period, st.integers(1, 90), st.sampled_from(["h", "d", "bd", "w", "mo", "y"]))


@settings(max_examples=200, deadline=None)
@given(st.integers(946_684_800, 4_000_000_000), periods, st.sampled_from(ZONES))
def test_a_period_ends_after_it_begins_and_never_later_for_less(
    start: int, period: Period, zone: str
) -> None:
    """Ends lie ahead, grow with the count, and calendar ends keep the wall clock's time."""
    end = end_of(start, period, zone)
    assert end > start
    assert end_of(start, Period(period.number + 1, period.unit), zone) >= end + HOUR
    if period.unit == "h":
        assert end - start == period.number * HOUR
    assert year_end(start, zone) > start
    assert parse_period(f"{period.number}{period.unit}") == period


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["assess", "aware", "classify", "notice", "waive", "hold", "resume"]),
        st.integers(0, 5), st.integers(0, 100),
    ),
    max_size=12,
)  # fmt: skip
ANSWERS = (
    {"role": "controller"}, {"role": "processor"}, {"countries": "ES,PH"},
    {"data": "health,contact"}, {"confidentiality": "no"}, {"confidentiality": "yes"},
)  # fmt: skip


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Incidents]:
    """Return the log of a site in Spain that NIS 2 binds."""
    one = await Incidents.open(
        tmp_path, "madrid", IncidentSettings(country="ES", laws=("nis2",), contact="dpo@example")
    )
    yield one
    await one.close()


async def test_any_acts_leave_clocks_that_follow_from_the_log(
    tmp_path: Path, log: Incidents
) -> None:
    """Whatever is done: due times follow from awareness alone, and the log folds to the same."""
    rounds: list[list[tuple[str, int, int]]] = []

    @settings(max_examples=40, deadline=None, database=None)
    @given(ACTS)
    def gather(acts: list[tuple[str, int, int]]) -> None:
        rounds.append(acts)

    gather()
    for number, acts in enumerate(rounds):
        report = Report(id=f"r{number}", received=NOW, channel="call", reporter="ana", text="x")
        one = await log.report(report, NOW)
        one = await log.act(one.id, "assess", actor="ben", now=NOW, details={"answers": LEAK})
        for act, pick, minutes in acts:
            one = await _try(log, one, act, pick, NOW + 60.0 * minutes)
            started = one.aware or one.opened
            for row in one.obligations:
                if row.id == "gdpr.authority" and row.state != "void":
                    assert row.due == started + 72 * HOUR
    events = await log.after(0, 10_000)
    for one in await log.list(limit=1000):
        assert fold(events)[one.id] == one
    assert (await log.verify()).first_bad_seq is None


async def _try(log: Incidents, one: Incident, act: str, pick: int, now: float) -> Incident:
    owed = [row.id for row in one.obligations] or ["none"]
    details: dict[str, dict[str, Any]] = {
        "assess": {"answers": ANSWERS[pick]},
        "aware": {"at": NOW - 600.0 * pick},
        "notice": {"obligation": owed[pick % len(owed)], "at": now},
        "waive": {"obligation": owed[pick % len(owed)]},
    }
    reason = ("data-leak", "phishing")[pick % 2] if act == "classify" else "because"
    actor = ("ana", "ben")[pick % 2]
    try:
        return await log.act(
            one.id, act, actor=actor, reason=reason, now=now, details=details.get(act)
        )
    except InvalidActionError:
        return one


async def test_a_duty_that_was_met_and_follows_no_more_goes_by_awareness_too(
    log: Incidents,
) -> None:
    """Facts say later that there was no breach, and awareness is corrected: its due time moves."""
    report = Report(id="r1", received=NOW, channel="call", reporter="ana", text="lost mail")
    one = await log.report(report, NOW)
    await log.act(one.id, "assess", actor="ben", now=NOW, details={"answers": LEAK | ANSWERS[0]})
    duty = "gdpr.authority"
    for act, details in (
        ("notice", {"obligation": duty}), ("assess", {"answers": ANSWERS[4]}),
        ("aware", {"at": NOW - 600.0}),
    ):  # fmt: skip
        one = await log.act(one.id, act, actor="ben", reason="x", now=NOW + 60, details=details)
    (row,) = [row for row in one.obligations if row.id == duty]
    assert (row.due, row.started, bool(row.done)) == (NOW - 600 + 72 * HOUR, NOW - 600, True)


async def test_phases_of_a_notice(log: Incidents) -> None:
    """A first notice stops the 72 hours; what it lacked holds the case until a final one."""
    one = await log.report(
        Report(id="r1", received=NOW, channel="call", reporter="ana", text="lost mail"), NOW
    )

    async def act(action: str, *, actor: str = "ben", reason: str = "", at: float = NOW,
                  **details: Any) -> Incident:  # fmt: skip
        return await log.act(one.id, action, actor=actor, reason=reason, now=at, details=details)

    await act("classify", reason="data-leak")
    await act("take")
    await act("assess", answers=LEAK | {"role": "controller", "countries": "ES", "subjects": "40"})
    with pytest.raises(InvalidActionError, match=r"lacks .*consequences"):
        await act("notice", obligation="gdpr.authority", stage="final")
    sent = await act("notice", obligation="gdpr.authority", at=NOW + HOUR, reference="AEPD-1")
    duty = next(row for row in sent.obligations if row.id == "gdpr.authority")
    assert (duty.done, duty.notices[0].stage, duty.notices[0].reference) == (
        NOW + HOUR, "initial", "AEPD-1",
    )  # fmt: skip
    assert "consequences" in duty.open
    assert not duty.settled
    await act("tell", fields={"consequences": "none likely", "measures": "recalled",
                              "records": "40"})  # fmt: skip
    done = await act("notice", obligation="gdpr.authority", at=NOW + 90 * HOUR)
    duty = next(row for row in done.obligations if row.id == "gdpr.authority")
    assert [row.stage for row in duty.notices] == ["initial", "final"]
    assert duty.settled
    assert next(row for row in clocks(done, NOW) if row.obligation.id == duty.id).state == "met"


async def test_a_late_notice_gives_its_reasons(log: Incidents) -> None:
    """Past the 72 hours the notice also needs why it is late (Art. 33(1))."""
    one = await log.report(
        Report(id="r1", received=NOW, channel="call", reporter="ana", text="x"), NOW
    )
    answers = LEAK | {"role": "controller", "countries": "ES"}
    one = await log.act(one.id, "assess", actor="ben", now=NOW, details={"answers": answers})
    duty = next(row for row in one.obligations if row.id == "gdpr.authority")
    assert "delay" not in draft(one, duty, log.policy, NOW + 71 * HOUR).missing
    late = draft(one, duty, log.policy, NOW + 73 * HOUR)
    assert "delay" in late.missing
    assert "[MISSING]" in late.text
    assert "2026-11-24 09:30 UTC" in late.text
    assert clocks(one, NOW + 73 * HOUR)[0].left < 0


async def test_waiving_needs_a_reason_and_a_second_person(log: Incidents) -> None:
    """One person proposes with a reason, another agrees; the log has both."""
    one = await log.report(
        Report(id="r1", received=NOW, channel="call", reporter="ana", text="x"), NOW
    )
    answers = LEAK | {"role": "controller", "countries": "ES"}
    await log.act(one.id, "assess", actor="ben", now=NOW, details={"answers": answers})

    async def waive(actor: str, reason: str) -> Incident:
        return await log.act(
            one.id, "waive", actor=actor, reason=reason, now=NOW,
            details={"obligation": "gdpr.authority"},
        )  # fmt: skip

    with pytest.raises(InvalidActionError, match="needs a reason"):
        await waive("ana", "")
    proposed = await waive("ana", "the disk was encrypted: no risk is likely")
    assert proposed.proposal is not None
    with pytest.raises(InvalidActionError, match="second person"):
        await waive("ana", "")
    done = await waive("ben", "")
    duty = next(row for row in done.obligations if row.id == "gdpr.authority")
    assert (duty.state, duty.by, duty.settled) == ("waived", ("ana", "ben"), True)
    assert done.proposal is None


async def test_clocks_outlive_a_restart_and_a_hold(tmp_path: Path) -> None:
    """A hold stops nothing, a restart forgets nothing; what is due is listed first."""
    chosen = IncidentSettings(country="ES")
    first = await Incidents.open(tmp_path, "madrid", chosen)
    answers = LEAK | {"role": "controller", "countries": "ES"}
    for number in range(3):
        one = await first.report(
            Report(id=f"r{number}", received=NOW, channel="call", reporter="a", text="x"),
            NOW - number * HOUR,
        )
        await first.act(one.id, "assess", actor="b", now=NOW, details={"answers": answers})
        await first.act(one.id, "hold", actor="b", reason="the client answers", now=NOW)
    await first.close()
    again = await Incidents.open(tmp_path, "madrid", chosen)
    rows = await again.with_duties()
    assert [one.id for one in rows] == ["MADRID-000003", "MADRID-000002", "MADRID-000001"]
    assert clocks(rows[0], NOW + 71 * HOUR)[0].state == "late"
    await again.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [((b'within = "72h"', b'within = "three days"'), "no period"),
     ((b'fields = ["nature",', b'fields = ["colour",'), "no field 'colour'"),
     ((b'role = ["controller"]', b'role = ["owner"]'), "no answer 'owner'"),
     ((b'people = ["@eea"]', b'people = ["@eu"]'), "no group"),
     ((b"[[duty]]", b"[[dutie]]"), "dutie"),
     ((b"checked = 2026-11-22", b"checked = 2026-11-31"), "gdpr.toml")],
)  # fmt: skip
def test_a_wrong_regime_is_refused_when_loaded(
    tmp_path: Path, change: tuple[bytes, bytes], why: str
) -> None:
    """The fault is named with the file, at the start and not when the clock should run."""
    folder = tmp_path / "regimes"
    folder.mkdir()
    data = (shipped() / "regimes" / "gdpr.toml").read_bytes()
    assert change[0] in data
    (folder / "gdpr.toml").write_bytes(data.replace(*change))
    with pytest.raises(ValueError, match=why):
        load_policy(str(tmp_path))


def test_a_law_of_the_site_must_be_on_file() -> None:
    """A misspelt law or zone under [incidents] is named."""
    with pytest.raises(ValueError, match="'nis3' is no regime"):
        site_policy(IncidentSettings(laws=("nis3",)))
    with pytest.raises(ValueError, match="no time zone"):
        site_policy(IncidentSettings(time_zone="Asia/Nowhere"))


def test_every_shipped_regime_names_its_source() -> None:
    """Article, date and day of the check stand in each file, and each duty says where from."""
    for path in (shipped() / "regimes").glob("*.toml"):
        assert "# Read on 20" in path.read_text()
    for regime in POLICY.regimes:
        assert len(regime.source) > 20
        assert regime.checked >= dt.date(2026, 1, 1)
        assert all(duty.cite and duty.fields for duty in regime.duties)
        assert all(duty.within or duty.aim for duty in regime.duties)


def test_the_example_of_a_client_is_one(tmp_path: Path) -> None:
    """The file that the README shows loads beside the shipped ones, contract and all."""
    lines = (shipped() / "clients" / "README.md").read_text().splitlines()
    text = "\n".join(line[4:] for line in lines if line.startswith("    "))
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "acme.toml").write_text(text)
    (client,) = load_policy(str(tmp_path)).clients
    contract = client.contract()
    assert contract is not None
    assert contract.validity(dt.date(2026, 11, 21)) == ""
    assert "ended on 2028-02-29" in contract.validity(dt.date(2028, 3, 1))


def test_merging_keeps_the_earlier_awareness(finding: Callable[..., Any]) -> None:
    """What was known earlier of one of two merged incidents starts the clocks of both."""
    from ipwatchd.incidents.bodies import Absorbed
    from ipwatchd.incidents.grouping import opened
    from tests.incidents.test_fold import log_of

    steps = (("opened", opened(finding())), ("absorbed", Absorbed(incident="X", aware=0.5)))
    assert fold(log_of(*steps))["MANILA-000001"].aware == 0.5
