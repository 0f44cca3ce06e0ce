"""Feeds: what is taken and refused, over a real HTTP server and from real files."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from ipwatchd.config.settings import FeedSettings, IncidentSettings
from ipwatchd.lists import FeedKeeper, Lists, ban_seconds
from ipwatchd.lists.block import Block
from ipwatchd.lists.feeds import FeedRefusedError, judge, retry_in
from ipwatchd.lists.formats import parse
from ipwatchd.lists.readers import READERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Publisher:
    """A web server with one file, which counts what is asked and answered."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.compress = False
        self.asked: list[tuple[str, int]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as a server with ETags does."""
        etag = f'"{hash(self.body)}"'
        status = 304 if request.headers.get("If-None-Match") == etag else self.status
        self.asked.append((request.path, status))
        if status == 304:
            return web.Response(status=304)
        headers = {"ETag": etag}
        body = self.body
        if self.compress:
            body, headers["Content-Encoding"] = gzip.compress(self.body), "gzip"
        return web.Response(status=self.status, body=body, headers=headers)


@asynccontextmanager
async def publisher() -> AsyncIterator[Publisher]:
    """Serve on a port of the loopback."""
    one = Publisher()
    app = web.Application()
    app.router.add_get("/{name}", one.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/list"
    try:
        yield one
    finally:
        await runner.cleanup()


def lines(first: int, count: int) -> bytes:
    """Return so many addresses of 203.0.113.0/24 and its neighbours."""
    return b"".join(
        b"203.%d.%d.%d\n" % (number >> 16, number >> 8 & 255, number & 255)
        for number in range(first, first + count)
    )


async def test_a_feed_comes_changes_and_is_asked_whether_it_changed(tmp_path: Path) -> None:
    """First look, unchanged by ETag, a change as a difference, and all of it after a restart."""
    lists = await Lists.open(tmp_path)
    async with publisher() as server:
        server.body = lines(0, 100)
        feeds = {"bad": FeedSettings(url=server.url, every=60.0)}
        keeper = FeedKeeper(feeds, lists, tmp_path)
        assert await keeper.step(1000.0)
        assert not await keeper.step(1001.0)  # not due
        assert not await keeper.step(1061.0)
        assert [status for _, status in server.asked] == [200, 304]
        server.body = lines(1, 100)
        assert await keeper.step(1122.0)
        [state] = keeper.status()
        assert (state.entries, state.success, state.error) == (100, 1122.0, "")
        await keeper.close()
        again = FeedKeeper(feeds, lists, tmp_path)
        assert again.status() == [state]
        assert not await again.step(1130.0)
        edits = await lists.changes(1000)
        assert [(one.action, one.network) for one in edits[:2]] == [
            ("add", "203.0.0.100/32"), ("remove", "203.0.0.0/32"),
        ]  # fmt: skip
        await again.close()
    await lists.close()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (lines(0, 40), 200, "it shrank from 100 to 40"),
        (lines(0, 1001), 200, "it grew from 100 to 1001"),
        (lines(0, 99) + b"10.20.0.0/16\n", 200, "networks of our own"),
        (lines(0, 99) + b"198.51.100.77\n", 200, "networks of our own"),
        (lines(0, 99) + b"0.0.0.0/0\n", 200, "networks of our own"),
        (b"<html><body>down</body></html>", 200, "web page"),
        (b"\0" * 100, 200, "binary"),
        (b"", 200, "empty"),
        (b"# nothing today\n", 200, "names no address any more"),
        (lines(0, 102), 503, "answered 503"),
    ],
    ids=["shrunk", "grown", "private", "own", "all", "html", "binary", "empty", "none", "down"],
)
async def test_what_is_not_to_be_believed_leaves_the_last_good_one(
    tmp_path: Path, body: bytes, status: int, words: str
) -> None:
    """The entries stay, the reason is told, and the next look is sooner than usual."""
    lists = await Lists.open(tmp_path)
    async with publisher() as server:
        server.body = lines(0, 100)
        keeper = FeedKeeper(
            {"bad": FeedSettings(url=server.url)}, lists, tmp_path, own=["198.51.100.0/24"]
        )
        await keeper.step(1000.0)
        server.body, server.status = body, status
        assert not await keeper.step(5000.0)
        [state] = keeper.status()
        assert words in state.error
        assert (state.entries, state.success, state.next) == (100, 1000.0, 5060.0)
        assert len(lists.entries(now=5000.0)) == 100
        server.body, server.status = lines(0, 103), 200
        assert await keeper.step(5060.0)
        assert keeper.status()[0].error == ""
        await keeper.close()
    await lists.close()


async def test_force_takes_a_feed_that_shrank(tmp_path: Path) -> None:
    """An admin who looked at it may say so; own networks stay refused."""
    lists = await Lists.open(tmp_path)
    async with publisher() as server:
        server.body = lines(0, 100)
        keeper = FeedKeeper({"bad": FeedSettings(url=server.url)}, lists, tmp_path)
        await keeper.step(1000.0)
        server.body = lines(0, 10)
        assert not await keeper.refresh("bad", 2000.0)
        assert await keeper.refresh("bad", 2001.0, force=True)
        assert keeper.status()[0].entries == 10
        server.body = b"10.0.0.1\n"
        assert not await keeper.refresh("bad", 2002.0, force=True)
        await keeper.close()
    await lists.close()


async def test_entries_that_end_by_themselves_are_news(tmp_path: Path) -> None:
    """A decision of four hours is over after four hours; the kernel is told, the feed not asked."""
    lists = await Lists.open(tmp_path)
    path = tmp_path / "decisions.json"
    path.write_text('[{"value":"203.0.113.7","duration":"4h"},{"value":"203.0.113.8"}]')
    keeper = FeedKeeper({"one": FeedSettings(file=str(path), every=1e6)}, lists, tmp_path)
    assert await keeper.step(1000.0)
    assert not await keeper.step(2000.0)
    assert await lists.expire(15_401.0) == []
    assert [one.network for one in lists.entries(now=15_401.0)] == ["203.0.113.8/32"]
    assert await keeper.step(15_402.0)
    assert not await keeper.step(15_403.0)
    await lists.close()


async def test_a_reload_in_the_middle_of_a_look(tmp_path: Path) -> None:
    """A feed that a reload takes away while another is being read goes; nothing else does."""
    (tmp_path / "list").write_bytes(lines(0, 3))
    lists = await Lists.open(tmp_path)
    one = FeedSettings(file=str(tmp_path / "list"))
    keeper = FeedKeeper({"first": one, "second": one, "third": one}, lists, tmp_path)
    looking = asyncio.ensure_future(keeper.step(1000.0))
    await asyncio.sleep(0)  # it waits for the first file
    keeper.adopt({"first": one, "third": one}, ())
    assert await looking
    assert [state.name for state in keeper.status() if state.entries == 3] == ["first", "third"]
    assert lists.size("feed:second") == 0
    await lists.close()


async def test_what_breaks_a_reader_costs_the_feed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw is told of the feed; the others are read, and it is tried again.

    All known ones are ValueErrors; so a reader with a fault stands in for the next one.
    """
    monkeypatch.setitem(READERS, "plain", lambda text: iter({}[text[:5]]))
    (tmp_path / "bad").write_bytes(lines(0, 3))
    (tmp_path / "good").write_bytes(b'["203.0.113.7"]')
    lists = await Lists.open(tmp_path)
    feeds = {name: FeedSettings(file=str(tmp_path / name)) for name in ("bad", "good")}
    keeper = FeedKeeper(feeds, lists, tmp_path)
    assert await keeper.step(1000.0)
    bad, good = keeper.status()
    assert bad.error == "it broke its reader: KeyError('203.0')"
    assert (bad.failures, bad.next, good.entries) == (1, 1060.0, 1)
    await lists.close()


async def test_a_feed_that_is_for_the_other_list_now_moves_at_once(tmp_path: Path) -> None:
    """Also where the file is the same as ever; after a restart as after a reload."""
    (tmp_path / "list").write_bytes(lines(0, 3))
    lists = await Lists.open(tmp_path)
    deny = FeedSettings(file=str(tmp_path / "list"), every=60.0)
    allow = msgspec.structs.replace(deny, list="allow")
    keeper = FeedKeeper({"one": deny}, lists, tmp_path)
    await keeper.step(1000.0)
    keeper.adopt({"one": allow}, ())
    assert await keeper.step(1001.0)
    assert {entry.list for entry in lists.entries(now=1002.0)} == {"allow"}
    again = FeedKeeper({"one": deny}, lists, tmp_path)
    assert await again.step(1061.0)
    assert {entry.list for entry in lists.entries(now=1062.0)} == {"deny"}
    assert lists.size("feed:one", "deny") == lists.size("feed:one") == 3
    await lists.close()


def _forget(folder: Path) -> None:
    """Lose the lists, as a restored backup may."""
    for file in folder.glob("lists.db*"):
        file.unlink()


async def test_a_new_lists_db_asks_for_everything_again(tmp_path: Path) -> None:
    """What the keeper remembers of a feed counts for nothing where the lists don't have it."""
    lists = await Lists.open(tmp_path)
    async with publisher() as server:
        server.body = lines(0, 100)
        keeper = FeedKeeper({"bad": FeedSettings(url=server.url)}, lists, tmp_path)
        await keeper.step(1000.0)
        await keeper.close()
        await lists.close()
        _forget(tmp_path)
        lists = await Lists.open(tmp_path)
        keeper = FeedKeeper({"bad": FeedSettings(url=server.url)}, lists, tmp_path)
        assert await keeper.refresh("bad", 2000.0)
        assert [status for _, status in server.asked] == [200, 200]
        assert lists.size("feed:bad") == 100
        await keeper.close()
    await lists.close()


async def test_a_date_is_asked_back_and_a_redirect_followed(tmp_path: Path) -> None:
    """A server without ETags is asked If-Modified-Since; one that redirects for ever is left."""
    lists = await Lists.open(tmp_path)
    asked: list[str] = []

    async def dated(request: web.Request) -> web.Response:
        asked.append(request.headers.get("If-Modified-Since", ""))
        if asked[-1]:
            return web.Response(status=304)
        stamp = {"Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT"}
        return web.Response(body=lines(0, 10), headers=stamp)

    async def moved(request: web.Request) -> web.Response:
        where = "/dated" if request.path == "/once" else "/loop"
        return web.Response(status=302, headers={"Location": where})

    app = web.Application()
    app.router.add_get("/dated", dated)
    app.router.add_get("/{rest}", moved)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    feeds = {"a": FeedSettings(url=f"{url}/once", every=60), "b": FeedSettings(url=f"{url}/loop")}
    keeper = FeedKeeper(feeds, lists, tmp_path)
    await keeper.step(1000.0)
    await keeper.step(1061.0)
    assert asked == ["", "Wed, 21 Oct 2026 07:28:00 GMT"]
    good, bad = keeper.status()
    assert (good.entries, good.success, good.error) == (10, 1061.0, "")
    assert "can't be fetched" in bad.error
    await keeper.close()
    await runner.cleanup()
    await lists.close()


async def test_a_bomb_of_zeros_is_cut_off(tmp_path: Path) -> None:
    """A small answer that unpacks to a hundred megabytes costs the bound, not the memory."""
    lists = await Lists.open(tmp_path)
    async with publisher() as server:
        server.body, server.compress = b"#" * (80 << 20), True
        keeper = FeedKeeper({"bad": FeedSettings(url=server.url)}, lists, tmp_path)
        await keeper.step(1000.0)
        assert "sends over" in keeper.status()[0].error
        await keeper.close()
    await lists.close()


async def test_an_unreachable_feed_is_released_when_stale(tmp_path: Path) -> None:
    """Nobody stays denied for ever because a server is gone; leaving the file releases too."""
    lists = await Lists.open(tmp_path)
    path = tmp_path / "list.txt"
    path.write_bytes(lines(0, 5))
    settings = FeedSettings(file=str(path), every=60.0, stale=600.0)
    keeper = FeedKeeper({"one": settings, "two": settings}, lists, tmp_path)
    assert await keeper.step(1000.0)
    path.unlink()
    assert not await keeper.step(1100.0)
    assert "can't be read" in keeper.status()[0].error
    assert await keeper.step(1700.0)
    assert lists.entries(now=1700.0) == []
    assert "released its 5 entries" in keeper.status()[0].error
    path.write_bytes(lines(0, 5))
    assert await keeper.step(9000.0)
    keeper.adopt({"one": settings}, ())
    assert await keeper.step(9001.0)
    assert {entry.source for entry in lists.entries(now=9001.0)} == {"feed:one"}
    await lists.close()


def test_every_real_feed_is_judged(shared: Path) -> None:
    """Lists that name what is nobody's abroad are refused, or taken without it."""
    refused = {}
    for path in sorted((shared / "feeds").iterdir()):
        if path.name == "EXPECTED.json":
            continue
        parsed = parse(path.read_bytes(), now=1.0)
        block = Block.gather(parsed.entries, "listed", 1.0)
        kind = "allow" if path.name.startswith("warninglist") else "deny"
        settings = FeedSettings(file=str(path), list=kind)
        try:
            taken, skipped = judge(block, settings, [], 0)
        except FeedRefusedError:
            taken, refused[path.name] = judge(
                block, FeedSettings(file=str(path), own="skip"), [], 0
            )
        else:
            assert skipped == 0
        assert len(taken) <= len(parsed.entries)
    assert set(refused) == {"firehol_level1.netset", "stix2_c2_coa.json", "stix2_c2_ip.json"}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ipv4-addr:value = '198.51.100.1']", ["198.51.100.1/32"]),
        ("[ipv6-addr:value='2001:db8::1' OR domain-name:value = 'x.example']", ["2001:db8::1/128"]),
        ("[ipv4-addr:value ISSUBSET '198.51.100.0/24']", ["198.51.100.0/24"]),
        ("[ipv4-addr:value IN ('198.51.100.1','198.51.100.2')]",
         ["198.51.100.1/32", "198.51.100.2/32"]),
        ("[ipv4-addr:value = '198.51.100.1' AND file:name = 'x']", []),
        ("[ipv4-addr:value != '198.51.100.1']", []),
        ("[ipv4-addr:value = '198.51.100.1'] FOLLOWEDBY [ipv4-addr:value = '198.51.100.2']", []),
        ("[domain-name:value = 'ipv4-addr:value = ']", []),
    ],
)  # fmt: skip
def test_patterns_are_taken_only_where_the_address_alone_is_meant(
    pattern: str, expected: list[str]
) -> None:
    """Alternatives are, conjunctions and negations are not."""
    bundle: dict[str, Any] = {"type": "bundle", "objects": [
        {"type": "indicator", "pattern": pattern, "pattern_type": "stix", "name": "C2"},
        {"type": "indicator", "pattern": "[ipv4-addr:value = '192.0.2.1']", "revoked": True},
        {"type": "indicator", "pattern": "[ipv4-addr:value = '203.0.113.9']",
         "valid_until": "2026-01-01T00:00:00Z"},
    ]}  # fmt: skip
    import json

    got = parse(json.dumps(bundle), now=1.0)
    assert [item.network for item in got.entries] == [*expected, "203.0.113.9/32"]
    assert got.entries[-1].expires == 1767225600.0


def test_a_repeat_offender_is_denied_for_longer() -> None:
    """An hour, four, sixteen … and no longer than a month; a failing feed is tried less often."""
    settings = IncidentSettings()
    assert [ban_seconds(settings, n) / 3600 for n in (0, 1, 2, 3, 4, 5, 1000)] == [
        1, 4, 16, 64, 256, 720, 720,
    ]  # fmt: skip
    assert [retry_in(n, 3600.0) for n in (1, 2, 3, 9)] == [60.0, 300.0, 900.0, 900.0]
    assert retry_in(9, 30.0) == 30.0
