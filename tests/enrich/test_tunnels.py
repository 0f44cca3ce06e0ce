"""A connection that ends gives back what it was given, and is bounded in number."""

from __future__ import annotations

from ipwatchd.enrich.tunnels import MOST, Tunnels
from ipwatchd.records.event import Vpn


def vpn(port: int, address: str = "", orig: str = "192.0.2.1") -> Vpn:
    """Return what a server says of a connection."""
    return Vpn(
        ts=0.0, message="", user="maria", address=address, orig=orig, orig_port=port
    )  # fmt: skip


def test_what_was_given_comes_back_once() -> None:
    """The addresses of one connection, each once; a second end has none."""
    tunnels = Tunnels()
    for address in ("10.8.0.2", "10.8.0.2", "fd00::2"):
        tunnels.opened(vpn(1, address))
    tunnels.opened(vpn(2, "10.8.0.3"))
    assert tunnels.closed(vpn(1)) == ["10.8.0.2", "fd00::2"]
    assert tunnels.closed(vpn(1)) == []
    assert tunnels.closed(vpn(2)) == ["10.8.0.3"]


def test_it_is_bounded() -> None:
    """Who connects without end pushes out the oldest; a server that names no client costs none."""
    tunnels = Tunnels()
    tunnels.opened(vpn(0, "10.8.0.1", orig=""))
    for port in range(MOST + 1):
        tunnels.opened(vpn(port, f"10.9.{port >> 8}.{port & 255}"))
    assert tunnels.closed(vpn(0)) == []
    assert tunnels.closed(vpn(1)) == ["10.9.0.1"]
    for turn in range(9):
        tunnels.opened(vpn(2, f"10.8.1.{turn}"))
    assert len(tunnels.closed(vpn(2))) == 4


def test_who_is_erased_is_forgotten() -> None:
    """A connection that names somebody goes, by name and by either address; others stay."""
    tunnels = Tunnels()
    tunnels.opened(vpn(1, "10.8.0.2"))
    tunnels.opened(vpn(2, "10.8.0.3"))
    tunnels.forget(lambda rows: [row for row in rows if "10.8.0.2" not in row])
    assert tunnels.closed(vpn(1)) == []
    assert tunnels.closed(vpn(2)) == ["10.8.0.3"]
    tunnels.opened(vpn(1, "10.8.0.2"))
    tunnels.forget(lambda rows: [row for row in rows if "maria" not in row])
    assert tunnels.closed(vpn(1)) == []
