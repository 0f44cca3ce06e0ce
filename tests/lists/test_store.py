"""The store: what was promised stands, is explained, and can be undone."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.lists import FullError, Lists, LockOutError, NoEntryError
from ipwatchd.lists import store as store_module
from ipwatchd.records.address import address_array
from ipwatchd.records.entry import ListEntry

WHO = {"reason": "scanner", "author": "anna"}


def denied(lists: Lists, address: str) -> bool:
    """Ask for one address."""
    one = address_array([address])
    return bool(lists.denied(one["hi"], one["lo"])[0])


def feed_entry(network: str, list: str = "deny", expires: float = 0.0) -> ListEntry:  # noqa: A002 (the vocabulary's word)
    """Return an entry as a feed has it."""
    return ListEntry(
        id=0, list=list, network=network, reason="listed", author="feed", created=0, expires=expires
    )


async def test_an_entry_is_added_shown_enforced_and_removed(tmp_path: Path) -> None:
    """A deny is enforced until somebody takes it away, and both are on record."""
    lists = await Lists.open(tmp_path)
    change = await lists.add("deny", "203.0.113.7/24", now=100.0, **WHO)
    assert change.entry.network == "203.0.113.0/24"
    assert "host bits" in change.note
    assert denied(lists, "203.0.113.200")
    assert len(lists.policy("enforce", [], now=100.0).deny) == 1
    gone = await lists.remove(
        "deny", "203.0.113.0/24", author="ben", reason="a customer", now=110.0
    )
    assert gone.entry == change.entry
    assert not denied(lists, "203.0.113.200")
    assert lists.entries(now=110.0) == []
    edits = await lists.changes()
    assert [(edit.action, edit.author, edit.reason, edit.time) for edit in edits] == [
        ("remove", "ben", "a customer", 110.0),
        ("add", "anna", "scanner", 100.0),
    ]
    await lists.close()


async def test_the_same_again_renews_and_says_so(tmp_path: Path) -> None:
    """One entry per list, network, scope and source; a person may shorten, a response may not."""
    lists = await Lists.open(tmp_path)
    await lists.add("deny", "203.0.113.7", now=100.0, expires=900.0, **WHO)
    again = await lists.add("deny", "203.0.113.7", now=200.0, expires=500.0, **WHO)
    assert "already on the deny list since 1970-01-01 00:01:40 UTC" in again.note
    assert [entry.expires for entry in lists.entries(now=200.0)] == [500.0]
    for expires in (800.0, 600.0):
        await lists.add(
            "deny", "198.51.100.1", now=200.0, expires=expires, source="response:port-scan", **WHO
        )
    assert [entry.expires for entry in lists.entries(now=200.0)] == [500.0, 800.0]
    assert [edit.action for edit in await lists.changes()] == ["renew", "add", "renew", "add"]
    await lists.close()


@pytest.mark.parametrize(
    ("network", "more", "words"),
    [
        ("0.0.0.0/0", {}, "every address"),
        ("::/0", {}, "every address"),
        ("0.0.0.0/1", {}, "half of all"),
        ("0.0.0.0-255.255.255.254", {}, "half of all"),
        ("::-ffff:ffff::", {}, "half of all"),
        ("203.0.113.7", {"expires": 50.0}, "before it began"),
        ("203.0.113.7", {"expires": float("nan")}, "no time"),
        ("203.0.113.7", {"expires": 1e30}, "no time"),
        ("203.0.113.7", {"reason": " \n"}, "reason is due"),
        ("203.0.113.7", {"source": "response:port-scan"}, "must have an end"),
        ("203.0.113.7", {"scope": "tcp/22"}, "no service"),
        ("example.org", {}, "no address"),
        ("203.0.113.7/33", {}, "no address"),
    ],
)
async def test_what_can_not_be_an_entry_is_refused(
    tmp_path: Path, network: str, more: dict[str, object], words: str
) -> None:
    """A refusal is one sentence, and leaves no trace in the lists."""
    lists = await Lists.open(tmp_path)
    with pytest.raises(ValueError, match=words):
        await lists.add("deny", network, now=100.0, **{**WHO, **more})  # type: ignore[arg-type]
    assert lists.entries(now=100.0) == []
    assert await lists.changes() == []
    await lists.close()


async def test_management_can_not_be_denied_by_accident(tmp_path: Path) -> None:
    """A deny that touches management is refused; forced, management still passes."""
    lists = await Lists.open(tmp_path, management=["10.0.0.5/24"])
    for network in ("10.0.0.7", "10.0.0.0/8", "::ffff:10.0.0.9"):
        with pytest.raises(LockOutError, match=r"10\.0\.0\.0/24, a management network"):
            await lists.add("deny", network, now=1.0, **WHO)
    with pytest.raises(LockOutError):
        await lists.add("deny", "192.0.2.0/28", now=1.0, sessions=["192.0.2.1"], **WHO)
    forced = await lists.add("deny", "10.0.0.0/8", now=1.0, force=True, **WHO)
    assert "still passes" in forced.note
    assert not denied(lists, "10.0.0.7")
    assert denied(lists, "10.0.1.7")
    assert lists.why("10.0.0.7", now=2.0).verdict == "management"
    await lists.close()


async def test_ipv4_in_ipv6_clothes_is_ipv4(tmp_path: Path) -> None:
    """An IPv4-mapped address denies the IPv4 address, which is what packets carry."""
    lists = await Lists.open(tmp_path)
    change = await lists.add("deny", "::ffff:203.0.113.7", now=1.0, **WHO)
    assert change.entry.network == "203.0.113.7/32"
    assert denied(lists, "203.0.113.7")
    await lists.close()


async def test_a_clock_set_back_brings_nothing_back(tmp_path: Path) -> None:
    """A jump forward ends entries; an earlier time after it finds them gone, also reopened."""
    lists = await Lists.open(tmp_path)
    await lists.add("deny", "203.0.113.7", now=100.0, expires=200.0, **WHO)
    await lists.add("deny", "203.0.113.8", now=100.0, **WHO)
    assert lists.next_expiry() == 200.0
    assert [entry.network for entry in await lists.expire(1e9)] == ["203.0.113.7/32"]
    assert lists.next_expiry() is None
    assert not denied(lists, "203.0.113.7")
    assert await lists.expire(150.0) == []
    await lists.close()
    lists = await Lists.open(tmp_path)
    assert [entry.network for entry in lists.entries(now=150.0)] == ["203.0.113.8/32"]
    assert not denied(lists, "203.0.113.7")
    assert denied(lists, "203.0.113.8")
    await lists.close()


async def test_a_feed_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Only the difference changes; people's own entries stay; bad lines are named."""
    lists = await Lists.open(tmp_path)
    await lists.add("deny", "203.0.113.7", now=1.0, **WHO)
    first = [feed_entry("203.0.113.7"), feed_entry("198.51.100.0/24"), feed_entry("0.0.0.0/0")]
    done = await lists.replace_source("central", first, now=2.0)
    assert (done.added, done.removed, done.refused) == (2, 0, 1)
    assert "every address" in done.problems[0]
    kept = {entry.network: entry.id for entry in lists.entries(now=2.0) if entry.source != "admin"}
    second = [
        feed_entry("198.51.100.0/24", expires=50.0), feed_entry("2001:db8::/32"),
        feed_entry("192.0.2.1", list="allow"),
    ]  # fmt: skip
    done = await lists.replace_source("central", second, now=3.0)
    assert (done.added, done.removed, done.renewed) == (2, 1, 1)
    after = {(entry.network, entry.source): entry for entry in lists.entries(now=3.0)}
    assert after["198.51.100.0/24", "central"].id == kept["198.51.100.0/24"]
    assert after["198.51.100.0/24", "central"].expires == 50.0
    assert ("203.0.113.7/32", "admin") in after
    assert len(after) == 4
    assert denied(lists, "203.0.113.7")
    assert denied(lists, "2001:db8::1")
    with pytest.raises(NoEntryError, match="would bring it back"):
        await lists.remove("deny", "2001:db8::/32", author="anna", reason="x", now=4.0)
    with pytest.raises(ValueError, match="one by one"):
        await lists.replace_source("admin", [], now=4.0)
    await lists.close()
    lists = await Lists.open(tmp_path, read_only=True)
    assert {(one.network, one.source): one for one in lists.entries(now=3.0)} == after
    await lists.close()


async def test_removing_says_what_still_holds(tmp_path: Path) -> None:
    """Whoever removes an entry learns of the wider one that remains, or where it is not listed."""
    lists = await Lists.open(tmp_path)
    await lists.add("deny", "203.0.113.0/24", now=1.0, **WHO)
    await lists.add("deny", "203.0.113.7", now=1.0, **WHO)
    change = await lists.remove("deny", "203.0.113.7", author="anna", reason="x", now=2.0)
    assert "203.0.113.0/24 (admin) still holds it" in change.note
    with pytest.raises(NoEntryError, match=r"not on the deny list; 203\.0\.113\.0/24"):
        await lists.remove("deny", "203.0.113.7", author="anna", reason="x", now=3.0)
    await lists.close()


async def test_why_names_the_entry_that_decides(tmp_path: Path) -> None:
    """Allow before deny, narrow before wide; the answer gives the precedence and the rest."""
    lists = await Lists.open(tmp_path)
    await lists.add("deny", "203.0.113.0/24", now=1.0, **WHO)
    await lists.add("deny", "203.0.113.7", now=1.0, expires=50.0, **WHO)
    why = lists.why("203.0.113.7", now=2.0)
    assert (why.verdict, why.network) == ("deny", "203.0.113.7/32")
    assert [entry.network for entry in why.also] == ["203.0.113.0/24"]
    assert "by anna (admin): scanner" in why.text
    assert lists.why("203.0.113.7", now=60.0).network == "203.0.113.0/24"
    added = await lists.add("allow", "203.0.112.0/23", now=3.0, **WHO)
    assert added.note == ""
    assert lists.why("203.0.113.7", now=3.0).verdict == "allow"
    eclipsed = await lists.add("deny", "203.0.112.1", now=3.0, **WHO)
    assert eclipsed.note == "without effect while 203.0.112.0/23 is allowed"
    assert lists.why("192.0.2.1", now=3.0).verdict == "none"
    with pytest.raises(ValueError, match="no address"):
        lists.why("nobody", now=3.0)
    await lists.close()


async def test_a_flood_of_responses_meets_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forged sources can't fill the lists by way of automatic denies; people still can add."""
    monkeypatch.setattr(store_module, "RESPONSES", 3)
    lists = await Lists.open(tmp_path)
    more = {"source": "response:port-scan", "expires": 99.0, "now": 1.0, **WHO}
    for low in range(3):
        await lists.add("deny", f"203.0.113.{low}", **more)  # type: ignore[arg-type]
    with pytest.raises(FullError, match="automatic responses"):
        await lists.add("deny", "203.0.113.77", **more)  # type: ignore[arg-type]
    await lists.add("deny", "203.0.113.2", **more)  # type: ignore[arg-type]
    await lists.add("deny", "203.0.113.77", now=1.0, **WHO)
    assert lists.counters()["refused_full"] == 1
    await lists.expire(100.0)
    assert lists.counters()["response_entries"] == 0
    await lists.close()


async def test_hostile_texts_become_one_bounded_line(tmp_path: Path) -> None:
    """A log line as reason can't forge a second line or fill the disk."""
    lists = await Lists.open(tmp_path)
    change = await lists.add(
        "deny", "203.0.113.7", reason="a\nb\x1b[31m" + "c" * 10_000, author="anna", now=1.0
    )
    assert change.entry.reason.startswith("a b [31mccc")
    assert len(change.entry.reason) == 500
    await lists.close()


async def test_history_is_never_edited_and_only_forgotten_when_over(tmp_path: Path) -> None:
    """SQL itself refuses to rewrite a change, or to lose the one that explains a standing entry."""
    lists = await Lists.open(tmp_path)
    await lists.add("deny", "203.0.113.7", now=1.0, **WHO)
    await lists.add("deny", "203.0.113.8", now=1.0, expires=2.0, **WHO)
    await lists.expire(3.0)
    with sqlite3.connect(tmp_path / "lists.db") as db:
        for attempt in ("UPDATE changes SET author = 'nobody'", "DELETE FROM changes"):
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(attempt)
    db.close()
    assert await lists.forget(100.0) == 2
    assert [edit.network for edit in await lists.changes()] == ["203.0.113.7/32"]
    await lists.close()


async def test_many_writers_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    """Changes that are asked for at the same time all happen."""
    lists = await Lists.open(tmp_path)
    await asyncio.gather(
        *(lists.add("deny", f"203.0.113.{low}", now=1.0, **WHO) for low in range(50)),
        lists.replace_source("central", [feed_entry("198.51.100.0/24")], now=1.0),
        lists.expire(1.0),
        lists.changes(),
    )
    assert len(lists.entries(now=1.0)) == 51
    await lists.close()


STEP = st.tuples(
    st.sampled_from(["add", "add", "remove", "expire"]),
    st.sampled_from(["deny", "allow"]),
    st.integers(0, 15),
    st.sampled_from([28, 30, 32]),
    st.sampled_from([0.0, 3.0, 8.0]),
)


@given(st.lists(STEP, max_size=20))
@settings(max_examples=40, deadline=None)
def test_any_sequence_equals_a_plain_dict(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int, int, float]]
) -> None:
    """Adds, removes and expiries in any order leave what a dict would hold, also once reopened."""
    asyncio.run(_play(tmp_path_factory.mktemp("lists"), steps))


async def _play(folder: Path, steps: list[tuple[str, str, int, int, float]]) -> None:
    lists = await Lists.open(folder)
    model: dict[tuple[str, str], float] = {}
    for now, (action, name, low, length, span) in enumerate(steps, 1):
        network = str(ipaddress.ip_network((f"203.0.113.{low}", length), strict=False))
        if action == "add":
            expires = now + span if span else 0.0
            await lists.add(name, network, now=now, expires=expires, **WHO)
            model[name, network] = expires
        elif action == "expire":
            gone = {(entry.list, entry.network) for entry in await lists.expire(now)}
            assert gone == {key for key, end in model.items() if end and end <= now}
            model = {key: end for key, end in model.items() if key not in gone}
        elif (name, network) in model:
            await lists.remove(name, network, author="x", reason="y", now=now)
            del model[name, network]
        else:
            with pytest.raises(NoEntryError):
                await lists.remove(name, network, author="x", reason="y", now=now)
        _check(lists, model)
    await lists.close()
    lists = await Lists.open(folder)
    _check(lists, model)
    await lists.close()


def _check(lists: Lists, model: dict[tuple[str, str], float]) -> None:
    held = {(entry.list, entry.network): entry.expires for entry in lists.entries(now=0.0)}
    assert held == model
    for low in range(16):
        address = ipaddress.ip_address(f"203.0.113.{low}")
        holding = {name for name, network in model if address in ipaddress.ip_network(network)}
        assert denied(lists, str(address)) == (holding == {"deny"})


WRITER = """
import asyncio, sys
from pathlib import Path
from ipwatchd.lists import Lists

async def main():
    lists = await Lists.open(Path(sys.argv[1]))
    for number in range(100_000):
        network = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        await lists.add("deny", network, reason="x", author="y", now=1.0)
        print(network, flush=True)

asyncio.run(main())
"""


async def test_what_was_promised_survives_kill_9(tmp_path: Path) -> None:
    """Every entry whose add returned is there after kill -9, with its change, and none is half."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout
    promised = [(await process.stdout.readline()).decode().strip() for _ in range(25)]
    os.kill(process.pid, signal.SIGKILL)
    promised += (await process.stdout.read()).decode().split("\n")[:-1]
    await process.wait()
    lists = await Lists.open(tmp_path)
    held = [entry.network.removesuffix("/32") for entry in lists.entries(now=1.0)]
    assert held[: len(promised)] == promised
    assert len(held) <= len(promised) + 1
    edits = await lists.changes(limit=1000)
    assert [edit.network.removesuffix("/32") for edit in reversed(edits)] == held
    await lists.close()


async def test_many_at_once_are_one_transaction(tmp_path: Path) -> None:
    """An import takes the good, names the bad by place, renews what is there, guards management."""
    lists = await Lists.open(tmp_path, management=["192.0.2.0/24"])

    def entry(network: str, **more: float) -> ListEntry:
        return ListEntry(
            id=0, list="deny", network=network, reason="why", author="maria", created=0.0,
            source="import", expires=more.get("expires", 0.0),
        )  # fmt: skip

    done = await lists.add_all([entry("203.0.113.1"), entry("203.0.113.9/24")], now=10.0)
    assert [one.network for one in done.added] == ["203.0.113.1/32", "203.0.113.0/24"]
    done = await lists.add_all(
        [
            entry("203.0.113.1", expires=99.0), entry("nonsense"), entry("192.0.2.7"),
            entry("198.51.100.1"), entry("198.51.100.1", expires=50.0), entry("0.0.0.0/0"),
        ],
        now=20.0,
    )  # fmt: skip
    assert [one.expires for one in done.renewed] == [99.0]
    assert [(one.network, one.expires) for one in done.added] == [("198.51.100.1/32", 50.0)]
    assert [place for place, _ in done.refused] == [1, 2, 5]
    assert denied(lists, "198.51.100.1")
    await lists.remove("deny", "203.0.113.0/24", author="maria", reason="over", now=30.0)
    await lists.close()
    again = await Lists.open(tmp_path)
    assert sorted(one.network for one in again.entries(now=30.0)) == [
        "198.51.100.1/32", "203.0.113.1/32",
    ]  # fmt: skip
    await again.close()
