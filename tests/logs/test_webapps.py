# ruff: noqa: E501 - the lines are as long as the programs write them
"""What web applications, panels and a site's own servers say of logins."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from ipwatchd.logs import parse_line
from ipwatchd.records.event import Api, Auth

if TYPE_CHECKING:
    from pathlib import Path

NOW: Final = datetime(2026, 11, 21, 20, tzinfo=UTC).timestamp()
AT: Final = datetime(2026, 11, 21, 19, 0, 1, tzinfo=UTC).timestamp()
SMB: Final = (
    "Nov 21 19:00:01 fs smbd[9]: Auth: [SMB2,(null)] user [CORP]\\[maria] at [Sat, 21 Nov 2026 "
    "19:00:01.030937 UTC] with [NTLMv2] status [{}] workstation [PC7] remote host "
    "[ipv4:192.0.2.1:62419] mapped to [CORP]\\[maria]. local host [ipv4:10.0.0.1:445] "
)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2026/11/21 19:00:01 ...web/auth/auth.go:217:SignInPost() [W] Failed authentication attempt for maria from 192.0.2.1:48560: invalid [uid: 0, name: maria]",
         ("gitea", "failure", "maria", "192.0.2.1")),
        ('2026-11-21T19:00:01,000Z [http-nio-8080-exec-9] WARN  o.a.g.r.auth.AuthenticationService - Authentication attempt from [192.0.2.1, 10.0.0.2] for user "maria" failed.',
         ("guacamole", "failure", "maria", "192.0.2.1")),
        ('2026-11-21T19:00:01,000Z [http-nio-8080-exec-9] INFO  o.a.g.r.auth.AuthenticationService - User "maria" successfully authenticated from 192.0.2.1.',
         ("guacamole", "success", "maria", "192.0.2.1")),
        ("2026-11-21 14:00:01.000 -05:00 [WRN] Failed login attempt. 192.0.2.1",
         ("bitwarden", "failure", "", "192.0.2.1")),
        ("2026-11-21 19:00:01,000 1 INFO shop odoo.addons.base.models.res_users: Login successful for db:shop login:maria@example.org from 192.0.2.1",
         ("odoo", "success", "maria@example.org", "192.0.2.1")),
        ("Nov 21 19:00:01 fw php-fpm[343]: /index.php: Successful login for user 'maria' from: 192.0.2.1 (Local Database)",
         ("firewall-gui", "success", "maria", "192.0.2.1")),
        ("Nov 21 19:00:01 fw php-fpm[343]: /index.php: webConfigurator authentication error for user 'maria' from: 192.0.2.1",
         ("firewall-gui", "failure", "maria", "192.0.2.1")),
        ('2026-11-21 19:00:01.000 UTC [53962] maria@shop FATAL:  no pg_hba.conf entry for host "192.0.2.1", user "maria", database "shop", no encryption',
         ("postgres", "failure", "maria", "192.0.2.1")),
        ('192.0.2.1 2026-11-21 19:00:01.000 UTC [53962] maria@shop FATAL:  password authentication failed for user "maria"',
         ("postgres", "failure", "maria", "192.0.2.1")),
        (SMB.format("NT_STATUS_OK"), ("smb", "success", "maria", "192.0.2.1")),
        (SMB.format("NT_STATUS_WRONG_PASSWORD"), ("smb", "failure", "maria", "192.0.2.1")),
        ('1795287601.2161960.0 [21/Nov/2026 19:00:01] maria - 192.0.2.1 global miniserv.pl "failed" "-" "wrongpass"',
         ("webmin", "failure", "maria", "192.0.2.1")),
        ('[2026-11-21 20:00:01 +0100] info [cpaneld] 192.0.2.1 - maria "POST /login/ HTTP/1.1" FAILED LOGIN cpaneld: root login is not permitted',
         ("cpanel", "failure", "maria", "192.0.2.1")),
        ('time="2026-11-21T19:00:01Z" level=error msg="Unsuccessful 1FA authentication attempt by user \'maria\'" method=POST path=/api/firstfactor remote_ip=192.0.2.1 stack="x"',
         ("authelia", "failure", "maria", "192.0.2.1")),
        ('{"level":"error","method":"POST","msg":"Unsuccessful 1FA authentication attempt by user \'maria\'","path":"/api/firstfactor","remote_ip":"192.0.2.1","time":"2026-11-21T19:00:01Z"}',
         ("authelia", "failure", "maria", "192.0.2.1")),
        ("2026-11-21 19:00:01.00 Logon       Login failed for user 'maria'. Reason: Password did not match that for the login provided. [CLIENT: 192.0.2.1]",
         ("mssql", "failure", "maria", "192.0.2.1")),
        ('{"t":{"$date":"2026-11-21T19:00:01.000+00:00"},"s":"I","c":"ACCESS","id":20249,"ctx":"conn3","msg":"Authentication failed","attr":{"mechanism":"SCRAM-SHA-256","principalName":"maria","authenticationDatabase":"admin","remote":"192.0.2.1:51234"}}',
         ("mongodb", "failure", "maria", "192.0.2.1")),
        ("Nov 21 19:00:01 web phpMyAdmin[7]: user denied: maria (mysql-denied) from 192.0.2.1",
         ("phpmyadmin", "failure", "maria", "192.0.2.1")),
        ("2026-11-21T19:00:01.000Z,EXCHANGE-1\\Default Frontend,08DA4F7C11473A60,9,192.0.2.9:25,192.0.2.1:53722,>,535 5.7.3 Authentication unsuccessful,",
         ("exchange", "failure", "", "192.0.2.1")),
    ],
)  # fmt: skip
def test_a_login(line: str, told: tuple[str, str, str, str]) -> None:
    """Each program's line gives who, from where and with which result, at its own time."""
    event = parse_line(line, now=NOW, source="x")
    assert isinstance(event, Auth), line
    assert (event.service, event.result, event.user, event.orig) == told
    assert event.ts == AT


def test_requests_of_couchdb() -> None:
    """Its log of requests gives client, method and status."""
    line = "[notice] 2026-11-21T19:00:01.000000Z nonode@nohost <0.17607.12> e1fed412f8 db.example 192.0.2.1 undefined GET /secret 404 ok 1"
    event = parse_line(line, now=NOW, source="x")
    assert isinstance(event, Api)
    assert (event.orig, event.method, event.status, event.ts) == ("192.0.2.1", "GET", 404, AT)


@pytest.mark.parametrize(
    "line",
    [
        '2026-11-21T19:00:01,000Z [exec-9] WARN  o.a.g.r.auth.AuthenticationService - Authentication attempt from [203.0.113.66, 192.0.2.1, 10.0.0.2] for user "maria" failed.',
        "2026-11-21 19:00:01 maria logged in from somewhere",
        '2026-11-21 19:00:01.000 UTC [53962] maria@shop ERROR:  relation "x" does not exist',
    ],
)  # fmt: skip
def test_what_accuses_nobody(line: str) -> None:
    """A list of hops that a stranger began names nobody; other lines are no login."""
    assert parse_line(line, now=NOW, source="x") is None


def plain(address: str) -> str:
    """Return an address as we write it."""
    found = ipaddress.ip_address(address)
    return str(getattr(found, "ipv4_mapped", None) or found)


@pytest.mark.parametrize(
    "parser",
    ["adguardhome-logs", "apache-guacamole-logs", "apereo-cas-audit-logs", "bitwarden-logs",
     "hestiacp-logs", "lemonldap-ng-logs", "odoo-logs", "opnsense-gui-logs", "prowlarr-logs",
     "radarr-logs", "sonarr-logs", "qbittorrent-logs", "teamspeak3-logs", "technitium-logs",
     "webmin-logs", "audiobookshelf-logs", "nextcloud-logs", "ombi-logs", "overseerr-logs", "supabase-docker-pgsql", "filebrowser-logs"],
)  # fmt: skip
def test_lines_labelled_by_crowdsec(shared: Path, parser: str) -> None:
    """What CrowdSec's parsers call a failure is one here, of the client they name; no other is."""
    told = 0
    with (shared / "logs/crowdsec_events.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        # This page answers 401 to whoever asks again without a login; 403 is the refused password.
        if (
            row["parser"].rpartition("/")[2] != parser
            or not row["line"]
            or "/api/renew" in row["line"]
        ):
            continue
        event = parse_line(row["line"], now=NOW, source="")
        if row["result"] == "failure":
            assert isinstance(event, Auth), row["line"]
            assert event.result == "failure"
            assert event.orig == plain(row["ip"])
            told += 1
        else:
            assert not isinstance(event, Auth) or event.result != "failure", row["line"]
    assert told


def test_words_within_objects(shared: Path) -> None:
    """Nextcloud and Audiobookshelf say in a text within an object who failed; nobody can forge it."""
    line = {
        "time": "2026-11-21T19:00:01+00:00", "remoteAddr": "10.0.0.1",
        "message": "Login failed: maria (Remote IP: 192.0.2.1)",
    }  # fmt: skip
    event = parse_line(json.dumps(line), now=NOW, source="x")
    assert isinstance(event, Auth)
    assert (event.service, event.result, event.user) == ("nextcloud", "failure", "maria")
    assert (event.orig, event.ts) == ("192.0.2.1", AT)
    user = "x (Remote IP: 203.0.113.66)"
    forged = line | {"message": f"Login failed: {user} (Remote IP: 192.0.2.1)"}
    event = parse_line(json.dumps(forged), now=NOW, source="x")
    assert isinstance(event, Auth)
    assert (event.orig, event.user) == ("192.0.2.1", user)
    assert (
        parse_line(json.dumps(line | {"message": "Trusted domain error."}), now=NOW, source="")
        is None
    )


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"log": "Failed login attempt for x\n", "stream": "stdout", "time": "bad"}),
        '{"log":"unfinished","stream":"stdout","time"',
        "2026-11-21T19:00:01.5Z stdout F nothing of a login",
    ],
)  # fmt: skip
def test_a_container_that_says_nothing(line: str) -> None:
    """What is no login in a container is none, nor what is cut off."""
    assert parse_line(line, now=NOW, source="x") is None


def test_lines_of_containers() -> None:
    """What Docker and Kubernetes put around a line is taken off; their stamp is the line's time."""
    said = "Nov 21 19:00:01 gw sshd[1]: Failed password for root from 192.0.2.1 port 9 ssh2"
    docker = {"log": said + "\n", "stream": "stderr", "time": "2026-11-21T19:00:02.5Z"}
    bare = '{"status":401,"method":"GET","client_ip":"192.0.2.1"}'
    for line in (
        json.dumps(docker, separators=(",", ":")),
        f"2026-11-21T20:00:02.500000000+01:00 stderr F {said}",
    ):
        event = parse_line(line, now=NOW, source="x")
        assert isinstance(event, Auth), line
        assert (event.orig, event.user, event.ts) == ("192.0.2.1", "root", AT)
    wrapped = json.dumps(docker | {"log": bare + "\n"}, separators=(",", ":"))
    request = parse_line(wrapped, now=NOW, source="x")
    assert isinstance(request, Api)
    assert (request.status, request.ts) == (401, AT + 1.5)
