"""Data in DNS names is told; long names of content networks and block lists are not."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from msgspec import structs

from ipwatchd.config.detectors import DnsTunnelSettings
from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.dns_tunnel import DnsTunnel, domain_of
from ipwatchd.records.event import Dns


def query(i: int, name: str, qtype: str = "A") -> Dns:
    """Return a query of one client."""
    return Dns(ts=1000.0 + i, name=name, qtype=qtype, orig="10.0.0.9", resp="10.0.0.1")


def data(i: int, letters: int = 40) -> str:
    """Return a label that carries data."""
    return hashlib.sha256(str(i).encode()).hexdigest()[:letters]


def test_many_long_names_under_one_domain_are_a_tunnel() -> None:
    """The finding says how many, how long, how random, and under which domain."""
    found = DnsTunnel(DetectSettings()).events(
        [query(i, f"{data(i)}.t.example.co.uk", "TXT") for i in range(30)], 1030.0
    )
    assert found[0].key == "dns-tunnel|10.0.0.9|example.co.uk"
    assert (found[0].value, found[0].threshold, found[0].severity) == (20, 20, "high")
    assert found[0].evidence["entropy"] > 3.2


@pytest.mark.parametrize(
    "names",
    [
        [f"{data(1)}.cdn.example.net"] * 200,
        [f"www{i}.example.net" for i in range(200)],
        [f"{data(i)}.example{i}.net" for i in range(200)],
        [f"{i}.2.0.192.in-addr.arpa" for i in range(200)],
        [f"{data(i)}.zen.spamhaus.org" for i in range(200)],
        [f"{data(i)}.ebl.msbl.org" for i in range(200)],
        [f"{data(i)}.reputation.trusted.example" for i in range(200)],
    ],
)
def test_other_names_are_none(names: list[str]) -> None:
    """One long name often, short names, many domains, reverse look-ups, block lists, trusted."""
    settings = DetectSettings(dns_tunnel=DnsTunnelSettings(trusted=("trusted.example",)))
    found = DnsTunnel(settings).events([query(i % 100, n) for i, n in enumerate(names)], 1200.0)
    assert found == []


def test_names_of_raw_octets_are_a_tunnel_of_the_right_domain() -> None:
    """Octets of iodine are shown as escapes: longer than 255 letters, and no domain is lost."""
    asked = []
    for i in range(25):
        octets = hashlib.shake_128(str(i).encode()).digest(120)
        label = "".join(f"\\{one | 128:03d}" for one in octets)
        asked.append(query(i, f"0a{label[:240]}.{label[240:]}.t.evil.example", "TXT"))
    [finding] = DnsTunnel(DetectSettings()).events(asked, 1030.0)
    assert finding.key == "dns-tunnel|10.0.0.9|evil.example"
    assert finding.evidence["mean_length"] == 123.0


def test_the_client_is_told_of_and_not_the_resolver_that_asks_for_it() -> None:
    """A resolver passes on what it is asked; where clients aren't seen it is all there is."""
    client = [query(i, f"{data(i)}.t.evil.example", "TXT") for i in range(30)]
    passed = [structs.replace(one, orig="10.0.0.1", resp="198.51.100.53") for one in client]
    both = [one for pair in zip(client, passed, strict=True) for one in pair]
    found = DnsTunnel(DetectSettings()).events(both, 1030.0)
    assert {one.subject for one in found} == {"10.0.0.9"}
    alone = DnsTunnel(DetectSettings()).events(passed, 1030.0)
    assert {one.subject for one in alone} == {"10.0.0.1"}


def test_types_that_only_tunnels_ask_for_need_no_length() -> None:
    """NULL queries for distinct short names are enough (iodine's handshake and polling)."""
    asked = [query(i, f"p{data(i, 5)}.t.example.org", "NULL") for i in range(25)]
    assert DnsTunnel(DetectSettings()).events(asked, 1030.0)


@bounded(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=300), max_size=60))
def test_any_name_is_survived(names: list[str]) -> None:
    """Names of any letters raise no error, and a domain is a part of its name."""
    DnsTunnel(DetectSettings()).events([query(i, name) for i, name in enumerate(names)], 1000.0)
    assert all(name.endswith(domain_of(name)) for name in names)
