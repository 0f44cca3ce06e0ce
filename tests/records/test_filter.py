"""The filter language: what people type, what is refused and how."""

from __future__ import annotations

import ipaddress
import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.records.filter import (
    FIELDS,
    KEYS,
    Filter,
    FilterError,
    Shape,
    Span,
    Term,
    help_text,
    parse,
    render,
)

NOW = 1_780_000_000.0
NET = ipaddress.ip_network


def test_the_example_of_the_manual() -> None:
    """Every term of the example is read with its key, value and negation."""
    text = "src:10.20.0.0/16 country:ru port:3389 agent:maria since:24h !list:trusted"
    assert parse(text, NOW) == Filter(
        (
            Term("src", (NET("10.20.0.0/16"),)),
            Term("country", ("RU",)),
            Term("port", (Span(3389, 3389),)),
            Term("agent", ("maria",)),
            Term("since", (NOW - 86400,)),
            Term("list", ("trusted",), negated=True),
        )
    )


def test_no_text_is_everything() -> None:
    """An empty filter has no terms and no bounds in time."""
    empty = parse("  \t ", NOW)
    assert empty == Filter()
    assert (empty.since(), empty.until()) == (0.0, float("inf"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("port:22,8000-8999", (Span(22, 22), Span(8000, 8999))),
        ('name:"a b","c,d"', ("a b", "c,d")),
        ('name:"say \\"hi\\" \\\\"', ('say "hi" \\',)),
        ("dst:2001:db8::/32", (NET("2001:db8::/32"),)),
        ("2001:db8::1", (NET("2001:db8::1"),)),
        ("10.1.2.3/8", (NET("10.0.0.0/8"),)),
        ("proto:tcp,50", (6, 50)),
        ("asn:AS64500", (64500,)),
        ("state:sf,triage", ("SF", "TRIAGE")),
        ("since:2026-03-01", (1772323200.0,)),
        ("until:2026-03-01T08:00+01:00", (1772323200.0 + 7 * 3600,)),
        ("since:90s", (NOW - 90,)),
        ("since:15m", (NOW - 900,)),
        ("since:7d", (NOW - 7 * 86400,)),
        ("SRC:10.0.0.1", (NET("10.0.0.1"),)),
    ],
)
def test_values(text: str, values: tuple[object, ...]) -> None:
    """Commas, quotes, ranges, both families, bare addresses, durations and dates are read."""
    assert parse(text, NOW).terms[0].values == values


@pytest.mark.parametrize(
    ("text", "position", "piece", "hint"),
    [
        ("port:22 contry:RU", 8, "contry", "country:"),
        ("port:22 sevice:ssh", 8, "sevice", "service:"),
        ("src:10.0.0.300", 4, "10.0.0.300", ""),
        ("port:22,x", 8, "x", ""),
        ("port:70000", 5, "70000", ""),
        ("port:9-1", 5, "9-1", ""),
        ("src:", 4, "", ""),
        ("src:10.0.0.1,", 13, "", ""),
        ('name:"open', 5, '"open', ""),
        ('name:"a"b', 8, "b", ""),
        ("xyzzy", 0, "xyzzy", ""),
        ("!", 1, "", ""),
        ("!since:1h", 0, "!since:", ""),
        ("since:1h,2h", 11, "since", ""),
        ("since:yesterday-ish", 6, "yesterday-ish", ""),
        ("country:RUS", 8, "RUS", ""),
        ("severity:hi", 9, "hi", ""),
        ("by:servce", 3, "servce", ""),
        ("!by:service", 0, "!by:", ""),
        ("count:addr", 6, "addr", ""),
        ("every:0s", 6, "0s", ""),
        ("every:1h,2h", 11, "every", ""),
        ("port:22 since:2099-01-01", 14, "2099-01-01", ""),
        ("since:1h until:2h", 15, "2h", ""),
        ("until:2026-03-01 since:2026-03-01", 6, "2026-03-01", ""),
        ("name:x" + " name:x" * 1000, 4096, "", ""),
        ("port:1" + ",1" * 300, 606, "", ""),
    ],
)
def test_refusals(text: str, position: int, piece: str, hint: str) -> None:
    """A wrong filter names the character, the piece and the nearest key."""
    with pytest.raises(FilterError) as caught:
        parse(text, NOW)
    assert (caught.value.position, caught.value.piece, caught.value.hint) == (position, piece, hint)
    assert str(caught.value).startswith(f"filter, character {position + 1}: ")


def test_times_that_make_no_sense_say_why() -> None:
    """The sentence has both times as they were understood."""
    with pytest.raises(FilterError, match="19:26:40 UTC: nothing lies between them"):
        parse("since:1h until:2h", NOW)
    with pytest.raises(FilterError, match="'2099-01-01' lies after now, 2026-05-28 20:26:40 UTC"):
        parse("since:2099-01-01", NOW)


def test_sums() -> None:
    """Terms that shape the answer are apart from those that choose rows."""
    query = parse("country:RU by:service,country every:1h count:orig by:port since:7d", NOW)
    assert query.shape() == Shape(("service", "country", "port"), 3600, ("orig",))
    assert [term.key for term in query.rows().terms] == ["country", "since"]
    assert parse("country:RU", NOW).shape() is None


def test_a_wrong_choice_names_the_nearest() -> None:
    """A mistyped service or state gets the one that was probably meant."""
    with pytest.raises(FilterError, match="did you mean kerberos"):
        parse("service:kerbros", NOW)


def test_every_example_of_the_table_parses() -> None:
    """The examples that help shows are themselves right."""
    for key in KEYS.values():
        assert parse(key.example, NOW).terms[0].key == key.name
        assert key.example in help_text()


def test_bounds_in_time() -> None:
    """The narrowest since and until count."""
    both = parse("since:2h since:1h until:10m until:30m", NOW)
    assert (both.since(), both.until()) == (NOW - 3600, NOW - 1800)


def test_it_imports_without_numpy() -> None:
    """The command line starts fast: the language needs no numpy."""
    code = "import sys, ipwatchd.records.filter; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


_networks = st.one_of(
    st.ip_addresses().map(NET),
    st.tuples(st.ip_addresses(v=4).map(int), st.integers(0, 32)).map(
        lambda pair: NET(pair, strict=False)
    ),
)
_texts = st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text)
_ports = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(
    lambda pair: Span(min(pair), max(pair))
)
_values: dict[str, st.SearchStrategy[object]] = {
    "addr": _networks,
    "src": _networks,
    "port": _ports,
    "agent": _texts,
    "name": _texts,
    "country": st.text(string.ascii_uppercase, min_size=2, max_size=2),
    "asn": st.integers(0, 2**32 - 1),
    "proto": st.integers(0, 255),
    "service": st.sampled_from(["dns", "tls", "rdp"]),
}
_moments = st.integers(0, int(NOW) * 1024).map(lambda ms: (ms / 1024,))
_terms = st.one_of(
    *(
        st.builds(
            Term,
            st.just(key),
            st.lists(values, min_size=1, max_size=3).map(tuple),
            st.booleans(),
        )
        for key, values in _values.items()
    ),
    st.builds(Term, st.just("since"), _moments),
    st.builds(Term, st.just("until"), _moments.map(lambda one: (NOW + one[0],))),
    st.builds(Term, st.just("every"), st.integers(1, 366 * 86400).map(lambda one: (one,))),
    st.builds(
        Term,
        st.sampled_from(["by", "count"]),
        st.lists(st.sampled_from(FIELDS[1:]), min_size=1, max_size=3).map(tuple),
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_terms, max_size=5).map(lambda terms: Filter(tuple(terms))))
def test_rendered_and_parsed_again_it_is_the_same(query: Filter) -> None:
    """Render and parse are inverse."""
    again = parse(render(query), NOW)
    assert len(again.terms) == len(query.terms)
    for mine, theirs in zip(query.terms, again.terms, strict=True):
        assert (mine.key, mine.negated) == (theirs.key, theirs.negated)
        if mine.key in {"since", "until"}:
            assert theirs.values[0] == pytest.approx(mine.values[0], abs=1e-6)
        else:
            assert mine.values == theirs.values


_pieces = ["src:", "port", ":", "!", ",", '"', " ", "\\", "10.0.0.1", "1h", "since:", "é"]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(_pieces)).map("".join)))
def test_garbage_is_a_filter_or_a_filter_error(text: str) -> None:
    """Whatever is typed, the answer is a filter or one sentence with a position inside the text."""
    position = 0
    try:
        query = parse(text, NOW)
        assert len(parse(render(query), NOW).terms) == len(query.terms)
    except FilterError as error:
        position = error.position
    assert 0 <= position <= len(text)
