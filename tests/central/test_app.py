"""The collector over HTTP: who gets in, what is taken, what strange requests get."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from ipwatchd.central.app import Collector
from ipwatchd.central.tokens import digest, new_token
from ipwatchd.incidents.fold import fold
from ipwatchd.records.exchange import MAX_REQUEST
from ipwatchd.records.incident import STATES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ipwatchd.central.store import Store
    from ipwatchd.records.incident import IncidentEvent

    Chain = Callable[..., list[IncidentEvent]]


class Asker:
    """A site's side of HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self.session, self.url, self.token = session, url, token

    async def post(self, path: str, body: Any, *, token: str | None = None) -> tuple[int, Any]:
        """Post JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        async with self.session.post(self.url + path, data=data, headers=headers) as response:
            return response.status, msgspec.json.decode(await response.read() or b"null")


@pytest.fixture
async def ask(store: Store) -> AsyncIterator[Asker]:
    """Return a site's connection to a real server on loopback."""
    runner = web.AppRunner(Collector(store, clock=lambda: 500.0).app(), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    token = new_token()
    await store.add_token("manila", digest(token), 1.0)
    async with aiohttp.ClientSession() as session:
        yield Asker(session, f"http://127.0.0.1:{runner.addresses[0][1]}", token)
    await runner.cleanup()


async def test_events_are_committed_folded_and_repeats_ignored(
    ask: Asker, store: Store, chain: Chain
) -> None:
    """The answer says what is on the disk; sent again, nothing changes."""
    log = chain(7)
    assert await ask.post("/v1/events", log[:4]) == (200, {"committed": 4})
    assert await ask.post("/v1/events", log[:4]) == (200, {"committed": 4})
    assert await ask.post("/v1/events", log[2:]) == (200, {"committed": 7})
    assert await ask.post("/v1/events", []) == (200, {"committed": 7})
    assert await store.events("manila") == log
    held = {row.id: row for row in await store.incidents(states=STATES)}
    assert held == fold(log)


async def test_a_gap_is_refused_with_what_is_expected(ask: Asker, chain: Chain) -> None:
    """409 names the event that must come first."""
    log = chain(9)
    assert await ask.post("/v1/events", log[:3]) == (200, {"committed": 3})
    status, answer = await ask.post("/v1/events", log[5:])
    assert (status, answer["expected"]) == (409, 4)


async def test_a_tampered_event_is_refused_whole(ask: Asker, store: Store, chain: Chain) -> None:
    """One event changed on the way: nothing of its batch is kept, the sentence names it."""
    log = chain(3)
    log[1] = msgspec.structs.replace(log[1], body={"text": "changed"})
    status, answer = await ask.post("/v1/events", log)
    assert (status, answer["error"]) == (
        400, "event 2 was changed: its hash is not that of its content",
    )  # fmt: skip
    assert await store.events("manila") == []


async def test_a_fork_is_refused_and_recorded(ask: Asker, store: Store, chain: Chain) -> None:
    """Another chain for the same numbers is refused with a sentence, the first one stays."""
    await ask.post("/v1/events", chain(3))
    status, answer = await ask.post("/v1/events", chain(5, salt="forged"))
    assert (status, answer["conflict"]) == (409, 1)
    assert "another event 1" in answer["error"]
    (site,) = await store.sites(500.0)
    assert "another chain since event 1" in site.conflict
    assert await store.events("manila") == chain(3)


@pytest.mark.parametrize("token", ["", "wrong", "x" * 300, "a b"])
async def test_who_has_no_valid_token_stays_out(ask: Asker, chain: Chain, token: str) -> None:
    """401 for every path, before the body is looked at."""
    for path in ("/v1/events", "/v1/heartbeat"):
        status, answer = await ask.post(path, chain(1), token=token)
        assert status == 401
        assert "token" in answer["error"]


async def test_the_site_is_the_tokens_and_not_the_bodys(ask: Asker, chain: Chain) -> None:
    """Events in another site's name are refused."""
    status, answer = await ask.post("/v1/events", chain(2, site="cebu"))
    assert status == 403
    assert "site manila and no other" in answer["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'{"seq": -1, "time": 0}', b"\xff\xfe", b"[" * 10_000]
)
async def test_what_is_not_understood_is_refused(ask: Asker, body: bytes) -> None:
    """Bad JSON gets 400 and a sentence."""
    for path in ("/v1/events", "/v1/heartbeat"):
        status, answer = await ask.post(path, body)
        assert status == 400
        assert answer["error"].startswith("not understood")


async def test_a_body_over_the_limit_is_not_read(ask: Asker) -> None:
    """413 for more than MAX_REQUEST."""
    headers = {"Authorization": f"Bearer {ask.token}"}
    async with ask.session.post(
        ask.url + "/v1/events", data=io.BytesIO(b"x" * (MAX_REQUEST + 1)), headers=headers
    ) as response:
        assert response.status == 413


async def test_an_event_that_makes_no_sense_is_kept_and_counted(
    ask: Asker, store: Store, chain: Chain
) -> None:
    """A hash-true event that can't be folded does not stop its site."""
    log = [msgspec.structs.replace(one) for one in chain(2)]
    from ipwatchd.incidents.chain import Head, link

    bad = link(
        "manila", Head(log[1].seq, log[1].hash), time=3.0, incident="MANILA-000099", actor="x",
        kind="note", body={"text": "on nothing"},
    )  # fmt: skip
    assert await ask.post("/v1/events", [*log, bad]) == (200, {"committed": 3})
    (site,) = await store.sites(500.0)
    assert (site.unreadable, site.seq, site.open_incidents) == (1, 3, 1)


async def test_a_full_disk_is_said_and_keeps_what_was_committed(
    ask: Asker, store: Store, chain: Chain
) -> None:
    """503 with the reason and nothing half written; with space again the same batch is taken."""
    log = chain(300)
    assert await ask.post("/v1/events", log[:3]) == (200, {"committed": 3})
    pages = await (await store._writer.execute("PRAGMA page_count")).fetchone()
    assert pages is not None
    await store._writer.execute(f"PRAGMA max_page_count = {pages[0] + 1}")
    status, answer = await ask.post("/v1/events", log[3:])
    assert status == 503
    assert "full" in answer["error"]
    assert await store.events("manila") == log[:3]
    await store._writer.execute("PRAGMA max_page_count = 100000")
    assert await ask.post("/v1/events", log[3:]) == (200, {"committed": 300})
    assert (await store.verify())["manila"].first_bad_seq is None


async def test_a_heartbeat_says_what_is_held_and_shows_what_waits(
    ask: Asker, store: Store, chain: Chain
) -> None:
    """Its answer is the committed number; the centre sees backlog and clock drift."""
    await ask.post("/v1/events", chain(3))
    assert await ask.post("/v1/heartbeat", {"seq": 8, "time": 490.0}) == (200, {"committed": 3})
    (site,) = await store.sites(501.0)
    assert (site.waiting, site.drift, site.silent_since) == (5, -10.0, 0.0)


async def test_the_log_can_be_verified_and_damage_is_named(
    ask: Asker, store: Store, chain: Chain
) -> None:
    """A check follows every chain to its stored end."""
    await ask.post("/v1/events", chain(6))
    assert (await store.verify())["manila"].first_bad_seq is None
    await store._writer.execute("UPDATE events SET actor = 'x' WHERE seq = 4")
    await store._writer.commit()
    assert (await store.verify())["manila"].first_bad_seq == 4
    await store._writer.execute("DELETE FROM events WHERE seq >= 4")
    await store._writer.commit()
    verdict = (await store.verify())["manila"]
    assert (verdict.events, verdict.first_bad_seq) == (3, 4)
    assert "missing" in verdict.why
