"""What programs log is read as it was meant: lines of real programs, and labelled ones of others.

real.jsonl was written by running the programs that it names (OpenSSH, OpenVPN, Asterisk,
FreeRADIUS, Postfix, Dovecot, nginx, Apache, Squid …) with good, bad and hostile logins.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from ipwatchd.logs import Reader, parse_line
from ipwatchd.records.event import Auth, Vpn

NOW: Final = 1_795_304_700.0

NOT_ALONE: Final = (
    # The client is in an earlier line of the same process, or in none.
    "Too many authentication failures", "Read from socket failed", "kex_exchange_identification",
    "ruser=sudoer rhost=192.0.2.114", "Accepted password for known",
    "Connection closed by 192.0.2.15 port 35352",
    "no matching mac found", "Unable to negotiate a key exchange method",
    # Two readings, told without an address.
    "ssh2: from 10.10.1.2 port 55555 ssh2", "ruser= rhost=192.0.2.2 user=test rhost=192.0.2.152",
    # No stamp and no host: a program's own words look like that too.
    "host nginx[", "atom named[", "NOTICE[566]: chan_sip.c:28926 handle_request_register",
    # Labelled both ways, by the mode of the filter.
    "[evasive20:error]",
)  # fmt: skip
OTHER: Final = frozenset({"recidive"})
"""A ban of somebody else's: no login."""


def events(rows: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """Return the events of lines read in their order, echoes of others among them."""
    reader = Reader(alone=True)
    read = [reader.line(row["line"], now=NOW, source="x") for row in rows]
    return [msgspec.to_builtins(event) if event else None for event in read]


def test_lines_of_real_programs() -> None:
    """Each line of each program gives what it was seen to mean, or nothing."""
    text = Path(__file__).with_name("real.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len({row["program"] for row in rows}) >= 11
    for row, event in zip(rows, events(rows), strict=True):
        want = row["event"]
        assert (event is None) == (want is None), row["line"]
        assert want is None or event is None or want.items() <= event.items(), row["line"]
        assert event is None or event.get("orig") not in {"6.6.6.6", "203.0.113.66"}


def test_lines_labelled_by_fail2ban(shared: Path) -> None:
    """Of every program labelled failures are told with client and user, and no others."""
    told = 0
    with (shared / "logs/fail2ban_lines.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        event = parse_line(row["line"], now=NOW, source="")
        if row["service"] in OTHER or any(one in row["line"] for one in NOT_ALONE):
            continue
        if not row["is_failure"]:
            assert not isinstance(event, Auth) or event.result != "failure", row["line"]
            continue
        assert event is not None, row["line"]
        who = {event.orig, getattr(event, "host", "")}
        assert plain(row["ip_or_host"]) in who, row["line"]
        if isinstance(event, Auth):
            assert event.result in {"failure", "aborted"}
            assert row["user"] in {None, event.user}
        told += 1
    assert told == 432


def plain(address: str) -> str:
    """Return an address as we write it, a name as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


@pytest.mark.parametrize(
    "parser",
    ["openvpn", "wireguard-logs", "keycloak-logs", "bind9", "pureftpd-logs", "proftpd-logs",
     "teleport-logs", "vaultwarden-logs", "sshd-success-logs", "pam-logs"],
)  # fmt: skip
def test_lines_labelled_by_crowdsec(shared: Path, parser: str) -> None:
    """What CrowdSec's parsers call a failure or success of a program is one here, and no more."""
    told = 0
    with (shared / "logs/crowdsec_events.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        if row["parser"].rpartition("/")[2] != parser or not row["line"]:
            continue
        event = parse_line(row["line"], now=NOW, source="")
        if row["result"] in {"failure", "success"}:
            assert isinstance(event, Auth), row["line"]
            assert (event.result == "success") == (row["result"] == "success")
            assert row["ip"] in {None, event.orig}
            told += 1
        elif not row["parsed_ok"]:
            assert not isinstance(event, Auth) or event.result != "failure", row["line"]
    assert told


IKE: Final = "Nov 21 19:00:01 gw charon[9]: 06[IKE] <road|83> "


def test_strongswan_tells_of_a_client_that_an_earlier_line_named() -> None:
    """The lines of one IKE_SA belong together; those of another are not mixed up with them."""
    reader = Reader()

    def read(text: str) -> Any:
        return reader.line(text, now=NOW, source="x")

    came = "received packet: from 192.0.2.1[4500] to 10.0.0.1[4500] (144 bytes)"
    assert read(IKE.replace("IKE]", "NET]") + came) is None
    failed = read(IKE + "EAP method EAP_MSCHAPV2 failed for peer maria")
    assert (failed.user, failed.orig, failed.result) == ("maria", "192.0.2.1", "failure")
    other = read(IKE.replace("83", "84") + "EAP method EAP_MSCHAPV2 failed for peer jose")
    assert (other.user, other.orig) == ("jose", "")
    given = read(IKE + "assigning virtual IP 10.3.0.1 to peer 'maria'")
    assert isinstance(given, Vpn)
    assert (given.message, given.address, given.user) == ("assigned", "10.3.0.1", "maria")
    up = read(IKE + "IKE_SA road[83] established between 10.0.0.1[gw.example]...192.0.2.1[maria]")
    assert (up.user, up.orig, up.result) == ("maria", "192.0.2.1", "success")


@pytest.mark.parametrize(
    ("text", "message", "user", "address"),
    [
        ("bob/192.0.2.1:1194 MULTI_sva: pool returned IPv4=10.8.0.6, IPv6=(Not enabled)",
         "assigned", "bob", "10.8.0.6"),
        ("bob/192.0.2.1:1194 MULTI: Learn: 10.8.0.6 -> bob/192.0.2.1:1194", "assigned", "bob",
         "10.8.0.6"),
        ("bob/192.0.2.1:1194 SIGTERM[soft,remote-exit] received, client-instance exiting",
         "released", "bob", ""),
    ],
)  # fmt: skip
def test_openvpn_gives_addresses(text: str, message: str, user: str, address: str) -> None:
    """The pool's addresses are bound to who got them, in the server's own log and in syslog."""
    for head in ("Nov 21 19:00:01 gw ovpn-server[7]: ", "2026-11-21 19:00:01 "):
        event = parse_line(head + text, now=NOW, source="")
        assert isinstance(event, Vpn), head
        assert (event.message, event.user, event.address, event.orig) == (
            message, user, address, "192.0.2.1",
        )  # fmt: skip


def winlogbeat(event: int, **data: str) -> str:
    """Return an event as Winlogbeat ships it."""
    log = {"event_id": str(event), "event_data": data}
    return json.dumps({"@timestamp": "2026-11-21T19:00:01.000Z", "winlog": log})


def nxlog(event: int, **data: str) -> str:
    """Return an event as NXLog and Windows Event Forwarding write it."""
    return json.dumps({"EventTime": "2026-11-21 19:00:01", "EventID": event, **data})


def wazuh(event: int, **data: str) -> str:
    """Return an event as Wazuh writes it."""
    lower = {key[0].lower() + key[1:]: value for key, value in data.items()}
    return json.dumps({"data": {"win": {"system": {"eventID": str(event)}, "eventdata": lower}}})


@pytest.mark.parametrize("ship", [winlogbeat, nxlog, wazuh])
@pytest.mark.parametrize(
    ("event", "status", "result", "method"),
    [
        (4624, "", "success", "kerberos"), (4625, "0xc000006d", "failure", "kerberos"),
        (4740, "", "failure", "lockout"), (4768, "0x0", "success", "kerberos"),
        (4768, "0x6", "failure", "kerberos"), (4771, "0x18", "failure", "kerberos"),
        (4776, "0x0", "success", "ntlm"), (4776, "0xC000006A", "failure", "ntlm"),
    ],
)  # fmt: skip
def test_windows_logons(ship: Any, event: int, status: str, result: str, method: str) -> None:
    """Logon events say who, from where and with which outcome, however they were shipped."""
    found = parse_line(
        ship(event, TargetUserName="maria", IpAddress="::ffff:192.0.2.1", IpPort="50001",
             Status=status, AuthenticationPackageName="Kerberos"),
        now=NOW, source="",
    )  # fmt: skip
    assert isinstance(found, Auth)
    assert (found.user, found.orig, found.orig_port) == ("maria", "192.0.2.1", 50_001)
    assert (found.result, found.method, found.service) == (result, method, "windows")


def test_windows_says_nothing_of_machines_and_other_events() -> None:
    """A machine's own account and events of another number are no logins; "-" is no address."""
    assert parse_line(nxlog(4624, TargetUserName="DESK17$"), now=NOW, source="") is None
    assert parse_line(nxlog(4634, TargetUserName="maria"), now=NOW, source="") is None
    local = parse_line(nxlog(4624, TargetUserName="maria", IpAddress="-"), now=NOW, source="")
    assert local is not None
    assert local.orig == ""


def test_a_site_names_its_own_fields() -> None:
    """What a site calls a fact goes before the names that are known, nested ones too."""
    line = '{"method":"GET","status":200,"tenant":{"id":"acme"},"client_id":"x","peer":"192.0.2.1"}'
    reader = Reader(fields={"key": ("tenant.id",), "client": ("peer",)})
    event: Any = reader.line(line, now=NOW, source="")
    assert (event.key, event.orig) == ("acme", "192.0.2.1")


def test_lines_as_the_sources_write_them() -> None:
    """Lines of programs that are not run here, as their sources' format strings write them."""
    text = Path(__file__).with_name("written.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == 23
    for row in rows:
        event: Any = parse_line(row["line"], now=NOW, source="")
        kind, result, user, where = row["event"]
        assert event.__struct_config__.tag == kind, row["line"]
        assert getattr(event, "result", getattr(event, "message", "")) == result, row["line"]
        assert getattr(event, "user", "") == user, row["line"]
        told = (event.orig, getattr(event, "host", ""), getattr(event, "address", ""))
        assert where in told, row["line"]
