"""The table of calls: paths, roles, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipwatchd.control.call import ROLES
from ipwatchd.control.routes import ROUTES, Route, match


def test_paths_give_their_names() -> None:
    """A {name} matches one segment, percent-decoded."""
    assert match("records/{kind}", "records/incoming") == {"kind": "incoming"}
    assert match("addresses/{address}", "addresses/2001%3Adb8%3A%3A7") == {"address": "2001:db8::7"}
    assert match("records/{kind}", "records") is None
    assert match("firewall/diff", "firewall/mode") is None


@given(st.text(max_size=60))
def test_any_path_is_a_call_or_none(path: str) -> None:
    """No path makes the matcher fall over."""
    for route in ROUTES:
        assert match(route.path, path) is None or isinstance(match(route.path, path), dict)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_what_changes_something_needs_more_than_a_viewer(route: object) -> None:
    """Every call has a role; every change needs operator or admin and is in the audit log."""
    method, role, audit = (getattr(route, name) for name in ("method", "role", "audit"))
    assert role in ROLES[1:]
    if method != "GET":
        assert role in {"operator", "admin"}
        assert audit


# Why a call that shows something leaves no line of its own.
IMPERSONAL = {
    "status": "counts", "doctor": "checks", "throughput": "sums of the site", "zones": "networks",
    "archive-keys": "days and hashes", "exports/{id}": "its begin is noted", "feeds": "sources",
    "firewall": "counts", "firewall/diff": "networks the kernel lacks", "policy": "rules",
    "incidents/verify": "a verdict", "regimes": "laws",
}  # fmt: skip


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_call_is_classified(route: Route) -> None:
    """A call is in the audit log, or shows nothing of a person; changes are never polled."""
    assert bool(route.audit) != (route.method == "GET" and route.path in IMPERSONAL)
    assert route.method == "GET" or not route.polled
