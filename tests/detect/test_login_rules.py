"""Who logs in, from where, when: sprayers, travellers, strangers, agents out of place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.about import House
from ipwatchd.detect.agent_place import AgentPlace
from ipwatchd.detect.impossible_travel import ImpossibleTravel, kilometres
from ipwatchd.detect.password_guessing import PasswordGuessing
from ipwatchd.detect.password_spraying import PasswordSpraying
from ipwatchd.detect.unfamiliar_login import UnfamiliarLogin
from ipwatchd.detect.verdicts import verdict
from ipwatchd.records.agent import Agent
from ipwatchd.records.event import Auth, Kerberos, Ldap, Radius, Sip, Ssh
from ipwatchd.records.place import Place
from ipwatchd.records.shift import within_shift

if TYPE_CHECKING:
    from pathlib import Path

BAD: Final = "203.0.113.66"
PLACES: Final = {
    "198.51.100.1": Place(zone="internet", country="DE", asn=1, latitude=52.5, longitude=13.4),
    "198.51.100.2": Place(zone="internet", country="PH", asn=2, latitude=14.6, longitude=121.0),
    "10.20.0.5": Place(zone="agents"), "10.8.0.5": Place(zone="vpn"),
}  # fmt: skip


def login(user: str, orig: str = BAD, ts: float = 1000.0, *, good: bool = False) -> Auth:
    """Return a login."""
    result = "success" if good else "failure"
    return Auth(ts=ts, user=user, result=result, service="vpn", orig=orig)


def test_many_users_with_few_tries_each_are_sprayed_and_a_success_is_the_worst() -> None:
    """Each user stays under the line, all together cross it; who then gets in is told apart."""
    detector = PasswordSpraying(DetectSettings())
    tries = [login(f"user{i}", ts=1000.0 + 600 * i) for i in range(14)]
    found = detector.events(tries, 20_000.0)
    assert (found[0].subject, found[0].value, found[0].threshold) == (BAD, 12, 12)
    [worst] = detector.events([login("user3", ts=20_000.0, good=True)], 20_000.0)
    assert (worst.severity, worst.evidence["compromised"]) == ("critical", "user3")
    assert PasswordGuessing(DetectSettings()).events(tries, 20_000.0) == []


def test_colleagues_behind_one_address_slip_and_get_in() -> None:
    """Where most get in, those who fail are people."""
    events = []
    for i in range(40):
        events += [login(f"user{i}", ts=1000.0 + i), login(f"user{i}", ts=1001.0 + i, good=True)]
    assert PasswordSpraying(DetectSettings()).events(events, 2000.0) == []


def test_one_real_account_tried_from_many_addresses() -> None:
    """An account that exists is told; a name that never got in is everybody's guess."""
    tries = [login("maria", f"192.0.2.{i}", 2000.0 + i) for i in range(15)]
    assert PasswordSpraying(DetectSettings()).events(tries, 3000.0) == []
    real = login("maria", "10.0.0.1", good=True)
    [finding] = PasswordSpraying(DetectSettings()).events([real, *tries], 3000.0)
    assert (finding.subject, finding.value) == ("maria", 12)


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (Sip(ts=1, method="REGISTER", status=401, user="7001"), "failure"),
        (Sip(ts=1, method="REGISTER", status=200, user="7001"), "success"),
        (Sip(ts=1, method="INVITE", status=401, user="7001"), None),
        (Kerberos(ts=1, message="KRB-ERROR", error="KDC_ERR_PREAUTH_FAILED"), "failure"),
        (Kerberos(ts=1, message="KRB-ERROR", error="KDC_ERR_PREAUTH_REQUIRED"), None),
        (Kerberos(ts=1, message="AS-REP", user="maria"), "success"),
        (Radius(ts=1, message="access-reject", station="02-00-00-00-00-01"), "failure"),
        (Radius(ts=1, message="access-challenge", orig="10.0.0.1"), None),
        (Ldap(ts=1, message="bind-response", result="49"), "failure"),
        (Ldap(ts=1, message="bind", user="cn=x"), None),
    ],
)
def test_protocols_tell_of_logins(event: Any, result: str | None) -> None:
    """What is a verdict counts; a challenge that begins every login does not."""
    found = verdict(event)
    assert (found.result if found else None) == result


def test_sip_guessing_is_found_on_the_wire_and_registering_is_not() -> None:
    """A phone is challenged and gets in; a guesser is challenged again and again."""
    phone = [
        Sip(ts=1000.0 + i, method="REGISTER", status=status, user="7001", orig=BAD)
        for i in range(100) for status in (401, 200)
    ]  # fmt: skip
    assert PasswordGuessing(DetectSettings()).events(phone, 1100.0) == []
    guesser = [one for one in phone if one.status == 401]
    found = PasswordGuessing(DetectSettings()).events(guesser, 1100.0)
    assert found[0].evidence["from"] == "wire"
    assert found[0].evidence["services"] == ["sip"]


def travel_cases(shared: Path) -> list[dict[str, Any]]:
    """Return the logins with the alerts they must raise."""
    path = shared / "travel" / "buffalogs_unit_cases.json"
    cases: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
    return cases


def moment(text: str) -> float:
    """Return a time of the cases."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def test_labelled_travel(shared: Path) -> None:
    """Each published case raises what it must and nothing else."""
    for case in travel_cases(shared):
        places: dict[str, Place] = {}
        events = []
        if "prev" in case:
            steps = [(case["prev"]["t"], case["prev"]), (case["cur"]["t"], case["cur"])]
        else:
            past = [line.split() for line in case["history"]]
            steps = [(when, {"country": country}) for country, when in past]
            steps.append((case["cur"]["t"], case["cur"]))
        for i, (when, place) in enumerate(steps):
            address = f"198.51.100.{i}"
            places[address] = Place(
                zone="internet", country=place["country"], latitude=place.get("lat"),
                longitude=place.get("lon"),
            )  # fmt: skip
            events.append(login("maria", address, moment(when), good=True))
        house = House(places.get)
        now = events[-1].ts
        travelled = ImpossibleTravel(DetectSettings(), house).events(events, now)
        strange = UnfamiliarLogin(DetectSettings(), house).events(events, now)
        expect = case["expect"]
        assert bool(travelled) == expect.startswith("impossible_travel"), case["name"]
        if "history" in case:
            assert bool(strange) == ("country" in expect), case["name"]


def test_unfamiliar_logins_survive_a_restart_and_say_what_is_not_enough() -> None:
    """Too few logins say nothing and are counted; what was learned is known after a restart."""
    house = House(PLACES.get)
    detector = UnfamiliarLogin(DetectSettings(), house)
    first = [login("maria", "198.51.100.1", 1000.0 + i, good=True) for i in range(4)]
    assert detector.events(first, 2000.0) == []
    assert detector.counters()["not_enough_seen"] == 2
    fresh = UnfamiliarLogin(DetectSettings(), house)
    fresh.recall(detector.remember())
    [finding] = fresh.events([login("maria", "198.51.100.2", 3000.0, good=True)], 3000.0)
    assert finding.title == "maria logged in from PH, never seen before"
    assert finding.evidence["known"] == ["DE"]


NOON: Final = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()  # a Wednesday
AGENT: Final = Agent(
    name="maria", team="voice", shift="mon-fri 09:00-17:00", time_zone="Europe/Berlin",
    places=("agents", "DE"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("orig", "hours", "kinds"),
    [
        ("10.20.0.5", 0, set()),
        ("198.51.100.1", 0, set()),
        ("10.20.0.5", 4.25, set()),
        ("10.20.0.5", 8, {"shift"}),
        ("10.20.0.5", 72, {"shift"}),
        ("198.51.100.2", 0, {"place"}),
        ("198.51.100.2", 10, {"place", "shift"}),
    ],
)
def test_an_agent_is_held_to_the_roster(orig: str, hours: float, kinds: set[str]) -> None:
    """Shift in the agent's own time zone with grace, place by zone, country or network."""
    detector = AgentPlace(DetectSettings(), House(PLACES.get, {"maria": AGENT}))
    event = login("ACME\\Maria", orig, NOON + hours * 3600, good=True)
    assert {one.evidence["kind"] for one in detector.events([event], event.ts)} == kinds


def test_two_places_at_once_and_the_vpn_between() -> None:
    """At the desk and abroad within minutes is told; home and then the VPN is one person."""
    house = House(PLACES.get, {"maria": Agent(name="maria")})
    desk, away = (login("maria", one, NOON, good=True) for one in ("10.20.0.5", "198.51.100.2"))
    [finding] = AgentPlace(DetectSettings(), house).events([desk, away], NOON)
    assert finding.evidence["kind"] == "two places"
    vpn = login("maria", "10.8.0.5", NOON, good=True)
    assert AgentPlace(DetectSettings(), house).events([away, vpn], NOON) == []


@bounded(max_examples=200, deadline=None)
@given(st.integers(0, 2_000_000_000), st.integers(0, 23), st.integers(0, 23))
def test_a_shift_and_the_hours_left_over_make_a_day(ts: int, begin: int, end: int) -> None:
    """Every moment is in a shift or in its complement, also over midnight."""
    shift, rest = f"{begin:02}:00-{end:02}:00", f"{end:02}:00-{begin:02}:00"
    assert within_shift(shift, "UTC", ts, 0) or within_shift(rest, "UTC", ts, 0)


def test_kilometres() -> None:
    """The distance from Berlin to Manila, and of a place from itself."""
    assert kilometres(52.5, 13.4, 14.6, 121.0) == pytest.approx(9_900, rel=0.01)
    assert kilometres(52.5, 13.4, 52.5, 13.4) == 0


def test_a_device_and_an_hour_that_are_new_are_told_of() -> None:
    """A user of one device and of office hours logs in at night on another: two findings."""
    detector = UnfamiliarLogin(DetectSettings())
    day, found = 86_400.0, []
    for number in range(25):
        for hour in (8, 13):
            one = Auth(ts=number * day + hour * 3600, user="maria", result="success",
                       service="windows", host="PC-17")  # fmt: skip
            found += detector.events([one], one.ts)
    assert found == []
    late = Auth(
        ts=26 * day + 3 * 3600, user="maria", result="success", service="windows", host="KALI"
    )
    told = {one.evidence["kind"]: one for one in detector.events([late], late.ts)}
    assert told["device"].title == "maria logged in on kali, new to them"
    assert told["hour"].title == "maria logged in at 03:00 UTC, an hour new to them"
    assert told["hour"].evidence["usual"] == [8, 13]


def test_overtime_and_shared_desks_are_ordinary() -> None:
    """Two hours late, and who sits at another desk each day, are nothing new."""
    detector = UnfamiliarLogin(DetectSettings())
    found = []
    for number in range(40):
        one = Auth(ts=number * 86_400.0 + 9 * 3600, user="ana", result="success",
                   service="windows", host=f"DESK-{number % 11}")  # fmt: skip
        found += detector.events([one], one.ts)
    late = Auth(ts=41 * 86_400.0 + 11 * 3600, user="ana", result="success", service="windows",
                host="DESK-NEW")  # fmt: skip
    assert [*found, *detector.events([late], late.ts)] == []


def test_what_was_learned_of_hours_survives() -> None:
    """Another run goes on where the last one ended."""
    first = UnfamiliarLogin(DetectSettings())
    for number in range(30):
        one = Auth(ts=number * 86_400.0 + 9 * 3600, user="ana", result="success", service="ssh")
        assert first.events([one], one.ts) == []
    second = UnfamiliarLogin(DetectSettings())
    second.recall(first.remember())
    late = Auth(ts=30 * 86_400.0, user="ana", result="success", service="ssh")
    assert [one.evidence["kind"] for one in second.events([late], late.ts)] == ["hour"]


def test_several_tries_of_an_ssh_session_count_as_many_as_a_prompt_allows() -> None:
    """Tools try six passwords a session; a client with six keys is refused as often."""
    tool = [Ssh(ts=1000.0 + n, login="failed", tries=6, orig=BAD) for n in range(4)]
    [finding] = PasswordGuessing(DetectSettings()).events(tool, 1010.0)
    assert (finding.value, finding.count) == (12, 12)
    assert PasswordGuessing(DetectSettings()).events(tool[:3], 1010.0) == []
    slips = [*tool[:1], Ssh(ts=1010.0, login="succeeded", orig=BAD), *tool[1:3]]
    assert PasswordGuessing(DetectSettings()).events(slips, 1020.0) == []
