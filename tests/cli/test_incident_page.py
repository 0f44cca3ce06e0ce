"""An incident on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ipwatchd.cli.incident_page import print_incident
from ipwatchd.control.messages import IncidentDetail

if TYPE_CHECKING:
    import pytest

_SEEN = 1_278_275_056.0


def _detail(**evidence: Any) -> IncidentDetail:
    incident = {
        "id": "MNL-000001", "title": "10.0.0.8 probed 30 ports", "subject": "10.0.0.8",
        "state": "NEW", "first_seen": _SEEN, "last_seen": _SEEN + 5, "count": 1220,
        "evidence": evidence,
    }  # fmt: skip
    opened = {"key": "port-scan|10.0.0.8", "count": 1220, "first_seen": _SEEN}
    event = {"time": _SEEN, "actor": "detector:port-scan", "kind": "opened", "body": opened}
    return IncidentDetail(incident=incident, timeline=[event])


def test_line_that_was_crossed_stands_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Value, threshold and confidence are one line; what is empty takes none."""
    print_incident(_detail(value=30, threshold=20.0, confidence=0.995, users=[""], window=300.0))
    said = capsys.readouterr().out
    assert "why        value 30, threshold 20, confidence 99.5%\n" in said
    assert "  window: 300\n" in said
    assert "users" not in said


def test_examples_are_a_table_in_the_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Flows that show it are rows with local times, not an object in one line."""
    rows = [
        {"start": _SEEN + 60, "orig": "10.0.0.8", "resp_port": 23, "host": ""},
        {"start": _SEEN, "orig": "10.0.0.8", "resp_port": 22, "host": ""},
    ]
    print_incident(_detail(value=2, examples=rows))
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("examples") + 1 :][:3]
    moments = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_SEEN + late)) for late in (0, 60)]
    assert table[0].split() == ["START", "ORIG", "RESP", "PORT"]
    assert [line[:19] for line in table[1:]] == moments
    assert [line.split()[-1] for line in table[1:]] == ["22", "23"]


def test_timeline_does_not_repeat_the_head(capsys: pytest.CaptureFixture[str]) -> None:
    """The opening says its count, not the grouping's key nor seconds since 1970."""
    print_incident(_detail())
    last = capsys.readouterr().out.splitlines()[-1]
    assert "count=1220" in last
    assert "key=" not in last
    assert "12782" not in last


def test_a_stranger_s_words_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Names from the wire in evidence and in examples are shown without control characters."""
    print_incident(_detail(name="\x1b[2Jx", examples=[{"name": "\x1b]0;y\x07", "ts": _SEEN}]))
    assert "\x1b" not in capsys.readouterr().out
