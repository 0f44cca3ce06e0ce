"""Lists as files: real feeds, round trips, and garbage."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.lists import formats, readers
from ipwatchd.lists.compile import merge, network_ranges
from ipwatchd.lists.formats import entries_of, export, parse
from ipwatchd.lists.match import Matcher
from ipwatchd.records.address import address_array
from ipwatchd.records.entry import ListEntry

if TYPE_CHECKING:
    from pathlib import Path


def expected(shared: Path) -> list[dict[str, Any]]:
    """Return what is known of the feeds that are here."""
    known = json.loads((shared / "feeds/EXPECTED.json").read_text())
    names = {path.name for path in (shared / "feeds").iterdir()}
    return [feed for feed in known if feed["file"].removeprefix("feeds/") in names]


def test_real_feeds_come_out_as_published(shared: Path) -> None:
    """Entries, families, collapsed networks and probes in and out are what the label says."""
    feeds = expected(shared)
    assert len(feeds) >= 13
    for feed in feeds:
        got = parse((shared / feed["file"]).read_bytes(), now=1.0)
        networks = [ipaddress.ip_network(item.network) for item in got.entries]
        assert len(networks) == feed.get("ip_entries", feed["entries"]), feed["file"]
        assert len(set(networks)) == feed.get("unique", len(set(networks))), feed["file"]
        six = sum(network.version == 6 for network in networks)
        assert six == feed.get("ipv6", six), feed["file"]
        ranges = merge(network_ranges(networks))
        for side, want in (("probe_in", True), ("probe_out", False)):
            if probes := feed.get(side):
                asked = address_array(probes)
                inside = Matcher(ranges)(asked["hi"], asked["lo"])
                assert (inside == want).all(), (feed["file"], side)


def test_crowdsec_decisions_keep_their_end(shared: Path) -> None:
    """A ban of an hour does not become one for good."""
    for name in ("crowdsec_decisions.csv", "crowdsec_decisions.json"):
        got = parse((shared / "feeds" / name).read_bytes(), now=1000.0)
        assert {item.expires for item in got.entries} == {4600.0}
        assert {item.reason for item in got.entries} == {"manual import from csv"}


def test_comments_host_bits_and_slips_are_named_by_line() -> None:
    """What is mended and what is wrong comes with its line number; the good lines count."""
    text = "# head\n\n203.0.113.7/24 ; SBL1\nno address\n2001:db8::1\t3\n; end\n1.2.3.4/33\n"
    got = parse(text, "plain")
    assert [(item.line, item.network, item.reason) for item in got.entries] == [
        (3, "203.0.113.0/24", "SBL1"),
        (5, "2001:db8::1/128", ""),
    ]
    assert [problem.line for problem in got.problems] == [4, 7]
    assert [note.line for note in got.notes] == [3]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><html><body>503</body></html>", "web page"),
        (b"\n\n  <html>\n", "web page"),
        (b"", "empty"),
        (b"1.2.3.4\n\0\0\0", "binary"),
        (b"Error: rate limit exceeded\n", "no list of addresses: 1 of 1"),
        (b"1.2.3.4\n" + b"junk here\n" * 50, "50 of 51"),
        (b'{"error": "not found"}', "no list of addresses"),
        (b"[1, 2", "neither JSON"),
        (b"[" * 100_000, "neither JSON"),
        (b"ip,reason\nfoo,bar\n", "no list of addresses"),
        (b"ip,reason\n" + b'"' * 3_000_000, "no list of addresses"),
        (b"x" * (readers.BYTES + 1), "is over"),
    ],
)
def test_what_is_no_list_is_refused_in_one_sentence(data: bytes, words: str) -> None:
    """HTML, garbage, half files and disk images never become entries."""
    with pytest.raises(ValueError, match=words) as caught:
        parse(data)
    assert "\n" not in str(caught.value)


def test_fifty_megabytes_of_garbage_are_not_read_to_the_end() -> None:
    """Garbage is given up on early, with the count of what was read."""
    with pytest.raises(ValueError, match="1000 of 1000 lines read"):
        parse(b"some words that are no address\n" * (50 * 1024 * 1024 // 31))


ENTRY = st.builds(
    lambda name, low, length, reason, expires, ticket: ListEntry(
        id=0, list=name, network=str(ipaddress.ip_network((low, length), strict=False)),
        reason=formats.clean(reason) or "x", author="anna", created=5.0, expires=expires,
        ticket=formats.clean(ticket),
    ),
    st.sampled_from(["allow", "deny"]),
    st.one_of(st.integers(1 << 24, (1 << 32) - 1), st.just("2001:db8::77")),
    st.integers(8, 32),
    st.text(max_size=40),
    st.floats(0, 4e9),
    st.text(max_size=10),
)  # fmt: skip


@given(st.lists(ENTRY, min_size=1, max_size=10), st.sampled_from(["csv", "json"]))
@settings(max_examples=150, deadline=None)
def test_what_is_exported_comes_back(entries: list[ListEntry], kind: str) -> None:
    """CSV and JSON carry list, network, reason, end and ticket unharmed."""
    got = parse(export(entries, kind).encode())
    back = entries_of(
        got.entries, list="deny", source="admin", author="anna", reason="none", now=5.0
    )
    assert back == entries
    assert not got.problems


def test_plain_text_comes_back_with_network_and_reason() -> None:
    """The simplest format is enough for networks."""
    entry = ListEntry(
        id=3, list="deny", network="203.0.113.0/24", reason="scan; twice", author="a", created=1.0
    )
    text = export([entry], "plain")
    assert text == "203.0.113.0/24 # scan; twice\n"
    assert parse(text).entries[0].network == entry.network


@given(st.binary(max_size=400), st.sampled_from(["", "plain", "csv", "json"]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_list_or_a_sentence(data: bytes, kind: str) -> None:
    """The readers raise nothing but ValueError, and what they return is canonical."""
    try:
        got = parse(data, kind)
    except ValueError:
        return
    for item in got.entries:
        assert str(ipaddress.ip_network(item.network)) == item.network
