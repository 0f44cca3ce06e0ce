"""The table of events in docs/capture.md is the truth."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ipwatchd.capture import dissect
from ipwatchd.records.event import KINDS, Event

PAGE = Path(__file__).parents[3] / "docs" / "capture.md"
ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \|", re.MULTILINE)


def test_every_kind_and_field_is_documented() -> None:
    """The table has each kind of event once, with its own fields in their order."""
    page = PAGE.read_text(encoding="utf-8")
    section = page.partition("## Metadata events\n")[2].partition("\n### ")[0]
    common = {field.name for field in msgspec.structs.fields(Event)}
    written = {kind: re.findall(r"`(\w+)`", fields) for kind, fields in ROW.findall(section)}
    true = {
        kind: [field.name for field in msgspec.structs.fields(event) if field.name not in common]
        for kind, event in KINDS.items()
    }
    assert written == true


def test_bounds_are_those_of_the_code() -> None:
    """Numbers that the page names are the code's."""
    from ipwatchd import confine
    from ipwatchd.capture import content
    from ipwatchd.capture.dissect import dns, framed, quic, ssh, stream
    from ipwatchd.capture.rich import door

    assert dissect.Dissector.__init__.__kwdefaults__["streams"] == 4096
    assert (dns.MAX_QUESTIONS, dns.MAX_ANSWERS, dns.MAX_JUMPS, dns.MAX_NAME) == (16, 64, 32, 255)
    assert (stream.MAX_BYTES, stream.MAX_SEGMENTS, stream.IDLE) == (8192, 32, 30.0)
    assert (quic.MAX_INITIALS, quic.MAX_FRAMES, quic.MAX_IDS) == (24, 128, 3)
    assert (content.STREAM_TRIES, framed.MAX_TOKEN, ssh.MAX_BANNER) == (12, 4096, 2048)
    assert (door.QUEUE, door.LIMIT, door.LIVES) == (512, 2.0, 8)
    assert confine.MEMORY == 256 << 20
