"""The header and the health panel, as lines."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ipwatchd.control.messages import Check, FirewallState, InterfaceState, UplinkState
from tui.model import Model
from tui.widgets.header import now_line, tab_line
from tui.widgets.health import health_lines
from tui.widgets.lines import sum_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui.text import Piece

NOW = 1_763_730_000.0


def model_of(script: Any, **changes: Any) -> Model:
    """Return a model that has seen one status."""
    model = Model()
    model.take_status(msgspec.structs.replace(script.status, **changes), NOW)
    return model


def text_of(lines: Sequence[Sequence[Piece]]) -> str:
    """Return lines as text."""
    return "\n".join("".join(piece.text for piece in line).rstrip() for line in lines)


@pytest.mark.parametrize("cells", [50, 60, 80, 100, 160])
def test_the_header_fits(script: Any, cells: int) -> None:
    """On any width site and mode are there, and the rates as far as there is room."""
    line = now_line(model_of(script), NOW, cells, UTC)
    text = text_of([line])
    assert text.startswith(" manila-1  ENFORCE ")
    assert sum_width(line) <= cells
    assert ("84.2 Mbit/s" in text) == (cells >= 60)


def test_the_header_says_what_it_looks_at(script: Any) -> None:
    """Before an answer, over a state folder, and with a daemon gone, it says so."""
    assert "asking" in text_of([now_line(Model(), NOW, 80, UTC)])
    assert "state folder" in text_of([now_line(model_of(script, live=False), NOW, 80, UTC)])
    model = model_of(script)
    model.lost("gone", NOW)
    assert "○ since 13:00" in text_of([now_line(model, NOW, 80, UTC)])


def test_the_tabs_count_open_incidents(script: Any) -> None:
    """The count is in the colour of the gravest."""
    line = tab_line(model_of(script), "lists", 80, "13:00:00")
    assert "2 Incidents 4" in text_of([line])
    assert next(piece for piece in line if piece.text == "4 ").meaning == "bad"


def test_all_well_is_short(script: Any) -> None:
    """Where all is well each part says so on a line, and the checks are one number."""
    text = text_of(health_lines(model_of(script), NOW, 30, 6, UTC))
    assert "lan0 up" in text
    assert "firewall in sync, 412 denied" in text
    assert "dropped 18.3k packets" in text
    assert "uplink ok, 0 waiting" in text
    assert "2 checks ok" in text


def test_faults_come_first_with_their_mend(script: Any) -> None:
    """A check that fails leads, then what is down or shed; what is well comes last."""
    model = model_of(
        script,
        health=(Check(name="disk", ok=False, note="nearly full: free some"),),
        interfaces=(InterfaceState(name="wan0", state="missing"),),
        firewall=FirewallState(mode="enforce", present=True, in_sync=False),
        uplink=UplinkState(url="https://c", waiting=42, error="refused"),
        shed={"flow table": 7, "events": 0},
    )
    text = text_of(health_lines(model, NOW, 46, 12, UTC))
    assert text.splitlines()[0] == " \u00d7 disk: nearly full: free some"
    assert " \u00d7 wan0 missing" in text
    assert " \u00d7 firewall differs from the lists" in text
    assert " ! uplink 42 waiting: refused" in text
    assert " ! flow table shed 7" in text
    assert "events shed" not in text


def test_what_does_not_fit_is_counted(script: Any) -> None:
    """A low panel says how many lines it hides."""
    lines = health_lines(model_of(script), NOW, 30, 3, UTC)
    assert len(lines) == 3
    assert "more: h shows all" in text_of(lines)


def test_a_fault_is_said_once(script: Any) -> None:
    """Where a check names the uplink's fault, the uplink's own line is left out."""
    model = model_of(
        script,
        health=(Check(name="uplink", ok=False, note="connection refused"),),
        uplink=UplinkState(url="https://c", waiting=42, error="connection refused"),
    )
    assert text_of(health_lines(model, NOW, 46, 12, UTC)).count("refused") == 1


def test_a_mode_that_waits_for_its_confirmation(script: Any) -> None:
    """The time by which enforce must be confirmed is shown while it runs."""
    state = FirewallState(mode="enforce", present=True, in_sync=True, confirm_by=NOW + 240)
    text = text_of(health_lines(model_of(script, firewall=state), NOW, 46, 12, UTC))
    assert "rolls back 13:04 unless confirmed" in text
