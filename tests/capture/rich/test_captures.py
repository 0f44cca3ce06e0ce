"""Real captures: the events that only the child can give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipwatchd.capture import read_files
from ipwatchd.config import CaptureSettings
from ipwatchd.records.event import Certificate, Kerberos, Ldap, Lldp, Ntlm, Radius, Tls

if TYPE_CHECKING:
    from ipwatchd.records.event import AnyEvent

ROOT = Path(__file__).parents[3]


def events_of(path: Path) -> list[AnyEvent]:
    """Return the events of a capture; the child must have lived through it."""
    capture = read_files([path], CaptureSettings())
    events = [event for delivery in capture for event in delivery.events]
    rich = capture.report.rich
    assert rich.crashed + rich.hung + rich.garbled + rich.shed == 0
    return events


@pytest.mark.parametrize(
    ("file", "kind", "count", "users"),
    [
        ("flows/nDPI__kerberos.pcap", Kerberos, 19, {"johnson-pc$", "theresa.johnson"}),
        ("flows/nDPI__kerberos-error.pcap", Kerberos, 2, {"host/mus-n-cj0709"}),
        ("flows/zeek__ldap_ldap-who-am-i.pcap", Ldap, 2, {"cn=admin,dc=example,dc=com"}),
        ("flows/zeek__ldap_sasl-ntlm.pcap", Ntlm, 1, {"sasladmin@slapd.ldap"}),
        ("malformed/zeek__ldap_ldap_invalid_credentials.pcap", Ldap, 48, set()),
        ("flows/arkime__wireshark-smb-on-windows10.pcap", Ntlm, 7, {"Tim Tester", "user"}),
    ],
)
def test_users(shared: Path, file: str, kind: type, count: int, users: set[str]) -> None:
    """Who logs in is told, of every message that carries it."""
    found = [event for event in events_of(shared / "pcap" / file) if isinstance(event, kind)]
    assert len(found) == count
    assert users <= {event.user for event in found}


def test_radius(shared: Path) -> None:
    """Requests and answers are told on the flow of the access server."""
    found = [
        event
        for event in events_of(shared / "pcap/malformed/ntopng__RADIUS-RFC3162.pcap")
        if isinstance(event, Radius)
    ]
    assert found
    assert all(event.resp_port in {1812, 1813} for event in found)


def test_lldp(shared: Path) -> None:
    """Switches tell their names and ports; a unit made to loop a parser is read once."""
    found = events_of(shared / "pcap/malformed/ntopng__LLDP_and_CDP.pcap")
    told = {(event.name, event.port) for event in found if isinstance(event, Lldp)}
    assert {("S1.cisco.com", "Fa0/13"), ("S2.cisco.com", "Uplink to S1")} <= told
    assert len(events_of(shared / "pcap/malformed/ntopng__lldp-infinite-loop-2.pcap")) == 1


def test_certificate_and_choice(shared: Path) -> None:
    """The server's choice comes with the name asked for, its certificate with its own names."""
    found = events_of(shared / "pcap/flows/suricata-verify__tls-certs-alert_input.pcap")
    (hello,) = [event for event in found if isinstance(event, Tls) and event.response]
    assert (hello.name, hello.version, hello.alpn, hello.cipher) == (
        "example.com", "TLS 1.2", ("h2",), "0xc02f",
    )  # fmt: skip
    (certificate,) = [event for event in found if isinstance(event, Certificate)]
    assert certificate.name == "www.example.org"
    assert "example.com" in certificate.names


def test_a_capture_says_the_same_twice(shared: Path) -> None:
    """Answers of the child come in the order of the packets, whenever they came."""
    path = shared / "pcap/flows/nDPI__kerberos.pcap"
    assert events_of(path) == events_of(path)


def test_none_without_the_child(shared: Path) -> None:
    """With a budget of none no child is started; what it would have read is counted as skipped."""
    capture = read_files(
        [shared / "pcap/flows/nDPI__kerberos.pcap"], CaptureSettings(rich_per_second=0)
    )
    assert not [event for delivery in capture for event in delivery.events]
    assert capture.report.rich.started == 0
    assert capture.report.dissect.skipped == {"kerberos": 19, "ldap": 7}


def test_scapy_stays_in_the_child(shared: Path) -> None:
    """Who reads a capture full of rich protocols never holds scapy in its own process."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ipwatchd.capture import read_files\n"
        "from ipwatchd.config import CaptureSettings\n"
        "capture = read_files([Path(sys.argv[1])], CaptureSettings())\n"
        "events = [event for delivery in capture for event in delivery.events]\n"
        "print(len(events), capture.report.rich.started, 'scapy' in sys.modules)\n"
    )
    path = shared / "pcap/flows/nDPI__kerberos.pcap"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["26", "1", "False"]
