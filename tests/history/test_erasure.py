"""Erasure: nothing of a subject is left in any file, everybody else's records are as they were."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.history import subject as subjects
from ipwatchd.history.archive import Archive
from ipwatchd.history.rollup import pack
from ipwatchd.history.subject import subject_of
from ipwatchd.history.traces import search
from ipwatchd.records.address import split
from ipwatchd.records.event import AnyEvent, Arp, Auth, Blocked, Dhcp, Dns, Http
from ipwatchd.records.filter import Filter, parse
from tests.history.made import T0, flow

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.history import History
    from tests.history.made import Open

EVERYTHING = Filter()
WHO = "10.20.0.5"
OTHER = "10.20.0.50"


def everything(address: str) -> list[AnyEvent]:
    """Return events that name an address in every place there is."""
    return [
        Dns(ts=T0, orig="10.20.0.9", resp="10.30.0.53", name="pc.example", response=True,
            answers=("198.51.100.1", address)),
        Dhcp(ts=T0, message="ack", mac="00:11:22:33:44:55", address=address, hostname="pc"),
        Arp(ts=T0, operation="reply", mac="00:11:22:33:44:55", address=address),
        Auth(ts=T0, orig=address, user="maria", result="success", service="ssh"),
        Http(ts=T0, orig=address, resp="203.0.113.9", name="site.example", method="GET"),
        Blocked(ts=T0, orig="203.0.113.9", resp=address, action="drop"),
    ]  # fmt: skip


def _segment(folder: Path) -> Path:
    return next(folder.rglob("*.parquet"))


async def fill(history: History) -> None:
    """Record two addresses that differ by one digit at the end."""
    for address in (WHO, OTHER):
        history.add_flows(flow(orig=address), T0)
        history.add_flows(
            flow(orig="203.0.113.9", resp=address, direction="incoming", zones=(2, 0)), T0
        )
        history.add_events(everything(address), T0)
        history.add_list_change(
            ts=T0, list="deny", network=address, action="add", author="ops", reason="test"
        )
    await history.flush(T0 + 100)


async def test_an_erased_address_is_in_no_file(open_history: Open, tmp_path: Path) -> None:
    """Tables, segments, the log and free pages: the search finds nothing, the twin keeps it all."""
    who = subject_of(WHO)
    async with open_history() as history:
        await fill(history)
        twin = await history.address(OTHER)
        assert search(tmp_path, who, {}).found
        erased = await history.erase(who, T0 + 200)
        assert erased.removed["flows"] == 2
        assert {"address", "rollup", "event", "device", "agent", "incoming"} <= set(erased.removed)
        assert (erased.left.found, erased.left.unreadable) == ({}, [])
        assert await history.address(WHO) is None
        assert await history.address(OTHER) == twin
        assert len(await history.flows(EVERYTHING, 10)) == 2
    assert search(tmp_path, who, {}).found == {}
    assert search(tmp_path, subject_of(OTHER), {}).found
    async with open_history() as history:
        assert not history.shed()
        assert len(await history.flows(EVERYTHING, 10)) == 2


async def test_what_waits_in_memory_goes_too(open_history: Open, tmp_path: Path) -> None:
    """Flows that are not written yet, and an open session, do not come back at the next flush."""
    async with open_history() as history:
        history.add_flows(flow(orig=WHO), T0)
        await history.erase(subject_of(WHO), T0 + 1)
        await history.flush(T0 + 2)
        assert await history.address(WHO) is None
    assert search(tmp_path, subject_of(WHO), {}).found == {}


async def test_what_was_deleted_before_is_overwritten_too(
    open_history: Open, tmp_path: Path
) -> None:
    """A row that retention deleted lies on in a free page: the erasure writes the file anew."""
    async with open_history() as history:
        await fill(history)
        await history._db.execute("PRAGMA secure_delete = OFF")
        await history._db.execute("DELETE FROM event")
        await history._db.commit()
        erased = await history.erase(subject_of(WHO), T0 + 200)
    assert erased.left.found == {}
    assert search(tmp_path, subject_of(WHO), {}).found == {}


async def test_an_agents_name_goes_and_the_traffic_stays(
    open_history: Open, tmp_path: Path
) -> None:
    """Erasing an agent takes the name out of every table; the address's flows are nameless."""
    async with open_history() as history:
        await fill(history)
        erased = await history.erase(subject_of("Maria"), T0 + 200)
        assert erased.removed == {"agent": 2, "event": 2}
        assert (await history.address(WHO) or {})["agents"] == []
        assert len(await history.flows(EVERYTHING, 10)) == 4
    assert search(tmp_path, subject_of("maria"), {}).found == {}


async def test_a_folder_that_lies_elsewhere_is_named(open_history: Open, tmp_path: Path) -> None:
    """An archive moved to another disk behind a link: erased from, and told as not searched."""
    async with open_history() as history:
        await fill(history)
        elsewhere = tmp_path.with_name("elsewhere")
        (tmp_path / "archive").rename(elsewhere)
        (tmp_path / "archive").symlink_to(elsewhere)
        erased = await history.erase(subject_of(WHO), T0 + 200)
        assert erased.removed["flows"] == 2
        assert erased.left.unreadable == ["archive"]


async def test_what_comes_after_an_erasure_that_the_disk_refused(
    open_history: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows went, a segment could not be written: new traffic of the address is recorded."""

    def fail(*_: object) -> None:
        raise OSError("no space left")

    async with open_history() as history:
        await fill(history)
        with monkeypatch.context() as patched:
            patched.setattr(Archive, "without", fail)
            with pytest.raises(OSError, match="no space left"):
                await history.erase(subject_of(WHO), T0 + 200)
        history.add_flows(flow(orig=WHO, start=T0 + 300), T0 + 300)
        await history.flush(T0 + 300)
        about = await history.address(WHO)
        assert about is not None
        assert (about["flows"], len(about["hours"]), len(about["sessions"])) == (1, 1, 1)


async def test_a_damaged_segment_is_named(open_history: Open, tmp_path: Path) -> None:
    """What can't be read can't be proved: the search says which file."""
    async with open_history() as history:
        await fill(history)
        segment = _segment(tmp_path)
        segment.write_bytes(segment.read_bytes()[:200])
        erased = await history.erase(subject_of(WHO), T0 + 200)
    assert erased.left.unreadable == [str(segment.relative_to(tmp_path))]


async def test_a_folder_opened_for_reading_erases_nothing(open_history: Open) -> None:
    """Erasing goes through the one writer."""
    async with open_history() as history:
        await fill(history)
    async with open_history(read_only=True) as history:
        with pytest.raises(OSError, match="through the daemon"):
            await history.erase(subject_of(WHO), T0)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("", "an address or network"), ("  ", "an address or network"), ("a\0b", "an address"),
        ("10.0.0.300/24", "write 203.0.113.0/24"), ("10.0.0.0/7", "/8 or longer"),
        ("2001:db8::/31", "/32 or longer"), ("::/0", "/32 or longer"),
    ],
)  # fmt: skip
def test_what_is_no_subject(text: str, mend: str) -> None:
    """Nothing, a NUL, no network, or one too wide to be told from chance in a file's bytes."""
    with pytest.raises(ValueError, match=mend):
        subject_of(text)


async def test_an_erased_network_is_in_no_file(open_history: Open, tmp_path: Path) -> None:
    """Every address of it goes, from tables and segments; the addresses beside it stay."""
    async with open_history() as history:
        await fill(history)
        erased = await history.erase(subject_of("10.20.0.0/24"), T0 + 200)
        assert erased.left.found == {}
        assert erased.removed["flows"]
        left = await history.flows(parse("", T0 + 200), 1000)
        assert not [row for row in left if "10.20.0." in row["orig"] + row["resp"]]
        assert await history.address(WHO) is None
    assert search(tmp_path, subject_of("10.20.0.0/24"), {}).found == {}


_v4 = st.ip_addresses(v=4)
_v6 = st.ip_addresses(v=6, network="2001:db8::/30")


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.tuples(_v4, _v4, st.integers(8, 32)), st.tuples(_v6, _v6, st.integers(32, 128)))
)
def test_a_network_is_found_as_its_addresses_are(
    drawn: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address, int],
) -> None:
    """In words, as a key, and as columns hold it, an address is found where the network has it."""
    base, other, length = drawn
    network = ipaddress.ip_network((base, length), strict=False)
    who = subject_of(str(network))
    for address in (base, network[0], network[-1], other):
        inside = address in network
        assert who.named_in(f"seen {address}.") == inside
        hi, lo = split(address)
        assert (who.hits(b"x" + pack(hi, lo) + b"x") > 0) == inside
        assert (who.hits(hi.to_bytes(8, "little") + lo.to_bytes(8, "little")) > 0) == inside
        assert bool(who.without([[f"{hi << 64 | lo:x}", 1]])) != inside
        assert bool(who.without([[f"{hi:x}", f"{lo:x}", 6, 443]])) != inside
        assert bool(who.without({"known": [[str(address), 443]]})["known"]) != inside


@pytest.mark.parametrize(
    ("subject", "text", "named"),
    [
        ("10.0.0.5", "from 10.0.0.5.", True), ("10.0.0.5", "10.0.0.50", False),
        # A row of SQLite: its columns touch each other.
        ("10.0.0.5", "deny10.0.0.5/32scans", True), ("10.0.0.5", "deny10.0.0.5scans", True),
        ("10.0.0.5", "deny110.0.0.5/32", False), ("10.0.0.5", "10.0.0.5:443", True),
        ("10.0.0.0/24", "deny10.0.0.5/32scans", True), ("2001:db8::1", "deny2001:db8::1/128", True),
        ("2001:db8::1", "2001:db8::11", False), ("2001:db8::1", "a2001:db8::1", False),
        ("10.0.0.5", "110.0.0.5", False), ("10.0.0.5", "10.0.0.5/32", True),
        ("10.0.0.5", "::ffff:10.0.0.5", True), ("2001:db8::5", "[2001:DB8::5]:443", True),
        ("2001:db8::5", "2001:db8::51", False), ("maria", "mariadb", False),
        ("maria", "user=Maria;", True), ("maria", "anna-maria", True),
    ],
)  # fmt: skip
def test_a_subject_is_found_as_a_word(subject: str, text: str, named: bool) -> None:
    """Longer addresses and names that begin alike are others."""
    assert subject_of(subject).named_in(text) is named


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["10.0.0.5", "10.0.0.0/28", "2001:db8::5", "2001:db8::/64", "José", "maria"]),
    st.lists(
        st.sampled_from([
            b"10.0.0.5", b"::ffff:10.0.0.5", b"10.0.0.50", b"2001:DB8::5", b"2001:db8::51",
            b"2001:0db8:0000:0000:0000:0000:0000:0005", "José".encode(), "josé".encode(),
            "JOSÉ".encode(), b"maria", b"Maria", b"mariadb", pack(*split("10.0.0.5")),
            pack(*split("10.0.0.5"))[::-1], pack(*split("2001:db8::5")), b" ", b".", b"\0", b"A",
        ]),
        max_size=12,
    ),
    st.integers(1, 100),
)  # fmt: skip
def test_a_search_in_windows_finds_what_a_search_of_all_finds(
    text: str, parts: list[bytes], window: int
) -> None:
    """Wherever a window ends: what lies across its end is found once, what is another's is not."""
    who, data = subject_of(text), b"".join(parts)
    whole = who.hits(data)
    assert whole == sum(1 for _ in who.pattern().finditer(data)) or who.kind == "network"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subjects, "_WINDOW", window)
        assert who.hits(data) == whole


async def test_streams_give_every_row_once(open_history: Open) -> None:
    """All rows of every stream come, and the iterator can be closed before its end."""
    async with open_history() as history:
        await fill(history)
        await history.flush(T0 + 1000)
        history.add_flows(flow(orig=WHO, start=T0 + 1000), T0 + 1001)
        rows = [
            row for what in ("flows", "events", "activity", "session")
            async for batch in history.stream(what, EVERYTHING) for row in batch.rows
        ]  # fmt: skip
        flows = [row for row in rows if "orig_bytes" in row]
        assert len(flows) == 5
        assert [row["start"] for row in flows] == sorted(row["start"] for row in flows)
        stream = history.stream("events", parse("kind:dns", T0))
        first = await anext(stream)
        assert {row["kind"] for row in first.rows} == {"dns"}
        await stream.aclose()  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="none of"):
            await anext(history.stream("nothing", EVERYTHING))


async def test_either_end_is_found_once(open_history: Open) -> None:
    """A flow whose two ends are both asked for is one flow; ! and other terms hold as before."""
    async with open_history() as history:
        await fill(history)
        history.add_flows(flow(orig=WHO, resp=OTHER), T0)
    async with open_history() as history:
        for words, count in (
            (f"{WHO}", 3), (f"{WHO},{OTHER}", 5), (f"{WHO} {OTHER}", 1), (f"!{WHO}", 2),
            (f"{WHO} port:443 !{OTHER}", 2), ("agent:maria", 5), ("list:deny", 5),
        ):  # fmt: skip
            query = parse(words.replace(f"{WHO},", f"addr:{WHO},"), T0)
            assert len(await history.flows(query, 50)) == count
