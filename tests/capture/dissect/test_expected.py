"""Real captures through packet loop and dissectors, against what tshark and nDPI say of them."""

from __future__ import annotations

import csv
import ipaddress
import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pytest

from ipwatchd.capture import CaptureFileError, read_files
from ipwatchd.config import CaptureSettings
from ipwatchd.records.event import Arp, Dhcp, Dns, Http, Quic, Tls

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.records.event import AnyEvent

Rows = list[dict[str, str]]

UNREAD: Final = {
    # Names by file: why they are not expected of the house yet.
    "suricata-verify__dns-over-http2_dns_over_https": "inside TLS, with the keys",
    "nDPI__capwap.": "ARP inside a tunnel of 802.11 frames",
    "libpcap__vxlan": "ARP inside VXLAN",
    "nDPI__rdp2": "DTLS inside RDP's own UDP framing",
}

SETTINGS: Final = CaptureSettings(rich_per_second=0)
"""Rich protocols are tests/capture/rich's."""

TUNNEL_NAMES: Final = 4
"""Names of nDPI__dns-tunnel-iodine whose bytes tshark's UTF-8 decoder groups in another way."""


def unread(file: str) -> bool:
    """Tell whether a file is one that is not expected to be read."""
    return any(name in file for name in UNREAD)


def table(shared: Path, name: str) -> dict[str, Rows]:
    """Return the rows of an answer file by capture."""
    found: dict[str, Rows] = defaultdict(list)
    with (shared / f"EXPECTED_{name}.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if not unread(row["file"]):
                found[row["file"]].append(row)
    return found


class Captures:
    """The events of captures, each read once."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self._events: dict[str, list[AnyEvent]] = {}

    def events(self, file: str) -> list[AnyEvent]:
        """Return the events of a capture in their order."""
        if file not in self._events:
            try:
                deliveries = list(read_files([self._shared / file], SETTINGS))
            except CaptureFileError as error:
                pytest.fail(str(error))
            self._events[file] = [event for one in deliveries for event in one.events]
        return self._events[file]


@pytest.fixture(scope="module")
def captures(shared: Path) -> Captures:
    """Return the captures' events."""
    return Captures(shared)


def as_tshark(name: str) -> str:
    """Return a name as tshark writes it: bytes as UTF-8, what is none as U+FFFD."""
    raw = re.sub(
        rb"\\([0-9]{3})|\\(.)",
        lambda found: bytes([int(found[1])]) if found[1] else found[2],
        name.encode(),
    )
    return raw.decode("utf-8", "replace") if raw != b"." else "<Root>"


def ends(row: dict[str, str]) -> tuple[str, int, str, int]:
    """Return the flow a row is of."""
    return row["src"], int(row["sport"]), row["dst"], int(row["dport"])


def seen(events: list[AnyEvent]) -> dict[str, set[tuple[object, ...]]]:
    """Return what was asked for, by kind as the answer file calls it."""
    found: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    for event in events:
        flow = (event.orig, event.orig_port, event.resp, event.resp_port)
        if isinstance(event, Tls) and not event.response:
            found["sni"].add((*flow, event.name))
        elif isinstance(event, Quic):
            found["quic"].add((*flow, event.name))
        elif isinstance(event, Http) and not event.status:
            found["http_host"].add((*flow, event.name))
        elif isinstance(event, Dns) and not event.response:
            found["dns"].add((*flow, as_tshark(event.name)))
    return found


@pytest.mark.parametrize(
    ("kind", "least"), [("sni", 180), ("quic", 75), ("http_host", 91), ("dns", 715)]
)
def test_names(shared: Path, captures: Captures, kind: str, least: int) -> None:
    """Each name that tshark finds is found, on the same flow, from the same end."""
    agreed = 0
    differing = []
    for file, rows in table(shared, "names").items():
        wanted = [
            row for row in rows if kind == ("quic" if row["detail"] == "quic" else row["kind"])
        ]
        found = seen(captures.events(file))[kind] if wanted else set()
        for row in wanted:
            flow = ends(row)
            # tshark's table has no ports of SCTP.
            without = {(one[0], 0, one[2], 0, one[4]) for one in found} if not flow[1] else found
            if (*flow, row["name"]) in without:
                agreed += 1
            else:
                differing.append((file, *flow, row["name"]))
    tunnel = [one for one in differing if "dns-tunnel-iodine" in str(one[0])]
    assert len(tunnel) <= TUNNEL_NAMES
    assert [one for one in differing if one not in tunnel] == []
    assert agreed >= least


def test_dns_answers(shared: Path, captures: Captures) -> None:
    """The answers are those of tshark in its order.

    tshark lists the addresses of all sections, the name servers' too; an event holds those that are
    the answer, which come first.
    """
    agreed = 0
    for file, rows in table(shared, "dns_answers").items():
        found = defaultdict(list)
        for event in captures.events(file):
            if isinstance(event, Dns) and event.response:
                answers = [one for one in event.answers if is_address(one)]
                names = [one for one in event.answers if not is_address(one)]
                found[event.resp, event.orig, as_tshark(event.name)].append((answers, names))
        for row in rows:
            a, aaaa = row["a"].split(), row["aaaa"].split()
            key = row["server"], row["client"], row["qname"]
            assert any(
                set(row["cname"].split()) <= set(names)
                and [one for one in answers if ":" not in one] == a[: count(answers, ".")]
                and [one for one in answers if ":" in one] == aaaa[: count(answers, ":")]
                for answers, names in found[key]
            ), (file, row, found[key])
            agreed += 1
    assert agreed >= 240


def is_address(text: str) -> bool:
    """Tell whether an answer is an address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def count(answers: list[str], mark: str) -> int:
    """Return how many addresses are of the family whose text has this mark."""
    return sum(mark in one for one in answers)


def test_dhcp(shared: Path, captures: Captures) -> None:
    """Each DHCP message is read in its order: type, client, address, server, host name."""
    for file, rows in table(shared, "dhcp").items():
        events = [event for event in captures.events(file) if isinstance(event, Dhcp)]
        assert len(events) == len(rows), file
        for row, event in zip(rows, events, strict=True):
            assert (event.message, event.mac) == (row["msg"], row["client_mac"])
            assert (event.server, event.hostname) == (row["server_id"], row["hostname"])
            address = row["yiaddr"] if row["yiaddr"] != "0.0.0.0" else row["requested"]  # noqa: S104  DHCP's "none"
            assert not address or event.address == address


def test_arp(shared: Path, captures: Captures) -> None:
    """Each ARP packet is read in its order; the answers have no hardware address of one octet."""
    for file, rows in table(shared, "arp").items():
        events = [event for event in captures.events(file) if isinstance(event, Arp)]
        found = [(one.mac if ":" in one.mac else "", one) for one in events]
        assert [(one.operation, mac, one.address, one.target) for mac, one in found] == [
            (row["op"], row["sender_mac"], row["sender_ip"], row["target_ip"]) for row in rows
        ], file


def test_ja4_is_that_of_ndpi(shared: Path, captures: Captures) -> None:
    """Fingerprints equal those that nDPI publishes for its captures.

    nDPI strays from the description in three places, which are levelled: it writes d where there is
    no server name and i where that is an address, takes the first two letters of a protocol, and
    hashes an empty list.
    """
    agreed = 0
    for file in sorted((shared / "pcap" / "flows").glob("nDPI*.json")):
        about = json.loads(file.read_text(encoding="utf-8"))
        flows = (about.get("published_answer") or {}).get("flows") or []
        wanted = {
            frozenset([(flow["a"], flow["aport"]), (flow["b"], flow["bport"])]): flow["ja4"]
            for flow in flows
            if flow.get("ja4", "") and flow["ja4"][0] in "tq"
        }
        if not wanted or unread(about["file"]):
            continue
        first: dict[frozenset[tuple[str, int]], str] = {}
        for event in captures.events(about["file"]):
            if isinstance(event, Tls | Quic) and event.ja4:
                key = frozenset([(event.orig, event.orig_port), (event.resp, event.resp_port)])
                first.setdefault(key, event.ja4)
        for key, fingerprint in wanted.items():
            if key in first:
                assert level(first[key]) == level(fingerprint), (file.name, key)
                agreed += 1
    assert agreed >= 170


def level(fingerprint: str) -> str:
    """Return a fingerprint without what nDPI does in its own way."""
    empty = "e3b0c44298fc"
    return (fingerprint[:3] + "?" + fingerprint[4:9] + "?" + fingerprint[10:]).replace(
        empty, "0" * len(empty)
    )
