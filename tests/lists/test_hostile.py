"""Feeds as strangers write them: every style of line, and what is no list at all."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import pytest

from ipwatchd.config.settings import FeedSettings
from ipwatchd.lists.feeds import FeedRefusedError
from ipwatchd.lists.formats import parse
from ipwatchd.lists.keeper import read

ONE, TWO = "203.0.113.7/32", "203.0.113.8/32"


def stix(*patterns: str) -> bytes:
    """Return a TAXII envelope with an indicator for each pattern."""
    objects = [{"type": "indicator", "pattern_type": "stix", "pattern": one} for one in patterns]
    return json.dumps({"more": False, "objects": objects}).encode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("\ufeff# c\r\n203.0.113.7\r\n203.0.113.8\r\n".encode(), [ONE, TWO]),
        (b"203.0.113.7\r203.0.113.8\r", [ONE, TWO]),
        ("203.0.113.7\n203.0.113.8\n".encode("utf-16"), [ONE, TWO]),
        (b"203.0.113.7 # caf\xe9\n", [ONE]),
        (gzip.compress(b"203.0.113.7\n", mtime=0), [ONE]),
        (b"# a\n; b\n// c\n! d\n203.0.113.7 ; x\n203.0.113.8 // y\n", [ONE, TWO]),
        (b"203.0.113.7 - 203.0.113.20\n", ["203.0.113.7-203.0.113.20"]),
        (b"# c\nStart\tEnd\tNetmask\n203.0.113.0\t203.0.113.255\t24\n", ["203.0.113.0/24"]),
        (b"203.0.113.0 255.255.255.0\n", ["203.0.113.0/24"]),
        (b"create bad hash:net\nadd bad 203.0.113.0/24 timeout 300\n", ["203.0.113.0/24"]),
        (b"203.0.113.7:8080\n[2001:db8::5]:443\n203[.]0[.]113[.]8\n",
         [ONE, "2001:db8::5/128", TWO]),
        (b"203.0.113.7,2026-01-01,scanner\n203.0.113.8,2026-01-01,spam\n", [ONE, TWO]),
        (b'"ip","reason"\n"203.0.113.7","a, b"\n', [ONE]),
        (b"ip;reason\n203.0.113.7;scan\n", [ONE]),
        (b"# abuse.ch\n#\nfirst_seen,dst_ip,port\n2026-01-01,203.0.113.7,443\n", [ONE]),
        (b'# "first_seen","dst_ip"\n"2026-01-01","203.0.113.7"\n', [ONE]),
        ((b'{"prefixes":[{"ip_prefix":"203.0.113.0/24"}],"ipv6_prefixes":'
         b'[{"ipv6_prefix":"2001:db8::/32"}]}'), ["203.0.113.0/24", "2001:db8::/32"]),
        (b'{"prefixes":[{"ipv4Prefix":"203.0.113.0/24"}]}', ["203.0.113.0/24"]),
        ((b'{"new":[{"value":"203.0.113.7","scope":"Ip","type":"ban","duration":"4h"}],'
         b'"deleted":[{"value":"203.0.113.8","scope":"Ip","type":"ban"}]}'), [ONE]),
        ((b"id,ip,action,expiration,simulated\n1,Ip:203.0.113.7,ban,3h59m,false\n"
         b"2,Ip:203.0.113.8,captcha,3h59m,false\n3,Ip:203.0.113.9,ban,1h,true\n"), [ONE]),
        (stix("[ipv4-addr:value = '203.0.113.7' OR ipv4-addr:value = '203.0.113.8']",
              "[ipv4-addr:value = '203.0.113.9' AND file:name = 'x']"), [ONE, TWO]),
    ],
)  # fmt: skip
def test_each_style_gives_what_it_names(data: bytes, expected: list[str]) -> None:
    """Nothing is cut short, nothing is taken that was not meant."""
    assert [item.network for item in parse(data, now=1000.0).entries] == expected


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b"#" * (80 << 20)), gzip.compress(b"x")[:10] + b"??", b"http://203.0.113.7/x\n",
     b"203.0.113.*\n", b"010.001.002.003\n", b"-A INPUT -s 203.0.113.7/32 -j DROP\n",
     b'{"error":"rate limited"}', random.Random(1).randbytes(1 << 16).replace(b"\0", b"?")],
    ids=["bomb", "cut", "url", "star", "zeros", "iptables", "error", "garbage"],
)  # fmt: skip
def test_what_names_no_address_is_refused(data: bytes) -> None:
    """One sentence, whatever came."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse(data)
    assert "\n" not in str(caught.value)


FAR = 7_258_118_400.0
"""2200-01-01: no entry ends later."""


@pytest.mark.parametrize(
    ("row", "ends"),
    [
        ({"expires": "9999-12-31T23:59:59Z"}, [FAR]), ({"duration": "999999h" * 9}, [FAR]),
        ({"expires": "inf"}, []), ({"expires": "nan"}, []), ({"expires": 1.8e12}, []),
        ({"expires": 10**300}, []), ({"expires": -(10**300)}, []),
    ],
)  # fmt: skip
def test_an_end_beyond_all_time_stops_nothing(row: dict[str, Any], ends: list[float]) -> None:
    """What is far off ends when the latest may; what is no time at all is left out, the rest stays.

    A number that fits no clock of ours must not end the daemon.
    """
    data = json.dumps([{"ip": "203.0.113.7", **row}, {"ip": "203.0.113.8"}]).encode()
    settings = FeedSettings(file="/x")
    block = read(data, "x", settings, own=[], before=0, now=1000.0).block
    assert [one.expires for one in block.entries("feed:x", "deny")] == [*ends, 0.0]


def test_an_indicator_that_is_valid_for_good() -> None:
    """STIX says it as the year 9999."""
    one = {"type": "indicator", "pattern": "[ipv4-addr:value = '203.0.113.7']",
           "valid_until": "9999-12-31T23:59:59Z"}  # fmt: skip
    data = json.dumps({"type": "bundle", "objects": [one]}).encode()
    assert [item.expires for item in parse(data, now=1000.0).entries] == [FAR]


@pytest.mark.parametrize(
    ("data", "more"),
    [
        (b'{"type":"bundle","objects":5}', {}),
        (b'[{"decisions":[]},{"decisions":5}]', {}),
        (b"# nothing today\n# come again\n", {"format": "csv"}),
        (b'2026,a,ip,203.0.113.7,#x,y\n2026,a,ip,203.0.113.8,#x,"' + b"aaaa\n" * 50_000, {}),
    ],
    ids=["objects", "decisions", "comments", "quote"],
)
def test_what_is_not_what_it_says_gives_what_is_sound(data: bytes, more: dict[str, Any]) -> None:
    """A number for a list, no header, a quote that never ends: what stands before it is taken."""
    assert take(data, **more) == ([ONE] if b"203.0.113.7" in data else [])


def take(data: bytes, **more: Any) -> list[str]:
    """Read as a feed does; return the networks."""
    settings = FeedSettings(file="/x", **more)
    taken = read(data, "x", settings, own=["198.51.100.0/24"], before=0, now=1000.0)
    return [one.network for one in taken.block.entries("feed:x", "deny")]


def test_a_stranger_chooses_no_country() -> None:
    """Selectors are for admins; what ended already is left out; twice is once."""
    assert take(b"country:US\nname:x.example.com\nasn:1\n" + b"203.0.113.7\n" * 3) == [ONE]
    gone = b'[{"value":"203.0.113.8","duration":"-4h"},{"value":"203.0.113.7","duration":"4h"}]'
    assert take(gone) == [ONE]


@pytest.mark.parametrize(
    ("data", "more", "words"),
    [
        (b"127.0.0.1 localhost\n0.0.0.0 bad.example\n", {}, "nobody abroad"),
        (b"198.51.100.9\n203.0.113.7\n", {}, "our own"),
        (b"::/0\n203.0.113.7\n", {}, "our own"),
        (b"203.0.113.7\n" * 3, {"max_entries": 2, "list": "allow"}, ""),
        (b"8.0.0.0/7\n", {"list": "allow"}, "wider than /8"),
        (b"0.0.0.0/0\n", {"list": "allow"}, "wider than /8"),
        (b"2000::/3\n", {"list": "allow"}, "wider than /8"),
        (b"203.0.113.7\n203.0.113.8\n203.0.113.9\n", {"max_entries": 2}, "over max_entries"),
    ],
)
def test_a_feed_that_would_hurt_is_refused(data: bytes, more: dict[str, Any], words: str) -> None:
    """Our own networks denied, or half of the Internet allowed, is nobody's list."""
    if not words:
        assert take(data, **more) == [ONE]
        return
    with pytest.raises(FeedRefusedError, match=words):
        take(data, **more)


@pytest.mark.parametrize("seed", range(20))
def test_lists_made_at_random_come_out_whole(seed: int) -> None:
    """Plain text, CSV, JSON, JSON lines, STIX and MISP of the same networks give the same."""
    chosen = random.Random(seed)
    networks = sorted({
        f"{chosen.randrange(11, 100)}.{chosen.randrange(256)}.{chosen.randrange(256)}.0/24"
        if chosen.random() < 0.5 else f"2a00:{chosen.randrange(1, 65536):x}::/32"
        for _ in range(50)
    })  # fmt: skip
    ends, mark = chosen.choice(["\n", "\r\n"]), chosen.choice([" # ", " ; ", "\t// "])
    styles = {
        "plain": ends.join(f"{one}{mark}why" for one in networks).encode(),
        "csv": ends.join(["cidr,reason", *(f"{one},why" for one in networks)]).encode(),
        "json": json.dumps([{"cidr": one, "reason": "why"} for one in networks]).encode(),
        "lines": ends.join(json.dumps({"cidr": one}) for one in networks).encode(),
        "stix": stix(*(f"[ipv{6 if ':' in one else 4}-addr:value = '{one}']" for one in networks)),
        "misp": json.dumps({"Event": {"info": "why", "Attribute": [
            {"type": "ip-dst", "value": one} for one in networks]}}).encode(),
    }  # fmt: skip
    for name, data in styles.items():
        assert sorted(item.network for item in parse(data, now=1.0).entries) == networks, name
