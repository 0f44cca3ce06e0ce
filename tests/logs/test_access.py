"""Access logs: combined and JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from ipwatchd.logs import parse_line
from ipwatchd.records.event import Api

NOW: Final = datetime(2026, 11, 21, 20, tzinfo=UTC).timestamp()
AT: Final = datetime(2026, 11, 21, 19, 0, 1, tzinfo=UTC).timestamp()


def api(line: str) -> Api:
    """Return the request that a line reports."""
    event = parse_line(line, now=NOW, source="access.log")
    assert isinstance(event, Api), line
    return event


def test_combined() -> None:
    """Client, user, time, method and status are read, and the path is nowhere."""
    event = api(
        '2001:db8::7 - bob [21/Nov/2026:20:00:01 +0100] "GET /x?token=1 HTTP/2.0" 401 5 "-" "curl"'
    )
    assert (event.orig, event.key, event.method, event.status) == ("2001:db8::7", "bob", "GET", 401)
    assert event.ts == AT
    assert "token" not in repr(event)


@pytest.mark.parametrize(
    ("line", "orig", "name", "method", "status"),
    [
        ('a.example:443 192.0.2.1 - - [x] "POST / HTTP/1.1" 200 5', "192.0.2.1", "a.example:443",
         "POST", 200),
        ('192.0.2.1 - - [x] "" 400 0 "-" "-"', "192.0.2.1", "", "", 400),
        (r'192.0.2.1 - - [x] "\x16\x03\x01" 400 0', "192.0.2.1", "", "", 400),
        (r'192.0.2.1 - - [x] "GET /\" 200 1 HTTP/1.1" 404 0', "192.0.2.1", "", "GET", 404),
        ('192.0.2.1:5555 - a b [x] "GET / HTTP/1.1" 302 0', "192.0.2.1", "", "GET", 302),
    ],
)  # fmt: skip
def test_combined_oddities(line: str, orig: str, name: str, method: str, status: int) -> None:
    """Virtual hosts, ports, empty, binary and escaped requests; the time is now where unknown."""
    event = api(line)
    assert (event.orig, event.name, event.method, event.status) == (orig, name, method, status)
    assert event.ts == NOW


@pytest.mark.parametrize(
    "line",
    [
        '192.0.2.1 - x] "GET / HTTP/1.1" 200 1 [ [x] "GET / HTTP/1.1" 401 0',
        "192.0.2.1 - - [x] GET / 200",
        '! - - [x] "GET / HTTP/1.1" 200 5',
        "hello",
        "",
    ],
)
def test_what_is_no_access_line(line: str) -> None:
    """A line of another shape is no request, nor one whose user tries to end early."""
    assert parse_line(line, now=NOW, source="") is None


@pytest.mark.parametrize(
    ("line", "orig", "key"),
    [
        # Users as nginx 1.26 and Apache 2.4 wrote them.
        (r'192.0.2.1 - x\" y [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5', "192.0.2.1",
         r"x\" y"),
        ('192.0.2.1 - "" [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5', "192.0.2.1", ""),
        ('192.0.2.1 - ein] [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5', "192.0.2.1",
         "ein]"),
        ('192.0.2.1 - 6.6.6.6 - x [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5',
         "192.0.2.1", "6.6.6.6 - x"),
        ('192.0.2.1 - [21/Nov/2026:19:00:01 +0000] [21/Nov/2026:19:00:01 +0000] "GET / H" 401 5',
         "192.0.2.1", "[21/Nov/2026:19:00:01 +0000]"),
        ("192.0.2.1 - " + "q" * 4000 + ' [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5',
         "192.0.2.1", "q" * 255),
        # lighttpd puts the host that the client asked for behind the client.
        ('192.0.2.1 6.6.6.6 bob [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5', "192.0.2.1",
         "bob"),
        ('192.0.2.1 6.6.6.6 - [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5', "192.0.2.1",
         ""),
        # A user "- x" there looks like a virtual host before a client: nobody is accused.
        ('192.0.2.1 6.6.6.6 - x [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5', "", "x"),
        ('10.0.0.1:80 192.0.2.1 - x [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5',
         "192.0.2.1", "x"),
    ],
)  # fmt: skip
def test_users_of_access_logs(line: str, orig: str, key: str) -> None:
    """Whatever a user is called, the login is seen, at its time, and of the client that tried."""
    event = api(line)
    assert (event.orig, event.key, event.status, event.ts) == (orig, key, 401, AT)


@pytest.mark.parametrize("host", ["gw", "gw gw"])
def test_access_lines_in_syslog(host: str) -> None:
    """A web server's access line is read in a syslog message; another program's words are none."""
    text = '192.0.2.1 - bob [21/Nov/2026:19:00:01 +0000] "GET / HTTP/1.1" 401 5 "-" "x"'
    event = api(f"Nov 21 19:00:01 {host} nginx: {text}")
    assert (event.orig, event.key, event.status) == ("192.0.2.1", "bob", 401)
    assert parse_line(f"Nov 21 19:00:01 {host} myscript: {text}", now=NOW, source="") is None


def test_json() -> None:
    """The facts are found under the names of many programs, nested ones too."""
    event = api(
        '{"ts":1795287601.0,"request":{"remote_ip":"10.0.0.1","client_ip":"192.0.2.1",'
        '"method":"get","host":"api.example","headers":{"X-Forwarded-For":["203.0.113.66"]}},'
        '"status":403,"client_id":"partner-7"}'
    )
    assert (event.orig, event.name, event.method, event.status, event.key) == (
        "192.0.2.1", "api.example", "GET", 403, "partner-7",
    )  # fmt: skip
    assert event.ts == AT


def test_json_secret_is_not_kept() -> None:
    """A key that is a credential is named by its digest."""
    event = api('{"time":"2026-11-21T19:00:01Z","method":"GET","status":"200","api_key":"s3cret"}')
    assert event.key.startswith("sha256:")
    assert "s3cret" not in repr(event)
    assert event.ts == AT


def test_json_hops() -> None:
    """Of a list of hops the nearest proxy's word counts, not what the client wrote."""
    event = api(
        '{"RequestMethod":"GET","DownstreamStatus":200,"ClientHost":"203.0.113.66, 192.0.2.1"}'
    )
    assert event.orig == "192.0.2.1"


@pytest.mark.parametrize(
    "line",
    [
        "{}", "{", "{\x00}", '{"method":"GET"}', '{"status":200}', '{"method":1,"status":200}',
        '{"method":"GET","status":true}', '{"method":"GET","status":"2000"}',
        '{"method":"GET","status":-1}', '{"method":"GET","status":{"a":1}}',
        '{"a":' * 3000 + "1" + "}" * 3000,
    ],
)  # fmt: skip
def test_what_is_no_json_access_line(line: str) -> None:
    """An object without method and status is no request; nor is what is no JSON."""
    assert parse_line(line, now=NOW, source="") is None


@pytest.mark.parametrize(
    "odd", ["null", "[1]", '"x"', "1e99", "-5", "true", '"99999999999999999999"']
)
def test_json_with_odd_values(odd: str) -> None:
    """A value of another kind is no fact, and the time is then now."""
    event = api(f'{{"method":"GET","status":200,"time":{odd},"client_ip":{odd},"host":{odd}}}')
    assert event.orig == ""
    assert event.ts == NOW or odd.startswith('"9')
