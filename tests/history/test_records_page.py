"""docs/records.md: every field of every kind is on the page, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipwatchd.history.views import RECORDS
from ipwatchd.records.event import Api, Auth, Blocked, Dhcp, Sip
from ipwatchd.records.filter import Filter
from tests.history.made import T0, flow

if TYPE_CHECKING:
    from tests.history.made import Open

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")
KINDS = (*RECORDS, "activity")


def section(kind: str) -> str:
    """Return what the page says of a kind."""
    found = re.search(rf"^## {kind}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("kind", KINDS)
async def test_fields_are_documented(open_history: Open, kind: str) -> None:
    """The rows of a kind have the fields of its table, no more and no fewer."""
    async with open_history() as history:
        history.add_flows(flow("203.0.113.9", "10.30.0.5", direction="incoming", zones=(2, 1)), T0)
        history.add_events(
            [
                Auth(ts=T0, orig="203.0.113.9", user="maria", result="success", service="ssh"),
                Api(ts=T0, orig="203.0.113.9", name="api.example", method="GET", status=200),
                Dhcp(ts=T0, message="ack", mac="00:11:22:33:44:55", address="203.0.113.9"),
                Sip(ts=T0, orig="203.0.113.9", user="1001", method="REGISTER"),
                Blocked(ts=T0, orig="203.0.113.9", resp="10.30.0.5", action="drop"),
            ],
            T0,
        )
        history.add_list_change(
            ts=T0, list="deny", network="203.0.113.9", action="add", author="ops"
        )
        await history.flush(T0 + 1)
        rows = await history.records(kind, Filter(), 50)
    if kind == "session":
        assert {row["address"]: row["login"] for row in rows} == {"203.0.113.9": T0, "10.30.0.5": 0}
    fields = re.findall(r"^\| (\w+) \| .+\|$", section(kind), re.MULTILINE)
    assert rows
    for row in rows:
        if kind == "activity":
            assert set(fields) <= set(row)
        else:
            assert set(row) == set(fields)


@pytest.mark.parametrize("kind", RECORDS)
def test_filter_keys_are_documented(kind: str) -> None:
    """The page names the keys that a kind understands."""
    words = section(kind).rpartition("Filter: ")[2].split()
    assert set(words) == set(RECORDS[kind].matchers)
