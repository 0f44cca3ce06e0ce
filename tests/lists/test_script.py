"""Lists as a script for nft: the kernel says what our own evaluator does, and it comes back."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.lists import Lists
from ipwatchd.lists.compile import merge, network_ranges
from ipwatchd.lists.formats import FORMATS, entries_of, export, parse, script
from ipwatchd.records.entry import ListEntry
from ipwatchd.records.policy import Policy, ServicePolicy, empty_ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace

WORDS = st.text(max_size=30).map(lambda text: " ".join(text.split())).filter(str.isprintable)
NETWORK = st.one_of(
    st.tuples(st.integers(1 << 24, (1 << 32) - 1), st.integers(8, 32)).map(
        lambda pair: str(ipaddress.ip_network(pair, strict=False))
    ),
    st.sampled_from([
        "2001:db8::/32", "2001:db8::7/128", "203.0.113.7-203.0.113.20", "country:RU", "asn:64500",
        "name:vpn.example.com", "agent:maria",
    ]),
)  # fmt: skip
ENTRY = st.builds(
    lambda network, reason, expires, ticket, scope: ListEntry(
        id=0, list="deny", network=network, reason=reason or "x", author="anna", created=5.0,
        expires=expires, ticket=ticket, scope=scope, source="import",
    ),
    NETWORK, WORDS, st.one_of(st.just(0.0), st.floats(6, 4e9)), WORDS,
    st.sampled_from(["site", "vpn"]),
)  # fmt: skip
NOBODY = empty_ranges()
EMPTY = Policy("enforce", NOBODY, NOBODY, NOBODY)


@given(st.lists(ENTRY, min_size=1, max_size=12), st.sampled_from(["csv", "json", "nft"]))
@settings(max_examples=100, deadline=None)
def test_what_is_exported_is_imported_the_same(entries: list[ListEntry], kind: str) -> None:
    """Network, scope, reason, ticket and end survive, whatever stands in the texts."""
    if kind == "nft":
        text = script(EMPTY, entries, site="s", now=5.0)
    else:
        text = export(entries[:5], kind, last=False) + export(entries[5:], kind, first=False)
    got = parse(text.encode(), now=5.0)
    assert not got.problems
    back = entries_of(got.entries, list="deny", source="import", author="anna", reason="x", now=5.0)
    assert back == entries


async def _lists(folder: Path) -> Lists:
    """Return lists of every kind that a script can hold."""
    lists = await Lists.open(folder, management=["198.18.5.0/28"])
    to = merge(network_ranges(["198.18.9.1/32"]))
    lists.serve([ServicePolicy("vpn", 6, ((443, 443), (8000, 8010)), True, to, NOBODY, NOBODY)])
    who = {"author": "anna", "now": 5.0}
    for name, network, more in (
        ("deny", "198.18.0.0/22", {}), ("deny", "198.18.2.7", {"expires": 5000.0}),
        ("deny", "198.18.4.10-198.18.4.77", {}), ("allow", "198.18.1.0/25", {}),
        ("deny", "2001:db8:1::/48", {}), ("allow", "2001:db8:1::9", {}),
        ("allow", "198.18.6.0/24", {"scope": "vpn"}), ("deny", "198.18.6.66", {"scope": "vpn"}),
        ("deny", "country:RU", {}),
    ):  # fmt: skip
        await lists.add(name, network, reason=f"for {network}", **who, **more)
    await lists.bind({"country:RU": network_ranges(["198.18.7.0/24"])})
    many = [
        ListEntry(id=0, list="deny", network=f"198.18.8.{low}/32", reason="list", author="anna",
                  created=5.0, source="import")
        for low in range(0, 200, 3)
    ]  # fmt: skip
    await lists.add_all(many, now=5.0)
    return lists


async def _told(folder: Path, addresses: list[str]) -> tuple[str, list[ListEntry], dict[str, Any]]:
    """Return the script, the entries, and what our evaluator says of addresses, site and vpn."""
    lists = await _lists(folder)
    kept = lists.entries(now=6.0)
    text = script(lists.policy("enforce", lists.management, now=6.0), kept, site="s", now=6.0)
    said = {
        one: (lists.why(one, 6.0).verdict, lists.why(one, 6.0, "vpn").verdict) for one in addresses
    }
    await lists.close()
    return text, kept, said


def test_real_nft_gives_the_same_verdicts(
    tmp_path: Path, namespace: Callable[[str], Namespace]
) -> None:
    """Its sets hold an address exactly where why says so; loading it again changes nothing."""
    chosen = random.Random(4)
    addresses = [f"198.18.{chosen.randrange(10)}.{chosen.randrange(256)}" for _ in range(200)]
    addresses += ["198.18.6.66", "2001:db8:1::8", "2001:db8:1::9", "2001:db8:2::1"]
    text, kept, said = asyncio.run(_told(tmp_path, addresses))
    file = tmp_path / "lists.nft"
    file.write_text(text)
    box = namespace("box")
    for _ in range(2):
        box.run(["nft", "-f", str(file)])
    listed = box.run(["nft", "list", "ruleset"]).stdout
    sets = dict(re.findall(r"set (\w+) \{(.*?)\n\t\}", listed, re.DOTALL))
    assert {verdict for pair in said.values() for verdict in pair} == {
        "management", "allow", "deny", "none", "only-allowed",
    }  # fmt: skip
    for address, verdicts in said.items():
        family = "_6" if ":" in address else "_4"
        names = {
            name.removesuffix(family) for name, body in sets.items()
            if name.endswith(family) and _holds(body, address)
        }  # fmt: skip
        assert verdicts == _by_hand(names), address
    foreign = parse(listed.encode(), now=6.0)
    assert not foreign.problems
    assert {"198.18.9.1/32", "2001:db8:1::9/128"} <= {one.network for one in foreign.entries}
    got = parse(text.encode(), now=6.0)
    assert {(one.list, one.network, one.scope or "site") for one in got.entries} == {
        (one.list, one.network, one.scope) for one in kept
    }


def _by_hand(names: set[str]) -> tuple[str, str]:
    """Return the verdicts of site and vpn from the sets that hold an address."""
    site = "none"
    if "management" in names:
        return "management", "management"
    if names & {"allow", "bulk_allow"}:
        site = "allow"
    elif names & {"deny", "bulk_deny"}:
        site = "deny"
    own = "on_vpn_allow" in names
    if "on_vpn_deny" in names and not own:
        return site, "deny"
    if site != "none":
        return site, site
    return site, "allow" if own else "only-allowed"


def _holds(listed: str, address: str) -> bool:
    """Tell whether nft's own print of a set names an address."""
    asked = ipaddress.ip_address(address)
    elements = listed.partition("elements = {")[2].partition("}")[0]
    for word in elements.split(","):
        first, _, last = word.split()[0].partition("-") if word.strip() else ("", "", "")
        if not first:
            continue
        if last and ipaddress.ip_address(first) <= asked <= ipaddress.ip_address(last):
            return True
        if not last and asked in ipaddress.ip_network(first):
            return True
    return False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (("table inet x {\n set a {\n elements = { 203.0.113.7, 203.0.113.9 timeout 1h "
          'expires 30m\n comment "one, two" }\n }\n}\n'),
         [("203.0.113.7/32", 0.0), ("203.0.113.9/32", 1801.0)]),
        ("add element inet x a { 203.0.113.0/24 }\n", [("203.0.113.0/24", 0.0)]),
        ("#!/usr/sbin/nft -f\ntable ip x { set y { elements = { 203.0.113.1-203.0.113.9 } } }",
         [("203.0.113.1-203.0.113.9", 0.0)]),
    ],
)  # fmt: skip
def test_scripts_of_others_are_read_by_their_elements(
    text: str, expected: list[tuple[str, float]]
) -> None:
    """What nft prints, or somebody wrote, is a list too."""
    got = parse(text, now=1.0)
    assert [(item.network, item.expires) for item in got.entries] == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_hostile_texts_stay_on_their_line(kind: str) -> None:
    """A reason can't end a comment, close a set, or begin a rule."""
    entry = ListEntry(
        id=0, list="deny", network="203.0.113.7/32", author="a", created=1.0,
        reason='x" }\n flush ruleset # entry {"network":"0.0.0.0/1"}',
    )  # fmt: skip
    text = script(EMPTY, [entry], site="s", now=1.0) if kind == "nft" else export([entry], kind)
    got = parse(text, kind, now=1.0)
    assert [item.network for item in got.entries] == ["203.0.113.7/32"] or kind == "plain"
    assert "\nflush" not in text
