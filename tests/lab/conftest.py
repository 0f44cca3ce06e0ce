"""The built site, and the whole cast on it, without ipwatchd."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from ipwatchd.lab.site import Site, build, named

from .processes import end

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def site() -> Iterator[Site]:
    """Return the site once a packet of each family has crossed it."""
    with ExitStack() as stack:
        try:
            built = build(stack)
        except PermissionError:
            pytest.skip("needs CAP_SYS_ADMIN: run as root or under unshare -Urn")
        for address in (named("portal").ipv4, named("portal").ipv6):
            wait_for_ping(built, "customer1", address)
        yield built


def wait_for_ping(site: Site, who: str, address: str) -> None:
    """Ping until it answers: links take a moment after they are plugged in."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = site.hosts[who].run(["ping", "-c1", "-W1", address], check=False)
        if done.returncode == 0:
            return
    pytest.fail(f"{who} can't ping {address}")


@pytest.fixture
def mark() -> Iterator[str]:
    """Return a word for the environment of what a test starts; nothing with it is left over."""
    word = f"LAB_TEST_{os.getpid()}_{time.monotonic_ns()}"
    yield word
    end(word)
