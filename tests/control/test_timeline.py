"""The records that other rooms have a word in: what may an agent, who came and left, who looked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.config import Config, HistorySettings, SiteSettings
from ipwatchd.control.call import Peer
from ipwatchd.control.house import House
from ipwatchd.control.routes import dispatch
from ipwatchd.records.event import Auth, Http, Logout, Radius, Vpn
from ipwatchd.records.finding import Finding
from ipwatchd.stores import Stores
from tests.history.made import T0, flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROSTER = "name,places,devices\nmaria,10.20.0.0/16,\njuan,10.30.0.0/16,\n"
ADMIN, VIEWER = Peer("ana", "admin"), Peer("ben", "viewer")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Return a house with a roster, logins, a VPN, calls and an incident."""
    roster = tmp_path / "roster.csv"
    roster.write_text(ROSTER)
    config = Config(
        site=SiteSettings(name="manila", roster=str(roster)),
        history=HistorySettings(free_bytes=1),
    )
    stores = await Stores.open(config, tmp_path / "state")
    stores.history.add_flows(flow(seconds=600), T0)
    stores.history.add_flows(flow("10.20.0.8", seconds=600), T0)
    stores.history.add_flows(flow("10.20.0.9", seconds=600), T0)
    stores.history.add_events(
        [
            Auth(ts=T0, orig="10.20.0.5", user="ACME\\Maria", result="success", service="ssh"),
            Auth(ts=T0, orig="10.20.0.5", user="juan", result="success", service="ssh"),
            Auth(ts=T0, orig="10.20.0.5", user="mallory", result="success", service="ssh"),
            Vpn(ts=T0 - 5, message="assigned", user="maria", address="10.20.0.8", service="vpn"),
            Vpn(ts=T0 + 610, message="released", user="maria", address="10.20.0.8"),
            Auth(ts=T0 + 2, orig="10.20.0.9", user="juan", result="success", service="ssh"),
            Logout(ts=T0 + 300, orig="10.20.0.9", user="juan", service="ssh"),
            Logout(ts=T0 + 601, orig="10.20.0.9", user="juan", service="ssh"),
            Radius(ts=T0 + 605, message="accounting-request", accounting="Stop", user="maria",
                   address="10.20.0.5", orig="10.9.9.9", resp="10.9.9.8"),
            Http(ts=T0, orig="10.20.0.5", resp="203.0.113.9", name="api.example", method="GET"),
            Http(ts=T0 + 1, orig="10.20.0.5", resp="203.0.113.9", name="api.example", method="GET",
                 status=200),
        ],
        T0,
    )  # fmt: skip
    await stores.history.flush(T0 + 700)
    finding = Finding(
        rule="port-scan", subject="10.20.0.5", title="a scan", severity="high", score=0.9,
        first_seen=T0, last_seen=T0, count=5, key="k", classification="scanner", value=5.0,
        threshold=1.0,
    )  # fmt: skip
    await stores.incidents.finding(finding, T0 + 60)
    yield House(stores)
    await stores.close(T0 + 1000)


async def ask(house: House, target: str, peer: Peer = ADMIN) -> Any:
    """Return an answer's JSON."""
    status, body = await dispatch(house, peer, "GET", f"/v1/{target}", b"", T0 + 900)
    assert status == 200, body
    return json.loads(body)


async def test_who_may_be_there(house: House) -> None:
    """Yes by name and place of the roster, no for another place or no name in it; exports say it too."""  # noqa: E501 - one line says it
    rows = (await ask(house, "records/agent"))["rows"]
    found = {(row["agent"], row["address"]): row["authorised"] for row in rows}
    assert found == {
        ("ACME\\Maria", "10.20.0.5"): "yes", ("juan", "10.20.0.5"): "no",
        ("mallory", "10.20.0.5"): "no", ("maria", "10.20.0.8"): "yes",
        ("maria", "10.20.0.5"): "yes", ("juan", "10.20.0.9"): "no",
    }  # fmt: skip
    from ipwatchd.records.filter import Filter

    batches = [batch async for batch in house.stores.history.stream("agent", Filter())]
    assert [row["authorised"] for batch in batches for row in batch.rows] == [
        row["authorised"] for row in rows
    ]


async def test_who_came_and_left(house: House) -> None:
    """A session has the login of a log or VPN, and the logout, or when the VPN took it back."""
    rows = (await ask(house, "records/session?filter=src:10.20.0.0/16"))["rows"]
    assert {row["address"]: (row["login"], row["logout"]) for row in rows} == {
        "10.20.0.5": (T0, T0 + 605), "10.20.0.8": (T0 - 5, T0 + 610),
        "10.20.0.9": (T0 + 2, T0 + 601),
    }  # fmt: skip


async def test_a_call_and_its_answer_are_one(house: House) -> None:
    """A request whose answer was seen counts once, under the answer's status."""
    rows = (await ask(house, "records/api"))["rows"]
    assert [(row["status"], row["count"]) for row in rows] == [(200, 1)]


async def test_the_timeline_has_incidents_and_looks(house: House) -> None:
    """An admin sees who looked, a viewer the incidents alone; a filter of kinds sees neither."""
    await ask(house, "addresses/10.20.0.5")
    await ask(house, "flows?filter=addr:10.20.0.5")
    words = "records/activity?filter=addr:10.20.0.5"
    rows = (await ask(house, words))["rows"]
    kinds = {row["kind"] for row in rows}
    assert kinds >= {"traffic", "auth", "incident", "audit"}
    looks = {row["action"] for row in rows if row["kind"] == "audit"}
    assert looks == {"show", "flows"}
    assert [row["ts"] for row in rows] == sorted((row["ts"] for row in rows), reverse=True)
    assert "opened" in " ".join(row["text"] for row in rows if row["kind"] == "incident")
    assert "audit" not in {row["kind"] for row in (await ask(house, words, VIEWER))["rows"]}
    narrow = (await ask(house, f"{words}+kind:auth"))["rows"]
    assert {row["kind"] for row in narrow} == {"auth"}
    other = (await ask(house, "records/activity?filter=addr:10.20.0.50"))["rows"]
    assert not {row["kind"] for row in other} & {"incident"}
    page = await ask(house, f"{words}&limit=2&offset=1")
    again = (await ask(house, words))["rows"]
    assert len(page["rows"]) == 2 and page["more"] and len(again) > 3  # noqa: PT018 - one thing


async def exported(house: House, peer: Peer, *, clear: bool) -> list[dict[str, Any]]:
    """Return the rows of an export of one address's timeline."""
    asked = {"what": "activity", "filter": "addr:10.20.0.5", "clear": clear, "reason": "case 7"}
    status, body = await dispatch(
        house, peer, "POST", "/v1/exports", json.dumps(asked).encode(), T0 + 900
    )
    assert status == 200, body
    name, rows = json.loads(body)["id"], []
    while True:
        status, body = await dispatch(house, peer, "GET", f"/v1/exports/{name}", b"", T0 + 900)
        batch = json.loads(body)
        if batch.get("last"):
            return rows
        rows += batch["rows"]


async def test_an_export_of_the_timeline_has_every_row(house: House) -> None:
    """As `records activity` shows it: steps of incidents, and to an admin who looked."""
    await ask(house, "addresses/10.20.0.5")
    shown = (await ask(house, "records/activity?filter=addr:10.20.0.5"))["rows"]
    rows = await exported(house, ADMIN, clear=True)
    for row in shown:
        assert row in rows
    assert {row["kind"] for row in rows} >= {"traffic", "auth", "incident", "audit"}
    operator = await exported(house, Peer("cid", "operator"), clear=False)
    assert {row["kind"] for row in operator} >= {"traffic", "incident"}
    assert "audit" not in {row["kind"] for row in operator}
    (step, *_) = [row for row in operator if row["kind"] == "incident"]
    assert (step["incident"], step["rule"], step["text"]) == ("MANILA-000001", "port-scan", "")
    assert "10.20.0.5" not in json.dumps(operator)


async def test_an_addresss_page_names_its_incidents(house: House) -> None:
    """What is shown of an address says which incidents it is in; another's page has none."""
    (one,) = (await ask(house, "addresses/10.20.0.5"))["incidents"]
    assert (one["id"], one["rule"], one["state"]) == ("MANILA-000001", "port-scan", "NEW")
    assert (await ask(house, "addresses/10.20.0.8"))["incidents"] == []


async def test_top_says_what_it_counted(house: House) -> None:
    """Exact: flows that went on since then, each; else whole hours; a filter is always exact."""
    plain = await ask(house, "top?since=10m")
    assert {row["counted"] for row in plain} == {"hours"}
    assert plain[0]["since"] <= T0 + 300
    exact = await ask(house, "top?since=400s&exact=1")
    assert {(row["counted"], row["since"]) for row in exact} == {("flows", T0 + 500)}
    assert {row["address"] for row in exact} == {
        "10.20.0.5",
        "10.20.0.8",
        "10.20.0.9",
        "203.0.113.9",
    }
    assert {row["zone"] for row in exact if row["address"] == "10.20.0.5"} != {""}
    assert await ask(house, "top?since=100s&exact=1") == []
    other = await ask(house, "top?since=7d&filter=src:10.20.0.8&by=flows")
    assert {row["address"] for row in other} == {"10.20.0.8", "203.0.113.9"}
    status, body = await dispatch(house, ADMIN, "GET", "/v1/top?since=0s", b"", T0 + 900)
    assert (status, b"nothing lies in it" in body) == (400, True)


async def test_a_damaged_segment_is_named_in_the_answer(house: House) -> None:
    """The rest is answered, the note says what was left out."""
    await house.stores.history.flush(T0 + 800)
    segments = list(house.stores.state_dir.rglob("*.parquet"))
    assert segments
    for path in segments:
        path.write_bytes(b"PAR1 nonsense PAR1")
    answer = await ask(house, "flows")
    assert answer["rows"] == []
    assert answer["note"].startswith("1 damaged segments were left out (")
    sums = await ask(house, "flows?filter=by:service")
    assert (sums["rows"], "left out" in sums["note"]) == ([], True)
