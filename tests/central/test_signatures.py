"""The centre keeps the key that a site showed first, and believes no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ipwatchd.central.intake import flaw
from ipwatchd.incidents.chain import START, after, link
from ipwatchd.incidents.signing import Signer, fingerprint
from ipwatchd.records.exchange import Heartbeat

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.central.store import Store
    from ipwatchd.records.incident import IncidentEvent


def signed(signer: Signer, count: int = 4) -> list[IncidentEvent]:
    """Return a chain that a key signed."""
    events: list[IncidentEvent] = []
    for number in range(count):
        head = after(events[-1]) if events else START
        events.append(
            link("manila", head, time=float(number), incident="MANILA-000001", actor="ana",
                 kind="note", body={"text": "x"}, sign=signer.sign)
        )  # fmt: skip
    return events


async def test_the_first_key_counts_and_another_is_shown(store: Store, tmp_path: Path) -> None:
    """`sites` has the fingerprint; a second key changes nothing but the conflict that is told."""
    one, two = (Signer.open(tmp_path, 0), "11" * 32)
    await store.heartbeat("manila", Heartbeat(seq=1, time=1.0, key=one.public.key), 1.0)
    await store.heartbeat("manila", Heartbeat(seq=1, time=1.0), 2.0)
    (state,) = await store.sites(3.0)
    assert (state.key, state.conflict) == (fingerprint(one.public.key), "")
    await store.heartbeat("manila", Heartbeat(seq=1, time=1.0, key=two), 3.0)
    (state,) = await store.sites(4.0)
    assert state.key == fingerprint(one.public.key)
    assert fingerprint(two) in state.conflict
    assert await store.key_of("manila") == one.public.key


async def test_what_another_key_signed_is_refused_and_found(store: Store, tmp_path: Path) -> None:
    """A batch is taken where its last signature is the site's; what slipped in is found later."""
    ours, theirs = (Signer.open(tmp_path, 0), tmp_path / "thief")
    theirs.mkdir()
    thief = Signer.open(theirs, 0)
    events = signed(ours)
    key = ours.public.key
    assert flaw("manila", events, key) == ""
    assert "not signed" in flaw("manila", signed(thief), key)
    unsigned = [*events[:-1], replace(events[-1], signature="")]
    assert "not signed" in flaw("manila", unsigned, key)
    assert "does not follow" in flaw("manila", [replace(events[0], signature=""), *events[1:]], key)
    await store.receive("manila", signed(thief), 1.0)
    assert (await store.verify())["manila"].first_bad_seq is None
    await store.heartbeat("manila", Heartbeat(seq=4, time=1.0, key=key), 1.0)
    assert (await store.verify())["manila"].first_bad_seq == 4
