"""Who is at an address, who is not any more, and that nobody inherits another's time."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.enrich.presence import SOURCES, Presence, agent_name
from ipwatchd.records.agent import Agent
from ipwatchd.records.event import Arp, Auth, Bound, Dhcp, Kerberos, Radius, Sip, Vpn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.records.event import AnyEvent

MARIA: Final = Agent(name="maria", extension="204", devices=("02:00:00:00:00:01",))
JOSE: Final = Agent(name="jose", extension="205")
ROSTER: Final = {one.name: one for one in (MARIA, JOSE)}
DESK: Final = "10.20.0.5"
OTHER: Final = "10.20.0.6"


def login(ts: float, user: str, address: str = DESK) -> Auth:
    """Return a login that succeeded."""
    return Auth(ts=ts, orig=address, user=user, result="success", service="ssh")


def lease(ts: float, mac: str, address: str = DESK, message: str = "ACK") -> Dhcp:
    """Return a DHCP message about an address."""
    return Dhcp(ts=ts, message=message, mac=mac, address=address, lease=3600)


def who(presence: Presence, now: float, address: str = DESK) -> list[tuple[str, str]]:
    """Return agents and sources at an address, the surest first."""
    return [(one.agent, one.source) for one in presence.at(address, now)]


def test_what_each_kind_of_evidence_binds() -> None:
    """Login, ticket, phone, accounting, VPN and device bind, the surest first."""
    presence = Presence(ROSTER)
    presence.take(
        [
            lease(1.0, "02:00:00:00:00:01"),
            login(2.0, "ACME\\Maria"),
            Kerberos(ts=3.0, orig=DESK, message="AS-REP", user="maria", realm="ACME.EXAMPLE"),
            Sip(ts=4.0, orig=DESK, method="REGISTER", status=200, user="204"),
            Vpn(ts=5.0, message="assigned", user="jose@acme", address="10.8.0.6"),
            Radius(
                ts=6.0, orig="10.0.0.2", message="accounting-request", user="jose", address=OTHER,
                accounting="Start",
            ),
        ]
    )  # fmt: skip
    assert who(presence, 7.0) == [
        ("maria", "kerberos"), ("maria", "sip"), ("maria", "login"), ("maria", "device"),
    ]  # fmt: skip
    assert who(presence, 7.0, "10.8.0.6") == [("jose", "vpn")]
    assert who(presence, 7.0, OTHER) == [("jose", "radius")]
    assert {one.mac for one in presence.at(DESK, 7.0)} == {"02:00:00:00:00:01"}


@pytest.mark.parametrize(
    "event",
    [
        Auth(ts=1.0, orig=DESK, user="maria", result="failure", service="ssh"),
        Auth(ts=1.0, user="maria", result="success", service="ssh"),
        Kerberos(ts=1.0, orig=DESK, message="AS-REP", user="DESK17$"),
        Kerberos(ts=1.0, orig=DESK, message="AS-REQ", user="maria"),
        Sip(ts=1.0, orig=DESK, method="REGISTER", status=401, user="204"),
        Radius(ts=1.0, orig=DESK, message="access-request", user="maria"),
        Arp(ts=1.0, operation="request", mac="02:00:00:00:00:01", address="0.0.0.0"),  # noqa: S104 - nothing is bound
    ],
)
def test_what_binds_nobody(event: AnyEvent) -> None:
    """Who only tried, and machines, are nobody at an address."""
    presence = Presence(ROSTER)
    assert presence.take([event]) == []
    assert presence.now(2.0) == ()


@pytest.mark.parametrize(
    "event",
    [
        lease(100.0, "02:00:00:00:00:99"),
        Arp(ts=100.0, operation="reply", mac="02:00:00:00:00:99", address=DESK),
        lease(100.0, "02:00:00:00:00:01", message="RELEASE"),
    ],
)
def test_an_address_that_is_handed_on_is_nobodys(event: AnyEvent) -> None:
    """A lease of another card, another card in ARP, and a lease given back end all that was."""
    presence = Presence(ROSTER)
    presence.take([lease(1.0, "02:00:00:00:00:01"), login(2.0, "maria")])
    ended = presence.take([event])
    assert {(one.message, one.user, one.until) for one in ended} == {("end", "maria", 100.0)}
    assert who(presence, 100.0) == []


def test_a_stranger_can_not_give_a_lease_back() -> None:
    """A RELEASE with another card's address ends nothing."""
    presence = Presence(ROSTER)
    presence.take([lease(1.0, "02:00:00:00:00:01"), login(2.0, "maria")])
    assert presence.take([lease(3.0, "02:00:00:00:00:66", message="RELEASE")]) == []
    assert ("maria", "login") in who(presence, 4.0)


def test_accounting_and_vpn_say_when_it_ends() -> None:
    """RADIUS Stop ends what RADIUS said, a VPN's release what it gave to that user."""
    presence = Presence(ROSTER)
    presence.take(
        [
            Radius(ts=1.0, message="accounting-request", user="maria", address=DESK,
                   accounting="Start"),
            Vpn(ts=1.0, message="assigned", user="jose", address="10.8.0.6"),
            Vpn(ts=1.0, message="assigned", user="maria", address="10.8.0.7"),
        ]
    )  # fmt: skip
    ended = presence.take(
        [
            Radius(ts=50.0, message="accounting-request", address=DESK, accounting="Stop"),
            Vpn(ts=60.0, message="released", user="jose"),
        ]
    )
    assert [(one.user, one.orig, one.until) for one in ended] == [
        ("maria", DESK, 50.0), ("jose", "10.8.0.6", 60.0),
    ]  # fmt: skip
    assert who(presence, 61.0, "10.8.0.7") == [("maria", "vpn")]


def test_a_log_says_what_proved_a_login() -> None:
    """A ticket, an extension and accounting that a log tells weigh as those on the wire do."""
    presence = Presence(ROSTER)
    presence.take(
        [
            Auth(ts=1.0, orig=DESK, user="maria@ACME.EXAMPLE", result="success",
                 service="kerberos", method="kerberos"),
            Auth(ts=2.0, orig=DESK, user="204", result="success", service="sip",
                 method="password"),
            Auth(ts=3.0, orig=OTHER, user="205@pbx.example", result="success", service="sip",
                 method="password"),
            Vpn(ts=4.0, message="assigned", user="jose", address="10.77.0.5", service="radius"),
        ]
    )  # fmt: skip
    assert who(presence, 5.0) == [("maria", "kerberos"), ("maria", "sip")]
    for service, method in (("windows", "kerberos"), ("samba", "kerberos kdc")):
        ticket = Auth(ts=5.0, orig=DESK, user="jose", result="success", service=service,
                      method=method)  # fmt: skip
        assert [one.method for one in Presence(ROSTER).take([ticket])] == ["kerberos"]
    assert who(presence, 5.0, OTHER) == [("jose", "sip")]
    assert who(presence, 5.0, "10.77.0.5") == [("jose", "radius")]


@pytest.mark.parametrize(
    "event",
    [
        Auth(ts=1.0, orig=DESK, user="host/desk17@ACME", result="success", service="kerberos"),
        Auth(ts=1.0, orig=DESK, user="DESK17$", result="success", service="kerberos"),
        Kerberos(ts=1.0, orig=DESK, message="AS-REP", user="host/desk17"),
    ],
)
def test_a_machine_is_nobody(event: AnyEvent) -> None:
    """The ticket of a host says nothing of a person."""
    assert Presence(ROSTER).take([event]) == []


def test_the_manager_of_a_pbx_is_no_phone() -> None:
    """A login to Asterisk's manager interface is a login, not an extension's."""
    presence = Presence(ROSTER)
    presence.take(
        [Auth(ts=1.0, orig=DESK, user="204", result="success", service="sip", method="manager")]
    )
    assert who(presence, 2.0) == [("204", "login")]


def test_an_end_of_one_connection_is_not_that_of_another() -> None:
    """Of two connections of one user the one that ends takes its addresses with it, no others."""
    presence = Presence(ROSTER)

    def given(address: str, port: int) -> Vpn:
        return Vpn(ts=1.0, message="assigned", user="maria", address=address, orig="192.0.2.77",
                   orig_port=port, service="openvpn")  # fmt: skip

    presence.take([given("10.8.0.2", 1), given("fd00::2", 1), given("10.8.0.3", 2)])
    ended = presence.take(
        [Vpn(ts=9.0, message="released", user="maria", orig="192.0.2.77", orig_port=1)]
    )
    assert [one.orig for one in ended] == ["10.8.0.2", "fd00::2"]
    assert who(presence, 10.0, "10.8.0.3") == [("maria", "vpn")]


def test_a_late_end_does_not_end_who_came_next() -> None:
    """A server notices a lost client after it gave the address on: the new one stays."""
    presence = Presence(ROSTER)
    presence.take(
        [
            Vpn(ts=1.0, message="assigned", user="maria", address="10.8.0.2", orig="192.0.2.77",
                orig_port=1),
            Vpn(ts=50.0, message="assigned", user="jose", address="10.8.0.2", orig="192.0.2.78",
                orig_port=2),
            Vpn(ts=60.0, message="released", user="maria", orig="192.0.2.77", orig_port=1),
            Radius(ts=61.0, message="accounting-request", user="maria", address="10.8.0.2",
                   accounting="Stop"),
        ]
    )  # fmt: skip
    assert who(presence, 62.0, "10.8.0.2") == [("jose", "vpn")]
    # A release that came too late is no change: what jose did meanwhile still counts.
    presence.take([login(55.0, "jose", "10.8.0.2")])
    assert ("jose", "login") in who(presence, 62.0, "10.8.0.2")


def test_a_clock_that_is_behind_gives_nobody_anothers_address() -> None:
    """A log two minutes late can't bind its user to an address that was handed on meanwhile."""
    presence = Presence(ROSTER)
    presence.take([lease(0.0, "02:00:00:00:00:01"), lease(1000.0, "02:00:00:00:00:02")])
    # maria logged in at 970, when the desk was hers no more by the other source's clock.
    assert presence.take([login(970.0, "maria")]) == []
    presence.take([login(1001.0, "jose")])
    assert who(presence, 1002.0) == [("jose", "login")]


def test_a_device_of_several_is_nobodys() -> None:
    """A desk that two agents may use says nothing of who sits there."""
    shared = {name: Agent(name=name, devices=("02:00:00:00:00:07",)) for name in ("maria", "jose")}
    presence = Presence(shared)
    presence.take([lease(1.0, "02:00:00:00:00:07")])
    assert who(presence, 2.0) == []


def test_it_fades() -> None:
    """What nothing is seen of any more ends by itself, at the time until which it was believed."""
    presence = Presence(ROSTER)
    presence.take([login(0.0, "maria"), login(1000.0, "maria")])
    assert presence.expire(28_900.0) == []
    (ended,) = presence.expire(30_000.0)
    assert (ended.user, ended.since, ended.until) == ("maria", 0.0, 29_800.0)


def test_a_restart_forgets_nothing() -> None:
    """What began and ended, told again in order, gives the same answer."""
    before = Presence(ROSTER)
    told = before.take([lease(1.0, "02:00:00:00:00:01"), login(2.0, "maria"), login(3.0, "jose")])
    after = Presence(ROSTER)
    after.restore(told)
    assert who(after, 4.0) == who(before, 4.0) == [("jose", "login"), ("maria", "device")]


def test_a_restart_knows_what_was_handed_on() -> None:
    """An address that another card leased stays another's; one that only lapsed does not."""
    before = Presence(ROSTER)
    told = before.take([
        lease(1.0, "02:00:00:00:00:01"), login(2.0, "ana"), lease(9.0, "02:00:00:00:00:99"),
        login(2.0, "ana", OTHER),
    ])  # fmt: skip
    told += before.expire(1e6)
    after = Presence(ROSTER)
    after.restore(told)
    for one in (before, after):
        assert one.handed_on(DESK, "ana")
        assert not one.handed_on(OTHER, "ana")


def test_who_came_back_has_handed_nothing_on() -> None:
    """Their own new login ends the old one; when that lapses nobody else has the address."""
    presence = Presence(ROSTER)
    presence.take([login(1.0, "ana"), login(40_000.0, "ana")])
    presence.expire(1e6)
    assert not presence.handed_on(DESK, "ana")


def test_who_is_erased_is_forgotten() -> None:
    """What names an agent or their card goes, the others' stays."""
    presence = Presence(ROSTER)
    presence.take([login(1.0, "maria"), login(1.0, "jose", OTHER)])

    def without(rows: list[list[str]]) -> list[list[str]]:
        return [row for row in rows if "maria" not in row]

    presence.take([login(2.0, "ana")])
    assert presence.handed_on(DESK, "maria")
    presence.forget(without)
    assert sorted(one.agent for one in presence.now(2.0)) == ["ana", "jose"]
    assert not presence.handed_on(DESK, "maria")


def test_names() -> None:
    """One person has one name, however a system writes it."""
    assert {agent_name(one) for one in ("maria", "MARIA@ACME.EXAMPLE", "ACME\\maria")} == {"maria"}


ADDRESSES: Final = st.sampled_from([DESK, OTHER])
USERS: Final = st.sampled_from(["maria", "jose", "ana"])
MACS: Final = st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:00:02"])
EVENTS: Final = st.one_of(
    st.builds(login, st.just(0.0), USERS, ADDRESSES),
    st.builds(lease, st.just(0.0), MACS, ADDRESSES, st.sampled_from(["ACK", "RELEASE"])),
    st.builds(Arp, ts=st.just(0.0), operation=st.just("reply"), mac=MACS, address=ADDRESSES),
    st.builds(Kerberos, ts=st.just(0.0), orig=ADDRESSES, message=st.just("AS-REP"), user=USERS),
    st.builds(
        Vpn, ts=st.just(0.0), message=st.sampled_from(["assigned", "released"]), user=USERS,
        address=ADDRESSES,
    ),
    st.builds(
        Radius, ts=st.just(0.0), message=st.just("accounting-request"), user=USERS,
        address=ADDRESSES, accounting=st.sampled_from(["Start", "Stop", "Interim-Update"]),
    ),
)  # fmt: skip


def spans(changes: Iterable[Bound], presence: Presence) -> list[Bound]:
    """Return every binding there was: those that ended, and those that go on."""
    over = [one for one in changes if one.message == "end"]
    on = [
        Bound(ts=0.0, orig=one.address, message="on", user=one.agent, method=one.source,
              confidence=one.confidence, since=one.since, until=one.until, mac=one.mac)
        for place in presence._places.values() for one in place.bindings
    ]  # fmt: skip
    return over + on


@given(st.lists(st.tuples(EVENTS, st.floats(-2000, 20_000)), max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_two_agents_are_equally_sure_of_one_address(
    steps: list[tuple[AnyEvent, float]],
) -> None:
    """Whatever happens, in order or late, two agents at one address never weigh the same.

    Nor does a binding go on through a change of the card.
    """
    presence, changes, now = Presence(ROSTER), [], 100_000.0
    handed: list[tuple[str, float]] = []
    macs: dict[str, str] = {}
    newest = now
    for event, step in steps:
        now = max(now + step, 1.0)
        timed = type(event)(
            **{**{f: getattr(event, f) for f in event.__struct_fields__}, "ts": now}
        )
        if (
            isinstance(timed, (Dhcp, Arp))
            and now >= newest
            and getattr(timed, "message", "ACK") == "ACK"
        ):
            if macs.get(timed.address, timed.mac) != timed.mac:
                handed.append((timed.address, now))
            macs[timed.address] = timed.mac
        elif isinstance(timed, (Dhcp, Arp)) and now < newest:
            # It may be late for this address or not: whose card it is now is not known here.
            macs.pop(timed.address, None)
        newest = max(newest, now)
        changes += presence.take([timed])
    told = spans(changes, presence)
    for one, two in combinations(told, 2):
        if one.orig == two.orig and one.user != two.user and one.confidence == two.confidence:
            assert one.until <= two.since or two.until <= one.since, (one, two)
    for address, moment in handed:
        assert not [one for one in told if one.orig == address and one.since < moment < one.until]


def test_addresses_are_bounded() -> None:
    """Logins from ever new addresses push out the oldest and nothing else."""
    presence = Presence(ROSTER)
    limit = 65_536
    presence.take(
        login(float(turn), "maria", f"10.{turn >> 16}.{turn >> 8 & 255}.{turn & 255}")
        for turn in range(limit + 10)
    )
    assert presence.shed == 10
    assert len(presence._places) == limit
    assert len(SOURCES) == 6


def test_who_claims_every_address_pushes_out_no_agent() -> None:
    """A flood of ARP claims is remembered apart; a card seen before counts all the same."""
    presence = Presence(ROSTER)
    presence.take([login(1.0, "maria", "10.0.0.5")])
    presence.take(
        Arp(ts=2.0, operation="reply", mac="02:00:00:00:00:01", address=f"11.{turn >> 16}."
            f"{turn >> 8 & 255}.{turn & 255}")
        for turn in range(65_536 + 10)
    )  # fmt: skip
    assert [one.agent for one in presence.at("10.0.0.5", 3.0)] == ["maria"]
    assert presence.shed == 0
    last = "11.1.0.9"
    presence.take([Arp(ts=5.0, operation="reply", mac="02:00:00:00:00:02", address=last)])
    assert presence.take([login(4.0, "jose", last)]) == [], "before the card was another's"
    [begun] = presence.take([login(6.0, "jose", last)])
    assert begun.mac == "02:00:00:00:00:02"
    [ended] = presence.take([Arp(ts=7.0, operation="reply", mac="02:00:00:00:00:01", address=last)])
    assert (ended.message, ended.user) == ("end", "jose")


def test_what_was_not_seen_again_ends_at_its_hour() -> None:
    """Each binding ends when its own time is over, however many were looked at before."""
    presence = Presence(ROSTER)
    for turn in range(3):
        presence.take([login(turn * 100.0, f"x{turn}", f"10.0.1.{turn}")])
    ends = [presence.expire(28_800.0 + second) for second in range(0, 301, 50)]
    assert [[one.user for one in told] for told in ends] == [
        ["x0"], [], ["x1"], [], ["x2"], [], [],
    ]  # fmt: skip
