"""Events and lists between a real site and a real collector on loopback."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from ipwatchd.central.tokens import digest
from ipwatchd.incidents.fold import fold
from ipwatchd.records.entry import ListEntry
from ipwatchd.records.exchange import MAX_ANSWER
from ipwatchd.uplink import Uplink, cursor
from ipwatchd.uplink.uplink import _batch

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    Make = Callable[..., AbstractAsyncContextManager[Any]]
    Until = Any


def delivered(one: Any) -> bool:
    """Tell whether the centre has committed all that the site has."""
    return bool(one.uplink.status().waiting == 0)


async def same(centre: Any, one: Any) -> None:
    """Hold the centre's log and incidents against the site's."""
    events = await one.log.after(0, 10_000)
    assert await centre.store.events("manila") == events
    held = {row.id: row for row in await centre.store.incidents(site="manila")}
    assert held == fold(events)


async def test_events_arrive_once_and_in_order(centre: Any, site: Make, until: Until) -> None:
    """What is there at the start and what comes later is at the centre, same hash, same fold."""
    async with site() as one:
        for number in range(20):
            await one.incident(number)
        async with one.running():
            await until(lambda: delivered(one))
            await one.incident(20)
            await one.log.act("MANILA-000003", "take", actor="ben", reason="", now=200.0)
            await until(lambda: delivered(one))
        await same(centre, one)
        assert cursor.load(one.folder) == 22
        assert one.uplink.status().error == ""


async def test_a_centre_that_goes_away_and_returns_misses_nothing(
    centre: Any, site: Make, until: Until
) -> None:
    """While it is away the status says so and incidents go on; after its return all arrive."""
    async with site() as one, one.running() as uplink:
        await one.incident(0)
        await until(lambda: delivered(one))
        await centre.stop()
        await one.incident(1)
        await until(lambda: not uplink.status().reachable)
        assert "can't be reached" in uplink.status().error
        assert uplink.status().waiting == 1
        await centre.start()
        await until(lambda: delivered(one))
        assert uplink.status().reachable
        await same(centre, one)


async def test_a_lost_cursor_costs_a_look_and_doubles_nothing(
    centre: Any, site: Make, until: Until
) -> None:
    """With the cursor gone or garbage the centre says what it holds."""
    async with site() as one:
        for harm in (b"", b"{garbage", b'{"committed": -5}', None):
            await one.incident(len(await one.log.after(0)))
            path = one.folder / cursor.FILE
            if harm is None:
                path.unlink()
            else:
                path.write_bytes(harm)
            async with one.running():
                await until(lambda: delivered(one))
        await same(centre, one)


async def test_a_centre_put_back_to_an_older_state_is_filled_up_again(
    centre: Any, site: Make, until: Until, tmp_path: Path
) -> None:
    """The site notices by the heartbeat that the centre has less, and sends it again."""
    async with site() as one, one.running() as uplink:
        await one.incident(0)
        await until(lambda: delivered(one))
        await centre.stop()
        shutil.copytree(centre.folder, tmp_path / "backup")
        await centre.start()
        for number in range(1, 12):
            await one.incident(number)
        await until(lambda: delivered(one))
        await centre.stop()
        shutil.rmtree(centre.folder)
        shutil.copytree(tmp_path / "backup", centre.folder)
        await centre.start()
        await until(lambda: uplink.status().counters["rewound"] and delivered(one))
        await same(centre, one)


async def test_a_forked_site_is_refused_and_recorded(
    centre: Any, site: Make, until: Until, tmp_path: Path
) -> None:
    """A log put back to an older state and gone on with is another chain: both sides say so."""
    async with site() as one:
        await one.incident(0)
        shutil.copytree(one.folder, tmp_path / "old")
        await one.incident(1)
        async with one.running():
            await until(lambda: delivered(one))
    shutil.rmtree(tmp_path / "site")
    shutil.copytree(tmp_path / "old", tmp_path / "site")
    async with site() as one:
        async with one.running() as uplink:
            await until(lambda: "put back" in uplink.status().error)
            await one.incident(7)
            await one.incident(8)
            await until(lambda: "another event" in uplink.status().error)
        (state,) = await centre.store.sites(1.0)
        assert "another chain since event 2" in state.conflict
        assert state.seq == 2


async def test_a_wrong_token_is_said_and_a_new_one_counts_without_restart(
    centre: Any, site: Make, until: Until, hurry: Any
) -> None:
    """401 gives a clear sentence and slow tries; the token file is read anew for each."""
    async with site(token="wrong") as one:
        await one.incident(0)
        async with one.running() as uplink:
            await until(lambda: "refuses this site's token" in uplink.status().error)
            assert uplink._delivery._not_before - uplink._clock() > 20
            (one.folder / "token").write_text(await centre.token())
            hurry(uplink._delivery)
            await until(lambda: delivered(one))


async def test_a_revoked_token_ends_delivery(centre: Any, site: Make, until: Until) -> None:
    """From the moment of revocation nothing more is taken."""
    async with site() as one, one.running() as uplink:
        await one.incident(0)
        await until(lambda: delivered(one))
        assert await centre.store.revoke("manila", 5.0) == 1
        await one.incident(1)
        await until(lambda: "no valid token" in uplink.status().error)
        assert len(await centre.store.events("manila")) == 1


async def test_another_sites_token_delivers_nothing(centre: Any, site: Make, until: Until) -> None:
    """The site is the token's: events of another one are refused."""
    async with site(token=await centre.token("cebu")) as one:
        await one.incident(0)
        async with one.running() as uplink:
            await until(lambda: "for site cebu and no other" in uplink.status().error)
        assert await centre.store.events("manila") == []


@pytest.mark.parametrize(
    ("content", "says"), [(None, "can't read"), ("", "no token"), ("a b", "no token")]
)
async def test_a_bad_token_file_is_named(
    site: Make, until: Until, content: str | None, says: str
) -> None:
    """A missing, empty or odd token file gives a sentence with its path."""
    async with site() as one:
        path = one.folder / "token"
        path.unlink() if content is None else path.write_text(content)
        async with one.running() as uplink:
            await until(lambda: says in uplink.status().error)
            assert str(path) in uplink.status().error


async def test_lists_come_once_a_version(centre: Any, site: Make, until: Until) -> None:
    """The set for this site is handed on as a whole when it changes, and not when it does not."""
    entry = ListEntry(
        id=0, list="deny", network="203.0.113.0/24", reason="scans", author="eva", created=1.0
    )
    await centre.store.add_entry("", entry)
    await centre.store.add_entry("cebu", msgspec.structs.replace(entry, network="10.9.0.0/16"))
    async with site() as one, one.running() as uplink:
        await until(lambda: len(one.entries) == 1)
        (got,) = one.entries[0]
        assert (got.network, got.source) == ("203.0.113.0/24", "central")
        seen = uplink.counters["requests"]
        await until(lambda: uplink.counters["requests"] > seen + 6)
        assert len(one.entries) == 1
        await centre.store.add_entry("manila", msgspec.structs.replace(entry, list="allow"))
        await until(lambda: len(one.entries) == 2)
        assert [row.list for row in one.entries[1]] == ["deny", "allow"]
        await centre.store.remove_entry("", "deny", "203.0.113.0/24")
        await until(lambda: len(one.entries) == 3)


async def test_the_centre_knows_who_is_silent(centre: Any, site: Make, until: Until) -> None:
    """Heartbeats alone keep a site from being silent; without them it is, since its last one."""
    async with site() as one, one.running() as uplink:
        await until(lambda: uplink.status().last_success)
        now = uplink.status().last_success
        (state,) = await centre.store.sites(now)
        assert (state.silent_since, state.waiting) == (0.0, 0)
        (later,) = await centre.store.sites(now + 1000)
        assert later.silent_since == later.last_contact > 0


async def serve_instead(centre: Any, handler: Any) -> web.AppRunner:
    """Put another server where the centre was."""
    await centre._runner.cleanup()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", centre.port).start()
    return runner


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (web.Response(text="<html>hello</html>"), "not understood"),
        (web.Response(body=b"x" * (MAX_ANSWER + 1)), "more than 65,536 bytes"),
        (web.Response(status=302, headers={"Location": "http://192.0.2.1/"}), "is the URL"),
        (web.Response(status=500, text="oops"), "answered status 500"),
        (web.Response(text='{"committed": 99999}'), "holds 99999 events"),
        (web.Response(text='{"committed": -1}'), "not understood"),
    ],
)
async def test_a_strange_server_moves_no_cursor(
    centre: Any, site: Make, until: Until, answer: web.Response, says: str
) -> None:
    """Whatever answers there, the site says what is odd, follows no redirect and loses nothing."""

    async def strange(_: web.Request) -> web.StreamResponse:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    runner = await serve_instead(centre, strange)
    try:
        async with site() as one:
            await one.incident(0)
            async with one.running() as uplink:
                await until(lambda: says in uplink.status().error)
                assert uplink.status().committed == 0
    finally:
        await runner.cleanup()


async def test_unsound_lists_are_not_handed_on(centre: Any, site: Make, until: Until) -> None:
    """One bad entry refuses the whole set: the last good one stays."""

    async def strange(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/lists":
            bad = {
                "id": 1, "list": "deny", "network": "everything", "reason": "", "author": "",
                "created": 0,
            }  # fmt: skip
            return web.json_response({"version": "1", "entries": [bad]})
        return web.json_response({"committed": 0})

    runner = await serve_instead(centre, strange)
    try:
        async with site() as one, one.running() as uplink:
            await until(lambda: "'everything' is no address" in uplink.status().error)
            assert one.entries == []
    finally:
        await runner.cleanup()


async def test_an_answer_that_can_not_be_taken_does_not_end_delivery(
    centre: Any, site: Make, until: Until
) -> None:
    """The incident was closed in the same moment: it is said, and the uplink goes on."""
    asked: list[str] = []

    async def answers(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/lists":
            return web.json_response({"version": "1", "entries": []})
        ack = {"incident": "MANILA-000001", "by": "cho", "time": 1.0}
        return web.json_response({"committed": 0, "acks": [ack]})

    async def closed(acks: Any) -> None:
        asked.extend(one.incident for one in acks)
        raise ValueError("MANILA-000001 is CLOSED: ack is not possible")

    runner = await serve_instead(centre, answers)
    try:
        async with site() as one, one.running() as uplink:
            uplink._on_acks = closed
            await until(lambda: "can't be taken: MANILA-000001 is CLOSED" in uplink.status().error)
            assert asked[0] == "MANILA-000001"
    finally:
        await runner.cleanup()


async def test_a_site_without_a_centre_just_stops_when_told(site: Make) -> None:
    """An empty URL asks nobody anything."""
    async with site() as one:
        one.settings = msgspec.structs.replace(one.settings, url="")
        async with one.running() as uplink:
            pass
        assert uplink.counters["requests"] == 0


async def test_a_batch_is_bounded_in_bytes(site: Make) -> None:
    """Large events travel in several batches, a single one always in its own."""
    async with site() as one:
        await one.incident(0)
        (event,) = await one.log.after(0)
    big = msgspec.structs.replace(event, body={"text": "x" * 700_000})
    assert len(msgspec.json.decode(_batch([big, big, event]))) == 1
    assert len(msgspec.json.decode(_batch([event] * 50))) == 50


async def test_a_token_is_kept_as_its_hash(centre: Any) -> None:
    """Who steals the centre's database can't deliver with it."""
    token = await centre.token()
    assert token not in (centre.folder / "central.db").read_bytes().decode("latin-1")
    assert await centre.store.site_of(digest(token)) == "manila"
    assert await centre.store.site_of(token) is None


def test_uplink_is_exported() -> None:
    """The daemon imports the name from the package."""
    assert Uplink.__module__ == "ipwatchd.uplink.uplink"
