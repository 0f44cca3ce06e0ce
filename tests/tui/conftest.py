"""A stand-in for the daemon: a real HTTP server on a Unix socket that answers from a script."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from contextlib import suppress
from datetime import UTC
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from ipwatchd.control.client import Client, SocketTransport
from ipwatchd.control.messages import (
    Applied,
    Check,
    FirewallState,
    IncidentDetail,
    InterfaceState,
    ListChange,
    Page,
    Problem,
    Rates,
    Status,
    Throughput,
    TopRow,
    UplinkState,
)
from tui.app import IpwatchApp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from textual.pilot import Pilot

NOW = 1_763_730_000.0  # 2025-11-21 13:00:00 UTC


class Script:
    """What the stand-in knows; tests change it at any time."""

    def __init__(self) -> None:
        self.now = NOW
        self.status = status()
        self.throughput = throughput()
        self.top = top()
        self.incidents = incidents()
        self.entries = {"deny": entries(), "allow": []}
        self.records: dict[str, list[dict[str, Any]]] = records()
        self.address: dict[str, Any] = address()
        self.timeline: list[dict[str, Any]] = timeline()
        self.refuse: dict[str, str] = {}
        """start of a path → the sentence it is refused with"""
        self.hang = False
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []

    def changes(self) -> list[tuple[str, str, dict[str, str], Any]]:
        """Return what was asked that was no look."""
        return [one for one in self.asked if one[0] != "GET"]


def status(**changes: Any) -> Status:
    """Return a site on an ordinary day."""
    known = Status(
        version="0.1.0", site="manila-1", now=NOW, live=True, pid=412, started=NOW - 273_840,
        first_packet=NOW - 273_839, memory_bytes=148_000_000, flows_live=4211,
        rates=Rates(packets=12_431.0, bits=84_200_000.0, flows=312.0),
        interfaces=(
            InterfaceState(name="lan0", state="up", packets=81_000_000, bytes=60_000_000_000),
            InterfaceState(name="wan0", state="up", packets=79_000_000, bytes=59_000_000_000),
        ),
        firewall=FirewallState(mode="enforce", present=True, in_sync=True, deny=412, allow=9,
                               packets=18_311, bytes=900_000),
        uplink=UplinkState(url="https://centre.example", reachable=True, committed=941, waiting=0,
                           last_success=NOW - 4),
        incidents_open={"P2": 1, "P3": 2, "P5": 1},
        health=(
            Check(name="disk", ok=True, note="212.4 GB free of which 2.0 are kept clear"),
            Check(name="history", ok=True, note="recording"),
            Check(name="capture lan0", ok=True, note="up"),
            Check(name="capture wan0", ok=True, note="up"),
            Check(name="firewall", ok=True, note="rules equal the lists"),
            Check(name="uplink", ok=True, note="941 events at the centre"),
        ),
    )  # fmt: skip
    return msgspec.structs.replace(known, **changes)


def troubled() -> Status:
    """Return a site where much is wrong."""
    return status(
        interfaces=(
            InterfaceState(name="lan0", state="up", packets=81_000_000, drops=1204),
            InterfaceState(name="wan0", state="missing"),
        ),
        firewall=FirewallState(mode="observe", present=True, in_sync=False, deny=412,
                               packets=18_311, confirm_by=NOW + 240),
        uplink=UplinkState(url="https://centre.example", waiting=42, last_success=NOW - 4000,
                           error="connection refused"),
        health=(
            Check(name="disk", ok=False,
                  note="1.2 GB free of which 2.0 are kept clear: free some or shorten retention"),
            Check(name="history", ok=True, note="recording"),
        ),
        shed={"flow table": 1200, "events": 0, "dissector budget": 88},
    )  # fmt: skip


def throughput() -> list[Throughput]:
    """Return an hour of minutes: a calm start, a busy middle."""
    shape = [20, 22, 25, 24, 30, 34, 33, 40, 52, 60, 58, 66, 71, 80, 84, 79, 75, 70, 72, 68] * 3
    return [
        Throughput(ts=NOW - 3600 + 60 * i, bytes=int(height * 1e6 * 60 / 8), packets=1000, flows=9)
        for i, height in enumerate(shape)
    ]


def top() -> list[TopRow]:
    """Return the busiest addresses of an hour."""
    rows = [
        ("10.20.1.31", "agents", "", "maria.santos", 812, 4_210_000_000, 2, False),
        ("10.20.1.44", "agents", "", "jun.reyes", 640, 2_904_000_000, 1, False),
        ("198.51.100.23", "internet", "US", "", 220, 1_310_000_000, 3, False),
        ("10.20.9.5", "servers", "", "", 5121, 990_400_000, 0, False),
        ("2001:db8:85a3::8a2e:370:7334", "internet", "DE", "", 88, 410_000_000, 12, False),
        ("203.0.113.7", "internet", "RU", "", 9321, 73_400_000, 75, True),
        ("203.0.113.99", "internet", "BR", "", 311, 11_000_000, 340, False),
        ("10.20.1.7", "agents", "", "ana.cruz", 97, 9_300_000, 41, False),
        ("192.0.2.15", "partner:acme", "GB", "", 12, 2_100_000, 900, False),
        ("10.20.1.90", "agents", "", "", 3, 12_400, 3500, False),
    ]
    return [
        TopRow(address=a, zone=z, country=c, agent=g, flows=f, packets=b // 800, bytes=b,
               last_seen=NOW - seen, denied=d)
        for a, z, c, g, f, b, seen, d in rows
    ]  # fmt: skip


def incidents() -> list[dict[str, Any]]:
    """Return four open incidents."""
    rows = [
        (
            "MNL-2025-0042",
            "scan",
            "scanner",
            "high",
            "P2",
            "NEW",
            "203.0.113.7",
            "Port scan: 213 ports on 3 hosts",
            75,
            213,
            "",
        ),
        (
            "MNL-2025-0041",
            "denied-contact",
            "c2",
            "medium",
            "P3",
            "TRIAGE",
            "10.20.1.31",
            "Contact with a denied address 198.18.7.7",
            610,
            4,
            "ops",
        ),
        (
            "MNL-2025-0040",
            "ssh-guess",
            "brute-force",
            "medium",
            "P3",
            "CONTAINED",
            "203.0.113.99",
            "SSH passwords guessed against 10.20.9.5",
            4000,
            96,
            "ops",
        ),
        (
            "MNL-2025-0037",
            "report",
            "phishing",
            "low",
            "P5",
            "REVIEW",
            "ana.cruz",
            "Caller asked for a one-time code",
            90_000,
            1,
            "lee",
        ),
    ]
    return [
        {"id": i, "rule": r, "class": c, "severity": s, "priority": p, "state": st, "subject": sub,
         "title": t, "first_seen": NOW - age - 60, "last_seen": NOW - age, "opened": NOW - age - 59,
         "count": n, "owner": o, "site": "manila-1"}
        for i, r, c, s, p, st, sub, t, age, n, o in rows
    ]  # fmt: skip


def timeline() -> list[dict[str, Any]]:
    """Return what happened to an incident."""
    return [
        {"site": "manila-1", "seq": 7, "time": NOW - 130, "incident": "MNL-2025-0042",
         "actor": "detector:scan", "kind": "opened", "previous": "0" * 64, "hash": "1" * 64,
         "body": {"title": "Port scan: 40 ports on 1 host", "count": 40, "priority": "P3"}},
        {"site": "manila-1", "seq": 8, "time": NOW - 80, "incident": "MNL-2025-0042",
         "actor": "detector:scan", "kind": "grown", "previous": "1" * 64, "hash": "2" * 64,
         "body": {"findings": 3, "count": 173}},
    ]  # fmt: skip


def entries() -> list[dict[str, Any]]:
    """Return some deny entries."""
    rows = [
        ("203.0.113.7/32", "scan of the gateway", "ops", NOW - 500, NOW + 3100, "response:scan"),
        ("198.18.0.0/15", "benchmark range, never ours", "lee", NOW - 900_000, 0.0, "admin"),
        ("2001:db8:bad::/48", "spam source", "feed", NOW - 80_000, NOW + 90_000, "feed:drop"),
    ]
    return [
        {"id": n, "list": "deny", "network": net, "reason": why, "author": by, "created": made,
         "expires": end, "scope": "site", "source": source}
        for n, (net, why, by, made, end, source) in enumerate(rows, 1)
    ]  # fmt: skip


def records() -> dict[str, list[dict[str, Any]]]:
    """Return a few rows of each kind."""
    seen = {"first_seen": NOW - 7200, "last_seen": NOW - 60}
    return {
        "incoming": [
            {"address": "203.0.113.7", "service": "ssh", "port": 22, "country": "RU", "count": 93,
             "bytes": 41_000, "denied": True, **seen},
            {"address": "198.51.100.23", "service": "tls", "port": 443, "country": "US",
             "count": 220, "bytes": 91_000_000, "denied": False, **seen},
        ],
        "agent": [
            {"agent": "maria.santos", "address": "10.20.1.31", "mac": "02:00:5e:10:00:1f",
             "source": "dhcp", **seen},
        ],
        "session": [
            {"address": "10.20.1.31", "agent": "maria.santos", "start": NOW - 7200, "end": NOW - 60,
             "flows": 812, "bytes": 4_210_000_000, "services": ["tls", "sip", "dns"]},
        ],
        "list": [
            {"time": NOW - 500, "list": "deny", "network": "203.0.113.7/32", "action": "add",
             "author": "ops", "reason": "scan of the gateway", "hits": 18_311},
        ],
        "geo": [
            {"address": "203.0.113.7", "country": "RU", "city": "Moscow", "asn": 64500,
             "operator": "Example Hosting", **seen},
        ],
        "api": [
            {"address": "10.20.9.5", "host": "api.example.com", "method": "POST", "status": 200,
             "count": 17, "key": "k-1", "last_seen": NOW - 5},
        ],
        "activity": [
            {"ts": NOW - 60, "kind": "flow", "address": "10.20.1.31", "text": "tls to example.com"},
        ],
        "flows": [
            {"start": NOW - 70, "end": NOW - 60, "proto": "tcp", "orig": "203.0.113.7",
             "orig_port": 40_000 + i, "resp": "10.20.9.5", "resp_port": 20 + i, "orig_packets": 2,
             "orig_bytes": 80, "resp_packets": 1, "resp_bytes": 40, "state": "REJ", "service": "",
             "community_id": "1:abc"}
            for i in range(5)
        ],
        "events": [
            {"ts": NOW - 50, "kind": "dns", "orig": "10.20.1.31", "orig_port": 5353,
             "resp": "10.20.9.5", "resp_port": 53, "proto": "udp", "name": "www.example.com",
             "qtype": "A"},
            {"ts": NOW - 40, "kind": "tls", "orig": "10.20.1.31", "orig_port": 50_100,
             "resp": "198.51.100.23", "resp_port": 443, "proto": "tcp", "name": "crm.example.com",
             "version": "1.3", "ja4": "t13d1516h2_8daaf6152771_02713d6af862"},
        ],
    }  # fmt: skip


def address() -> dict[str, Any]:
    """Return all that is known of one address."""
    return {
        "address": "203.0.113.7",
        "first_seen": NOW - 7200,
        "last_seen": NOW - 75,
        "flows": 9321,
        "bytes": 73_400_000,
        "place": {"zone": "internet", "country": "RU", "city": "Moscow", "asn": 64500},
        "verdict": {
            "address": "203.0.113.7",
            "verdict": "deny",
            "text": "203.0.113.7 is denied by 203.0.113.7/32, added by ops: scan of the gateway",
            "decided_by": entries()[0],
            "precedence": "management, allow, deny",
        },
        "sessions": records()["session"],
        "incidents": incidents()[:1],
    }


class StandIn:
    """The server, in a thread and loop of its own; `stop` and `start` as a daemon would."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = path
        self.script = script
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner: web.AppRunner | None = None
        self._release = asyncio.Event()

    def start(self) -> None:
        """Listen."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)

    def stop(self) -> None:
        """Stop listening, as a daemon that ends."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        # A connection that was taken up while the runner ended belongs to nobody: end it here.
        for transport in list(vars(self._loop)["_transports"].values()):
            if transport._sock is not None:
                transport._sock.close()
                transport._sock = None
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/v1/{rest:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.path)).start()

    async def _stop(self) -> None:
        self._release.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        with suppress(FileNotFoundError):
            self.path.unlink()

    async def _serve(self, request: web.Request) -> web.Response:
        script, path = self.script, request.match_info["rest"]
        body = await request.json() if request.can_read_body else None
        script.asked.append((request.method, path, dict(request.query), body))
        if script.hang:
            await self._release.wait()
        for start, sentence in script.refuse.items():
            if path.startswith(start):
                return _json(Problem(error=sentence, exit=2), 400)
        return _json(self._answer(request.method, path, dict(request.query), body))

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Answer by the first of the calls whose pattern the path has."""
        known = self.script
        calls: dict[str, Callable[..., Any]] = {
            r"GET (status|throughput|top)": lambda name: getattr(known, name),
            r"GET records/(\w+)": lambda kind: _page(known.records[kind], query),
            r"GET (flows|events)": lambda kind: _page(known.records[kind], query),
            r"GET addresses/(?:.*)": lambda: known.address,
            r"GET why/(?:.*)": lambda: known.address["verdict"],
            r"GET lists/(\w+)": lambda name: known.entries[name],
            r"GET lists/\w+/preview": lambda: {
                "network": query["network"], "note": "", "flows": 12, "bytes": 3_400_000,
                "addresses": 1,
            },
            r"GET lists/\w+/export": lambda: {"text": "network\n", "more": False, "next": 0},
            r"POST lists/\w+/import": lambda: {
                "added": 2, "renewed": 1, "refused": 1, "notes": [],
                "problems": ["line 3: 'nonsense' is no address or network"],
            },
            r"POST firewall/mode": lambda: Applied(
                mode=body["mode"], confirm_by=known.now + body["confirm_seconds"]
            ),
            r"POST lists/(\w+)": lambda name: self._add(name, body),
            r"DELETE lists/(\w+)": lambda name: self._remove(name, query["network"]),
            r"GET incidents": lambda: _page(known.incidents, query),
            r"GET incidents/([^/]+)": lambda one: IncidentDetail(
                incident=self._incident(one), timeline=tuple(known.timeline)
            ),
            r"POST incidents/([^/]+)/(\w+)": self._act,
            r"POST firewall/\w+": lambda: Applied(
                mode="enforce", note="the firewall stays in mode enforce"
            ),
        }  # fmt: skip
        for pattern, call in calls.items():
            if found := re.fullmatch(pattern, f"{method} {path}"):
                return call(*found.groups())
        raise web.HTTPNotFound

    def _act(self, identity: str, action: str) -> dict[str, Any]:
        incident = self._incident(identity)
        if action == "take":
            incident["state"] = "TRIAGE"
        return incident

    def _incident(self, identity: str) -> dict[str, Any]:
        return next(one for one in self.script.incidents if one["id"] == identity)

    def _add(self, name: str, body: dict[str, Any]) -> ListChange:
        network = body["network"] if "/" in body["network"] else f"{body['network']}/32"
        seconds = body["seconds"]
        entry = {
            "id": 1000 + len(self.script.entries[name]), "list": name, "network": network,
            "reason": body["reason"], "author": "ops", "created": self.script.now,
            "expires": self.script.now + seconds if seconds else 0.0, "source": "admin",
        }  # fmt: skip
        self.script.entries[name].append(entry)
        self._mark(body["network"], denied=True)
        return ListChange(entry=entry, note="", applied=True)

    def _remove(self, name: str, network: str) -> ListChange:
        held = self.script.entries[name]
        entry = next(e for e in held if e["network"].removesuffix("/32") == network)
        held.remove(entry)
        self._mark(network, denied=False)
        return ListChange(entry=entry, applied=True)

    def _mark(self, address: str, *, denied: bool) -> None:
        self.script.top = [
            msgspec.structs.replace(row, denied=denied) if row.address == address else row
            for row in self.script.top
        ]


def _page(rows: list[dict[str, Any]], query: dict[str, str]) -> Page:
    start, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
    return Page(rows=tuple(rows[start : start + limit]), more=len(rows) > start + limit)


def _json(value: Any, code: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=code, content_type="application/json"
    )


@pytest.fixture
def script() -> Script:
    """Return what the stand-in will say."""
    return Script()


@pytest.fixture
def daemon(tmp_path: Path, script: Script) -> Iterator[StandIn]:
    """Run the stand-in for the daemon."""
    standing = StandIn(tmp_path / "control.sock", script)
    standing.start()
    yield standing
    standing.close()


@pytest.fixture
def make_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], IpwatchApp]:
    """Make apps on the stand-in's socket, at a time that stands still, asking often."""
    for name in ("NO_COLOR", "COLORFGBG", "IPWATCHD_THEME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")

    def make() -> IpwatchApp:
        client = Client(SocketTransport(tmp_path / "control.sock", timeout=5.0))
        return IpwatchApp(client, clock=lambda: NOW, zone=UTC, tick=0.25)

    return make


def screen_text(app: IpwatchApp) -> str:
    """Return what is on the screen, a line a row, without blanks at the ends."""
    strips = app.screen._compositor.render_strips()
    lines = ("".join(segment.text for segment in strip).rstrip() for strip in strips)
    return "\n".join(lines) + "\n"


@pytest.fixture
def until() -> Callable[[Pilot[None], str], Awaitable[str]]:
    """Wait until a text is on the screen (or, with `gone`, no longer), and return the screen."""

    async def wait(pilot: Pilot[None], text: str, *, gone: bool = False) -> str:
        app = pilot.app
        assert isinstance(app, IpwatchApp)
        shown = ""
        for _ in range(3000):  # a minute at least, on a machine that has other work too
            await asyncio.sleep(0.02)
            shown = screen_text(app)
            if (text in shown) != gone:
                return shown
        raise AssertionError(f"{text!r} {'stays on' if gone else 'is not on'} the screen:\n{shown}")

    return wait


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Callable[[Pilot[None], str], Awaitable[None]]:
    """Wait until the screen looks as the one stored; UPDATE_SNAPSHOTS=1 stores it anew."""
    folder = Path(request.path).parent / "snapshots"

    async def compare(pilot: Pilot[None], name: str) -> None:
        app, file = pilot.app, folder / f"{name}.txt"
        assert isinstance(app, IpwatchApp)
        if os.environ.get("UPDATE_SNAPSHOTS"):
            await pilot.pause(1.0)
            folder.mkdir(exist_ok=True)
            file.write_text(screen_text(app), encoding="utf-8")
        stored = file.read_text(encoding="utf-8")
        # A screen is drawn in parts: a dialog may be there before what is below it.
        for _ in range(1000):
            shown = screen_text(app)
            if shown == stored:
                return
            await asyncio.sleep(0.02)
        difference = "\n".join(unified_diff(stored.splitlines(), shown.splitlines(), lineterm=""))
        raise AssertionError(f"{name} looks otherwise than stored:\n{difference}")

    return compare
