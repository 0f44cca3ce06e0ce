"""The whole day is played over the real site without ipwatchd: every action does what it says."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ipwatchd.lab.actors import Cast
from ipwatchd.lab.certificates import Authority
from ipwatchd.lab.day import DAY, NAMES, Step
from ipwatchd.lab.site import named
from ipwatchd.lab.truth import Truth

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.lab.site import Site

_ETH_P_ALL = socket.htons(3)


def _play(site: Site, folder: Path, steps: tuple[Step, ...]) -> Truth:
    truth = Truth(folder / "truth.jsonl")

    async def day() -> None:
        cast = Cast(site, truth, Authority(folder), folder)
        async with AsyncExitStack() as stack:
            await cast.open(stack)
            for step in steps:
                await cast.play(step)

    try:
        asyncio.run(day())
    finally:
        truth.close()
    return truth


def test_the_day_is_played_and_every_deed_is_noted(site: Site, tmp_path: Path) -> None:
    """Pages open, calls go through, the scan is refused, passwords fail; the file says the same."""
    truth = _play(site, tmp_path, tuple(step for step in DAY if step.action != "deny"))

    def outcomes(*actions: str) -> set[str]:
        return {deed.outcome for deed in truth.of(*actions)}

    assert outcomes("browse", "visit", "api", "request", "call", "voice") == {"open"}
    assert {deed.resp for deed in truth.of("browse", actor="desk1")} == {named("web").ipv6}
    assert len(truth.of("scan", outcome="refused")) > 150
    assert outcomes("password") == {"failure", "success"}
    assert len(truth.of("password", actor="guesser", outcome="failure")) == 14
    assert [deed.name for deed in truth.of("lookup", outcome="refused")] == ["gone.example.org"]
    lines = (tmp_path / "truth.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == [deed.action for deed in truth.deeds]


def test_logs_are_written_as_the_real_programs_write_them(site: Site, tmp_path: Path) -> None:
    """The SSH server's log has OpenSSH's words, the API's log is in the combined format."""
    steps = (
        Step(0, "", "", ("guesser",), "guess", "ssh", 2),
        Step(0, "", "", ("customer2",), "request", "api.bpo.example", 1),
    )
    _play(site, tmp_path, steps)
    first, second = (tmp_path / "auth.log").read_text().splitlines()
    assert "ssh sshd[811]: Failed password for invalid user root from 203.0.113.99 port " in first
    assert "Failed password for admin from 203.0.113.99 port " in second
    (line,) = (tmp_path / "access.log").read_text().splitlines()
    assert line.startswith("203.0.113.22 - - [")
    assert '"POST /v1/tickets/0 HTTP/1.1" 200 ' in line


def test_a_witness_on_the_gateway_sees_real_protocols(site: Site, tmp_path: Path) -> None:
    """A raw socket on wan0 sees ClientHello, query, INVITE and voice as they are."""
    with site.gateway.inside():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ETH_P_ALL)
    tap.bind(("wan0", 0))
    tap.setblocking(False)
    steps = (
        Step(0, "", "", ("desk3",), "browse", "crm.example.net"),
        Step(0, "", "", ("desk3",), "call", "sip.carrier.example"),
    )
    _play(site, tmp_path, steps)
    frames = []
    while True:
        try:
            frames.append(tap.recv(65535))
        except BlockingIOError:
            break
    tap.close()
    assert any(b"crm.example.net" in frame and b"\x16\x03" in frame for frame in frames)
    assert any(b"\x03crm\x07example\x03net" in frame for frame in frames)
    assert any(b"INVITE sip:4420@sip.carrier.example" in frame for frame in frames)
    ports = [struct.unpack_from("!HH", frame, 34) for frame in frames if frame[23:24] == b"\x11"]
    assert sum(50000 in pair for pair in ports) == 30


def test_every_name_of_the_day_is_served_by_a_host() -> None:
    """A step that opens a name of the lab's finds someone at home."""
    for step in DAY:
        for who in step.who:
            assert named(who)
        if step.action in {"visit", "api", "request", "register"}:
            assert step.target in NAMES
