"""What an event says of names, agents and devices."""

from __future__ import annotations

from ipwatchd.history.facts import extract
from ipwatchd.history.rollup import pack
from ipwatchd.records.address import split
from ipwatchd.records.event import Arp, Certificate, Kerberos, Ndp, Ntlm, Quic, Radius, Sip, Tls

T0 = 1_700_000_000.0
AGENT, SERVER = "10.20.0.5", "203.0.113.9"
ENDS = {"ts": T0, "orig": AGENT, "resp": SERVER}


def key(address: str) -> bytes:
    """Return an address as history keys it."""
    return pack(*split(address))


def test_names_of_servers() -> None:
    """QUIC and certificates name a server as TLS does; a ServerHello repeats and is not counted."""
    facts = extract(
        [
            Tls(**ENDS, name="A.example"),
            Tls(**ENDS, name="a.example", response=True),
            Quic(**ENDS, name="a.example"),
            Certificate(**ENDS, name="*.example"),
        ]
    )
    assert {name: row[0] for name, row in facts.names.items()} == {
        (key(SERVER), "a.example", "tls"): 1,
        (key(SERVER), "a.example", "quic"): 1,
        (key(SERVER), "*.example", "certificate"): 1,
    }


def test_agents_of_granted_logins() -> None:
    """A granted Kerberos or RADIUS login binds its user; an attempt and a machine do not."""
    facts = extract(
        [
            Kerberos(**ENDS, message="AS-REP", user="maria"),
            Kerberos(**ENDS, message="AS-REQ", user="guess"),
            Kerberos(**ENDS, message="AS-REP", user="desk-7$"),
            Radius(**ENDS, message="access-accept", user="ana", address="10.20.0.9"),
            Radius(**ENDS, message="access-reject", user="guess", address="10.20.0.9"),
            Radius(**ENDS, message="access-accept", user="nowhere"),
            Ntlm(**ENDS, user="guess"),
        ]
    )
    assert set(facts.agents) == {
        ("maria", key(AGENT), "kerberos"), ("ana", key("10.20.0.9"), "radius"),
    }  # fmt: skip


def test_a_caller_who_is_not_told_is_no_agent() -> None:
    """Exchanges write "anonymous" or "unavailable" where they hide who calls."""
    users = ("4711", "anonymous", "Unavailable", "restricted")
    facts = extract([Sip(**ENDS, method="INVITE", user=user) for user in users])
    assert set(facts.agents) == {("4711", key(AGENT), "sip")}


def test_devices_of_neighbours() -> None:
    """A neighbour's claim binds address and MAC, of both families; a probe claims nothing."""
    mac = "02:00:00:00:00:01"
    facts = extract(
        [
            Arp(ts=T0, operation="reply", mac=mac, address=AGENT),
            Ndp(ts=T0, operation="advertisement", mac=mac, address="fe80::1"),
            Ndp(ts=T0, operation="solicitation", mac="", address="fe80::2"),
        ]
    )
    assert set(facts.devices) == {(key(AGENT), mac), (key("fe80::1"), mac)}
