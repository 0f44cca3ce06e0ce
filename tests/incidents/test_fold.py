"""Events fold to incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from ipwatchd.incidents.bodies import Body, Grown, Note, Response
from ipwatchd.incidents.chain import START, Head, link
from ipwatchd.incidents.fold import LISTED, FoldError, fold
from ipwatchd.incidents.grouping import opened as opening

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.finding import Finding
    from ipwatchd.records.incident import IncidentEvent


def log_of(*steps: tuple[str, Body | dict[str, object]]) -> list[IncidentEvent]:
    """Return a log of one incident."""
    events: list[IncidentEvent] = []
    head = START
    for kind, body in steps:
        event = link(
            "manila", head, time=head.seq + 1, incident="MANILA-000001", actor="x", kind=kind,
            body=body,
        )  # fmt: skip
        events.append(event)
        head = Head(event.seq, event.hash)
    return events


def test_growth_adds_up_and_stays_bounded(finding: Callable[..., Finding]) -> None:
    """Counts add, the time span widens, targets are each listed once and LISTED at most."""
    many = tuple(f"10.0.{n // 256}.{n % 256}" for n in range(1000))
    grown = Grown(findings=3, count=7, first_seen=900.0, last_seen=1100.0, targets=many)
    incident = fold(log_of(("opened", opening(finding())), ("grown", grown), ("grown", grown)))[
        "MANILA-000001"
    ]
    assert (incident.count, incident.first_seen, incident.last_seen) == (34, 900.0, 1100.0)
    assert incident.targets == many[:LISTED]
    assert incident.updated == 3.0


def test_a_kind_of_a_newer_site_changes_nothing_but_the_time(
    finding: Callable[..., Finding],
) -> None:
    """An older centre keeps folding when a site speaks of what it does not know."""
    before = fold(log_of(("opened", opening(finding()))))["MANILA-000001"]
    log = log_of(("opened", opening(finding())), ("of-a-newer-site", {"to": "x"}))
    after = fold(log)["MANILA-000001"]
    assert msgspec.structs.replace(after, updated=before.updated) == before


def test_fields_of_a_newer_site_are_ignored(finding: Callable[..., Finding]) -> None:
    """A known kind with one field more still folds."""
    body = msgspec.to_builtins(opening(finding())) | {"tlp": "amber"}
    assert fold(log_of(("opened", body)))["MANILA-000001"].state == "NEW"


def test_nonsense_is_named(finding: Callable[..., Finding]) -> None:
    """Opened twice, never opened, a body of another shape: FoldError says which event."""
    first = ("opened", opening(finding()))
    with pytest.raises(FoldError, match="open already"):
        fold(log_of(first, first))
    with pytest.raises(FoldError, match="never opened"):
        fold(log_of(("note", Note(text="x"))))
    with pytest.raises(FoldError, match=r"event 2 .* is no grown"):
        fold(log_of(first, ("grown", {"count": "many"})))


def test_responses_keep_the_newest(finding: Callable[..., Finding]) -> None:
    """A thousand responses leave the last LISTED in the incident, all in the log."""
    steps = [("response", Response(text=str(n))) for n in range(LISTED + 5)]
    incident = fold(log_of(("opened", opening(finding())), *steps))["MANILA-000001"]
    assert incident.responses == tuple(str(n) for n in range(5, LISTED + 5))
