"""Guessing is found in logs and on the wire; slips, shared addresses and automation are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.config.settings import DetectSettings, PasswordGuessingSettings
from ipwatchd.detect.password_guessing import PasswordGuessing
from ipwatchd.records.event import Auth
from ipwatchd.records.flow import DIRECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.records.finding import Finding

    Batch = Callable[[Any], NDArray[np.void]]

BAD = "203.0.113.66"


def login(at: float, user: str = "root", result: str = "failure", orig: str = BAD) -> Auth:
    """Return a login as a log tells it."""
    return Auth(ts=at, orig=orig, user=user, result=result, service="sshd", host="gw")


def play(events: list[Auth], detector: PasswordGuessing | None = None) -> list[Finding]:
    """Give events one by one."""
    detector = detector or PasswordGuessing(DetectSettings())
    return [finding for event in events for finding in detector.events([event], event.ts)]


def test_ten_failures_are_a_finding_that_grows_by_doubling() -> None:
    """The tenth failure crosses; further words come when the count has doubled or time went by."""
    found = play([login(1000.0 + n * 0.1, user=f"user{n % 3}") for n in range(100)])
    assert [finding.count for finding in found] == [10, 20, 40, 80]
    first = found[0]
    assert first.key == f"password-guessing|{BAD}"
    assert first.title == f"{BAD} failed 10 logins for 3 users"
    assert (first.severity, first.classification) == ("medium", "brute-force")
    assert first.evidence["users"] == ["user0", "user1", "user2"]
    assert first.evidence["services"] == ["sshd"]
    assert first.targets == ("gw",)


def test_nine_failures_or_ten_over_hours_are_none() -> None:
    """Below the count, or outside of the window, nothing is said."""
    assert play([login(1000.0 + n) for n in range(9)]) == []
    assert play([login(1000.0 + 700.0 * n) for n in range(40)]) == []


def from_log(at: float, user: str = "root", result: str = "failure") -> Auth:
    """Return a login that says which log told it."""
    return Auth(ts=at, orig=BAD, user=user, result=result, service="sshd", source="auth.log")


def test_six_failures_faster_than_anybody_types_are_a_finding_of_low_severity() -> None:
    """A burst is told once, below the line; the line itself is told when it is crossed."""
    found = play([from_log(1000.0 + n, user=f"user{n}") for n in range(12)])
    assert [(one.count, one.severity) for one in found] == [(6, "low"), (10, "medium")]
    assert (found[0].value, found[0].threshold, found[0].evidence["window"]) == (6, 6, 10.0)
    assert found[0].key == found[1].key


def test_a_line_of_six_tries_counts_as_six() -> None:
    """Two POP3 sessions of six tries are twelve failures; a user's own slips are all forgiven."""

    def session(at: float, count: int, result: str = "failure") -> Auth:
        return msgspec.structs.replace(from_log(at, "maria", result), tries=count)

    found = play([session(1000.0, 6), session(1100.0, 6)])
    assert [(one.count, one.evidence["users"]) for one in found] == [(12, ["maria"])]
    slips = [session(1000.0, 5), session(1001.0, 1, "success")]
    assert play([*slips, session(1100.0, 5), session(1101.0, 4)]) == []


def test_a_burst_has_to_be_quick_and_of_a_stranger() -> None:
    """Six tries a minute are a human's; who got in before may have a client that is out of date."""
    assert play([from_log(1000.0 + 10.0 * n) for n in range(9)]) == []
    assert (
        play([from_log(999.0, "maria", "success")] + [from_log(1000.0 + n) for n in range(9)]) == []
    )
    assert play([login(1000.0 + n) for n in range(9)]) == []


def test_a_success_after_guessing_is_critical_and_named() -> None:
    """Who gets in after many failures for that very user has guessed the password."""
    events = [login(1000.0 + n) for n in range(12)] + [login(1020.0, result="success")]
    last = play(events)[-1]
    assert last.severity == "critical"
    assert last.evidence["compromised"] == "root"
    assert last.title == f"{BAD} got in as root after 12 failed logins"


def test_own_slips_are_forgiven_behind_a_shared_address() -> None:
    """Two hundred people behind one address who mistype once each raise nothing."""
    events = []
    for person in range(200):
        events.append(login(1000.0 + person, user=f"agent{person}"))
        events.append(login(1000.5 + person, user=f"agent{person}", result="success"))
    assert play(events) == []


def test_on_a_shared_address_a_bystander_is_not_the_culprit() -> None:
    """A colleague who just logs in from the address that guesses is not called compromised."""
    events = [login(990.0, user="maria", result="success")]
    events += [login(1000.0 + n) for n in range(12)] + [login(1020.0, "ben", "success")]
    assert all("compromised" not in finding.evidence for finding in play(events))


def test_one_password_for_many_users_is_found_too() -> None:
    """A user a try: the users are counted, named up to a bound, and the severity tells."""
    found = play([login(1000.0 + n * 0.01, user=f"u{n}") for n in range(160)])
    assert found[-1].evidence["user_count"] == 160
    assert len(found[-1].evidence["users"]) == 16
    assert found[-1].severity == "high"


@pytest.mark.parametrize("orig", ["", "gw.example.org", "999.1.1.1"])
def test_logins_without_an_address_are_left_alone(orig: str) -> None:
    """The console has no address, and a name is what the log's resolver said."""
    assert play([login(1000.0 + n, orig=orig) for n in range(50)]) == []


@given(st.lists(st.tuples(st.text(max_size=80), st.booleans(), st.integers(0, 60)), max_size=120))
@settings(max_examples=60, deadline=None)
def test_hostile_names_stay_bounded_and_printable(tries: list[tuple[str, bool, int]]) -> None:
    """Users are the attacker's words: bounded, printable, and no more sources than allowed."""
    chosen = DetectSettings(sources=5, password_guessing=PasswordGuessingSettings(failures=3))
    detector = PasswordGuessing(chosen)
    events = [
        login(1000.0 + place, user, "failure" if bad else "success", f"198.51.100.{low}")
        for place, (user, bad, low) in enumerate(tries)
    ]
    for finding in play(events, detector):
        users = finding.evidence["users"]
        assert len(users) <= 16
        assert all(len(user) <= 64 and (user.isprintable() or not user) for user in users)
    assert detector.counters()["sources"] <= 5


def refused(at: float, **changes: Any) -> dict[str, Any]:
    """Return a row for an SSH session as short as a refused login (OpenSSH, three tries)."""
    return {
        "orig": BAD, "resp": "192.0.2.22", "resp_port": 22, "service": "ssh", "start": at,
        "end": at + 4.0, "orig_packets": 24, "resp_packets": 19, "orig_bytes": 3900,
        "resp_bytes": 3300,
    } | changes  # fmt: skip


def test_small_ssh_sessions_from_outside_are_a_weaker_finding(batch: Batch) -> None:
    """Ten on the wire from outside cross, with a lower score than logs and the same key."""
    detector = PasswordGuessing(DetectSettings())
    [finding] = detector.flows(batch([refused(1000.0 + 5 * n) for n in range(12)]), 1100.0)
    assert finding.key == f"password-guessing|{BAD}"
    assert finding.title == f"{BAD} made 12 ssh logins as short as refused ones"
    assert finding.score < 0.5
    assert finding.evidence["from"] == "wire"
    assert finding.targets == ("192.0.2.22",)
    [log] = detector.events([login(1100.0 + n * 0.01) for n in range(10)], 1101.0)
    assert log.key == finding.key
    assert log.score > finding.score


@pytest.mark.parametrize(
    "changes",
    [
        {"resp_bytes": 50_000},
        {"orig_bytes": 90_000},
        {"orig_packets": 5, "orig_bytes": 300, "resp_bytes": 300},
        {"state": "S0"},
        {"state": "S1"},
        {"resp_port": 443, "service": "tls"},
        {"end": 9000.0},
    ],
    ids=["much came back", "much was sent", "banner only", "no answer", "goes on", "tls", "long"],
)
def test_other_sessions_are_no_guesses(batch: Batch, changes: dict[str, Any]) -> None:
    """Work over SSH, banner checks, unanswered and unfinished sessions do not count."""
    rows = [refused(1000.0 + 5 * n, **changes) for n in range(60)]
    assert PasswordGuessing(DetectSettings()).flows(batch(rows), 1300.0) == []


def test_automation_that_also_does_work_is_known(batch: Batch) -> None:
    """Who also has a session that only somebody logged in has is no stranger at the door."""
    inside = {"orig": "10.0.0.7", "direction": DIRECTIONS.index("internal")}
    rows = [refused(1000.0, resp_bytes=900_000, **inside)]
    rows += [refused(1001.0 + 5 * n, **inside) for n in range(60)]
    assert PasswordGuessing(DetectSettings()).flows(batch(rows), 1300.0) == []
    # A check each minute from inside stays under the line for the wire.
    rows = [refused(1000.0 + 60 * n, **inside) for n in range(30)]
    detector = PasswordGuessing(DetectSettings())
    found = [one for row in rows for one in detector.flows(batch([row]), row["end"])]
    assert found == []
