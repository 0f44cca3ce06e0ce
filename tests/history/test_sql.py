"""Filters as SQL: both stores answer as the definition does; values are never part of the SQL."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.history.archive import Names, table
from ipwatchd.history.lake import FLOWS, read_flows
from ipwatchd.history.sql import Where, any_of, compile_filter, like
from ipwatchd.history.views import EVENTS, RECORDS
from ipwatchd.records.event import Auth, Tls
from ipwatchd.records.filter import Filter, FilterError, Span, Term, parse
from tests.history.made import T0, ZONES, flow

if TYPE_CHECKING:
    from tests.history.made import Open

ADDRESSES = ["10.20.0.5", "10.20.1.5", "203.0.113.9", "203.0.113.200", "2001:db8::1", "2001:db9::1"]
_batches = st.lists(
    st.builds(
        flow,
        st.sampled_from(ADDRESSES),
        st.sampled_from(ADDRESSES),
        start=st.integers(-5000, 5000).map(lambda offset: T0 + offset),
        port=st.sampled_from([22, 443, 3389]),
        proto=st.sampled_from([6, 17, 50]),
        state=st.sampled_from(["SF", "S0", "REJ"]),
        service=st.sampled_from(["", "tls", "ssh"]),
        direction=st.sampled_from(["incoming", "outgoing"]),
        zones=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    ),
    min_size=1,
    max_size=8,
).map(np.concatenate)
_terms = st.lists(
    st.sampled_from([
        "src:10.20.0.0/16", "!src:10.20.0.0/16", "dst:203.0.113.0/25,2001:db8::/32",
        "addr:10.20.0.5",
        "addr:2001:db8::/31", "addr:0.0.0.0/0", "!addr:::/0", "port:22,400-500", "proto:udp,50",
        "state:S0,REJ", "service:tls", "!service:tls", "direction:incoming", "zone:agents",
        "zone:*ers", "since:600s", "until:10m", "sport:40000", "vlan:0", "zone:a_ents",
        "country:RU",
    ]),
    max_size=4,
)  # fmt: skip


def holds(term: Term, row: dict[str, Any]) -> bool:
    """Tell whether a term holds for a flow, by the definition of the filter language."""
    ends = {"addr": ("orig", "resp"), "src": ("orig",), "dst": ("resp",)}
    names = {"state": "state", "service": "service", "direction": "direction"}
    numbers = {"port": "resp_port", "sport": "orig_port", "vlan": "vlan"}
    if term.key in ends:
        found = any(
            ipaddress.ip_address(row[end]) in network
            for end in ends[term.key]
            for network in term.values
            if isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network)
        )
    elif term.key in names:
        found = row[names[term.key]] in term.values
    elif term.key in numbers:
        spans = [value for value in term.values if isinstance(value, Span)]
        found = any(low <= row[numbers[term.key]] <= high for low, high in spans)
    elif term.key == "proto":
        found = {"tcp": 6, "udp": 17, "esp": 50}[row["proto"]] in term.values
    elif term.key == "zone":
        pattern = str(term.values[0])
        found = any(
            zone == pattern or (pattern == "*ers" and zone.endswith("ers"))
            for zone in (row["orig_zone"], row["resp_zone"])
        )
    elif term.key == "since":
        found = row["end"] >= term.values[0]
    elif term.key == "until":
        found = row["start"] < term.values[0]
    else:
        found = False
    return found != term.negated


def parse_some(terms: list[str]) -> Filter | None:
    """Return the filter of terms that were drawn; None where no time lies between two of them."""
    try:
        return parse(" ".join(terms), T0)
    except FilterError as error:
        if "nothing lies between" not in str(error):
            raise
        return None


@settings(max_examples=60, deadline=None)
@given(_batches, _terms)
def test_the_archive_answers_as_the_definition_does(flows: np.ndarray, terms: list[str]) -> None:
    """The rows that DuckDB returns are those for which every term holds."""
    live = table(flows, Names(ZONES, (), {}))
    everything = read_flows([], live, [Where("1 = 1")], 100).rows
    query = parse_some(terms)
    if query is None:
        return
    found = read_flows([], live, [compile_filter(query, FLOWS, "flows")], 100).rows
    expected = [row for row in everything if all(holds(term, row) for term in query.terms)]
    assert sorted(map(str, found)) == sorted(map(str, expected))


_events = st.lists(
    st.one_of(
        st.builds(
            Auth, ts=st.integers(-5000, 5000).map(lambda offset: T0 + offset),
            orig=st.sampled_from(ADDRESSES), resp=st.sampled_from(["", *ADDRESSES]),
            resp_port=st.sampled_from([0, 22, 3389]),
            user=st.sampled_from(["Maria", "root", "a_b"]),
            result=st.just("failure"), service=st.just("ssh"), proto=st.sampled_from(["", "tcp"]),
        ),
        st.builds(
            Tls, ts=st.integers(-5000, 5000).map(lambda offset: T0 + offset),
            orig=st.sampled_from(ADDRESSES), resp=st.sampled_from(ADDRESSES),
            resp_port=st.just(443), name=st.sampled_from(["CRM.example.com", "a%b", "example.com"]),
            proto=st.just("tcp"),
        ),
    ),
    min_size=1, max_size=8,
)  # fmt: skip
_asked = st.lists(
    st.sampled_from([
        "src:10.20.0.0/16", "!src:10.20.0.0/16", "addr:203.0.113.0/25,2001:db8::/32",
        "!dst:203.0.113.9", "addr:0.0.0.0/0", "!addr:::/0", "port:22,400-500", "!port:22",
        "kind:tls", "!kind:auth", "user:maria", "user:*r*", "!user:a_b", "name:*.example.com",
        "name:a%b", "!name:*", "proto:tcp", "since:600s", "until:10m",
    ]),
    max_size=4,
)  # fmt: skip


def event_holds(term: Term, row: dict[str, Any]) -> bool:
    """Tell whether a term holds for an event, by the definition of the filter language."""
    ends = {"addr": ("orig", "resp"), "src": ("orig",), "dst": ("resp",)}
    if term.key in ends:
        found = any(
            row.get(end) and ipaddress.ip_address(row[end]) in network
            for end in ends[term.key]
            for network in term.values
            if isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network)
        )
    elif term.key == "port":
        spans = [value for value in term.values if isinstance(value, Span)]
        found = any(low <= row.get("resp_port", 0) <= high for low, high in spans)
    elif term.key in {"user", "name"}:
        has = str(row.get(term.key, "")).lower()
        found = any(
            re.fullmatch(".*".join(map(re.escape, str(one).lower().split("*"))), has, re.DOTALL)
            for one in term.values
        )
    elif term.key == "kind":
        found = row["kind"] in term.values
    elif term.key == "proto":
        found = {"tcp": 6}.get(row.get("proto", ""), 0) in term.values
    else:
        time = float(str(term.values[0]))
        found = row["ts"] >= time if term.key == "since" else row["ts"] < time
    return found != term.negated


async def test_sqlite_answers_as_the_definition_does(open_history: Open) -> None:
    """The events that SQLite returns are those for which every term holds."""
    drawn: list[tuple[list[Any], list[str]]] = []

    @settings(max_examples=60, deadline=None, database=None)
    @given(_events, _asked)
    def draw(events: list[Any], terms: list[str]) -> None:
        drawn.append((events, terms))

    draw()
    async with open_history() as history:
        history.add_events([event for events, _ in drawn for event in events], T0)
        await history.flush(T0)
        everything = await history.events(parse("", T0), 10_000)
        for _, terms in drawn:
            query = parse_some(terms)
            if query is None:
                continue
            found = await history.events(query, 10_000)
            expected = [
                row for row in everything if all(event_holds(term, row) for term in query.terms)
            ]
            assert sorted(map(str, found)) == sorted(map(str, expected)), terms


async def test_an_incidents_state_is_no_flows(open_history: Open) -> None:
    """The language knows both; flows refuse the other with their own."""
    async with open_history() as history:
        with pytest.raises(FilterError, match="TRIAGE is an incident's, flows have OTH, S0"):
            await history.flows(parse("state:triage", T0), 10)


HOSTILE = ["' OR 1=1 --", '"; DROP TABLE event; --', "%", "_", "\\", "*", "a' || (SELECT 1) || '"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_values_are_bound(open_history: Open, text: str) -> None:
    """What a person types is compared, never run: only `*` stands for anything."""
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    async with open_history() as history:
        history.add_flows(flow(), T0)
        history.add_events([Tls(ts=T0, name="plain.example")], T0)
        history.add_events([Auth(ts=T0, user=text, result="success", service="ssh")], T0)
        await history.flush(T0)
        assert len(await history.events(parse(f"user:{quoted}", T0), 10)) == 1 + (text == "*")
        assert len(await history.events(parse(f"name:{quoted} kind:tls", T0), 10)) == (text == "*")
        for kind in (*RECORDS, "activity"):
            keys = RECORDS[kind].matchers if kind in RECORDS else EVENTS.matchers
            for key in ("agent", "list", "name", "user", "zone"):
                if key in keys:
                    await history.records(kind, parse(f"{key}:{quoted}", T0), 10)
        for key in ("agent", "list", "name", "zone"):
            found = await history.flows(parse(f"{key}:{quoted}", T0), 10)
            assert len(found) == (text == "*" and key == "zone")


async def test_agents_lists_and_names_stand_for_addresses(open_history: Open) -> None:
    """A flow is found by who worked there, by the list it is on, by the name it was called."""
    async with open_history() as history:
        history.add_flows(np.concatenate([flow(), flow("10.20.0.6", "198.51.100.7")]), T0)
        history.add_events(
            [
                Auth(ts=T0, orig="10.20.0.5", user="Maria", result="success", service="vpn"),
                Tls(ts=T0, resp="198.51.100.7", name="CRM.example.com"),
            ],
            T0,
        )
        for network, action in (("203.0.113.0/24", "add"), ("198.51.100.0/24", "add"),
                                ("198.51.100.0/24", "remove")):  # fmt: skip
            history.add_list_change(
                ts=T0, list="deny", network=network, action=action, author="ana"
            )
        await history.flush(T0)

        async def originators(text: str) -> list[str]:
            return [row["orig"] for row in await history.flows(parse(text, T0), 10)]

        assert await originators("agent:maria") == ["10.20.0.5"]
        assert await originators("name:*.example.com") == ["10.20.0.6"]
        assert await originators("list:deny") == ["10.20.0.5"]
        assert await originators("!list:deny") == ["10.20.0.6"]
        assert await originators("agent:nobody") == []
        assert await originators("country:RU") == ["10.20.0.5"]
        assert await originators("asn:64500 !country:RU") == ["10.20.0.6"]
        rows = await history.records("session", parse("country:DE", T0), 10)
        assert [row["address"] for row in rows] == ["198.51.100.7"]


async def test_a_key_that_means_nothing_here(open_history: Open) -> None:
    """It is refused with the keys that do."""
    async with open_history() as history:
        with pytest.raises(
            FilterError, match="severity: says nothing about flows; use addr, agent"
        ):
            await history.flows(parse("severity:high", T0), 10)
        with pytest.raises(FilterError, match="says nothing about geo records"):
            await history.records("geo", parse("port:22", T0), 10)
        with pytest.raises(FilterError, match="says nothing about activity"):
            await history.records("activity", parse("severity:high", T0), 10)
        with pytest.raises(ValueError, match="no kind of record: incoming"):
            await history.records("nonsense", parse("", T0), 10)


def test_many_values_stay_shallow() -> None:
    """SQLite refuses expressions deeper than 1,000; ours are balanced trees."""
    found = any_of(Where("a = ?", (number,)) for number in range(5000))
    assert found.parameters == tuple(range(5000))
    depth = deepest = 0
    for character in found.sql:
        depth += {"(": 1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    assert deepest < 20


def test_patterns() -> None:
    """Only the star is special."""
    assert like("n", "A%_\\") == Where("lower(n) = ?", ("a%_\\",))
    assert like("n", "*.a_b")[1] == ("%.a\\_b",)
