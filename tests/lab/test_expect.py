"""The summary's verdicts: everything as it should be passes, each thing missing is named."""

from __future__ import annotations

from typing import Any

import pytest

from ipwatchd.lab.expect import CULPRITS, Scene, Seen, judge_day, judge_scene, pending
from ipwatchd.lab.site import named
from ipwatchd.lab.truth import Deed
from ipwatchd.lab.witness import Kernel


def _deed(actor: str, action: str, to: str, port: int, **more: Any) -> Deed:
    number = 40000 + len(action) + port
    fields = {"proto": "tcp", "outcome": "open", "name": ""} | more
    return Deed(
        ts=1.0, actor=actor, action=action, orig=named(actor).ipv4, orig_port=number,
        resp=named(to).ipv4, resp_port=port, **fields,
    )  # fmt: skip


DEEDS = (
    _deed("desk1", "browse", "web", 443, name="mail.example.com"),
    _deed("desk1", "lookup", "resolver", 53, proto="udp", name="mail.example.com"),
    _deed("desk3", "lookup", "resolver", 53, proto="udp", outcome="refused", name="gone.example"),
    _deed("customer2", "request", "api", 80, name="api.bpo.example"),
    _deed("desk2", "call", "carrier", 5060, proto="udp"),
    _deed("desk2", "voice", "carrier", 50000, proto="udp"),
    _deed("guesser", "password", "ssh", 22, outcome="failure"),
    _deed("admin", "password", "ssh", 22, outcome="success"),
    _deed("mailguesser", "password", "mail", 993, outcome="failure"),
)
_FALSE = {"id": "x", "rule": "port-scan", "subject": "10.20.0.11"}
_KINDS = {"browse": "tls", "lookup": "dns", "request": "http"}


def _seen() -> Seen:
    """Return what a faultless ipwatchd would have seen of DEEDS."""
    flows = [
        {"proto": deed.proto, "orig": deed.orig, "orig_port": deed.orig_port,
         "resp": deed.resp, "resp_port": deed.resp_port}
        for deed in DEEDS
    ]  # fmt: skip
    events: list[dict[str, Any]] = [
        {"kind": _KINDS[deed.action], "orig": deed.orig, "orig_port": deed.orig_port,
         "name": deed.name}
        for deed in DEEDS
        if deed.action in _KINDS
    ]  # fmt: skip
    call = next(deed for deed in DEEDS if deed.action == "call")
    events += [
        {"kind": "sip", "method": "INVITE", "orig": call.orig, "orig_port": call.orig_port},
        {"kind": "auth", "orig": named("guesser").ipv4, "result": "failure"},
        {"kind": "auth", "orig": named("admin").ipv4, "result": "success"},
        {
            "kind": "auth",
            "orig": named("mailguesser").ipv4,
            "result": "failure",
            "source": f"syslog:{named('mail').ipv4}",
        },
        {"kind": "api", "orig": named("customer2").ipv4},
        {"kind": "blocked", "orig": named("denied").ipv4, "resp": named("portal").ipv4},
        {"kind": "blocked", "orig": named("desk3").ipv4, "resp": named("denied").ipv4},
    ]
    incidents = [
        {"id": f"lab-{rule}", "rule": rule, "subject": named(who).ipv4, "priority": "P2",
         "state": "NEW"}
        for who, rule in CULPRITS.items()
    ]  # fmt: skip
    deny = [
        {"network": f"{named(who).ipv4}/32",
         "source": "admin" if who == "denied" else f"response:{rule}"}
        for who, rule in CULPRITS.items()
    ]  # fmt: skip
    probes = dict.fromkeys(("scanner", "guesser", "mailguesser", "denied", "desk3"), "timeout")
    return Seen(
        flows=flows, events=events, incidents=incidents, deny=deny, central=incidents,
        kernel=Kernel(frozenset(named(who).ipv4 for who in CULPRITS), 9, 4),
        probes=probes | {"customer1": "open", "admin": "open"}, shed={"kernel drops": 0},
        source="conntrack",
    )  # fmt: skip


def test_a_faultless_day_has_no_cross() -> None:
    """Everything that was done was seen."""
    assert pending(judge_day(DEEDS, _seen())) == []


@pytest.mark.parametrize(
    ("change", "named_in"),
    [
        ({"flows": []}, "connections of agents and customers"),
        ({"flows": [*_seen().flows, _seen().flows[0]]}, "each once"),
        ({"events": []}, "TLS server names"),
        ({"incidents": _seen().incidents[1:]}, "port-scan of 203.0.113.66"),
        ({"incidents": [*_seen().incidents, _seen().incidents[0]]}, "port-scan of 203.0.113.66"),
        ({"incidents": [*_seen().incidents, _FALSE]}, "nobody else is accused"),
        ({"kernel": Kernel(frozenset(), 0, 0)}, "the kernel dropped packets"),
        ({"probes": _seen().probes | {"scanner": "refused"}}, "203.0.113.66 (scanner) can't get"),
        ({"probes": _seen().probes | {"customer1": "timeout"}}, "customer1"),
        ({"central": []}, "at the centre"),
        ({"central": [*_seen().central, _seen().central[0]]}, "at the centre, once"),
        ({"shed": {"events": 3}}, "nothing was shed"),
        ({"source": "ring"}, "connection tracking"),
    ],
)  # fmt: skip
def test_what_is_missing_or_too_much_is_named(change: dict[str, Any], named_in: str) -> None:
    """One thing changed, and a line of the summary says so."""
    crosses = pending(judge_day(DEEDS, _seen()._replace(**change)))
    assert any(named_in in one for one in crosses), crosses


def test_the_scene_asks_for_the_incident_once_and_equal_rules() -> None:
    """Twice at the centre, or an element too many in the kernel, is a cross."""
    row = {"id": "lab-9", "rule": "port-scan", "subject": named("scanner2").ipv4}
    good = Scene("timeout", frozenset({"192.0.2.13"}), Kernel(frozenset({"192.0.2.13"}), 1, 1),
                 [row], "lab-9")  # fmt: skip
    assert all(one.ok for one in judge_scene(good))
    for bad in (
        good._replace(central=[row, row]),
        good._replace(central=[]),
        good._replace(incident=""),
        good._replace(probe_while_dead="open"),
        good._replace(stored=frozenset()),
        good._replace(kernel=Kernel(frozenset({"192.0.2.13", "192.0.2.14"}), 1, 1)),
    ):
        assert not all(one.ok for one in judge_scene(bad))
