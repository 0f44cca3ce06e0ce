"""What capture counts, by name, for status, metrics and the person who reads a file."""

from __future__ import annotations

import msgspec

from ipwatchd.capture.dissect import DissectCounters
from ipwatchd.capture.rich.counters import RichCounters

__all__ = ["CaptureCounters", "ConntrackCounters", "FileReport", "InterfaceCounters"]


class InterfaceCounters(msgspec.Struct, kw_only=True):
    """One interface: `state` is up, down or missing; times are epoch seconds, 0 is never."""

    name: str
    state: str = "down"
    packets: int = 0
    bytes: int = 0
    kernel_drops: int = 0
    first_packet: float = 0.0
    last_packet: float = 0.0
    times_lost: int = 0


class ConntrackCounters(msgspec.Struct, kw_only=True):
    """Connection tracking. `events` are connections that ended, `looks` dumps of all that live.

    `overruns` counts how often the kernel's buffer for us was full, `events_lost` the ends that
    went with it; `unmeasured` flows were told without packets and bytes, `untracked` connections
    found no room when we began, `vanished` ones ended without an event. `openings` were seen on
    the wire alone, since a rule dropped them (openings.py); `openings_shed` could not be decided.
    """

    events: int = 0
    overruns: int = 0
    events_lost: int = 0
    looks: int = 0
    looks_broken: int = 0
    look_seconds: float = 0.0
    tracked: int = 0
    unmeasured: int = 0
    untracked: int = 0
    vanished: int = 0
    openings: int = 0
    openings_shed: int = 0


class CaptureCounters(msgspec.Struct, kw_only=True):
    """All of capture. Bytes are bytes on the wire.

    `flows_evicted` made room in a full table, `flows_collapsed` are openings of a flood that are
    told in sums, `flows_shed` packets found no room at all;
    `events_shed` payloads did not fit the tap, `deliveries_shed` rows and taps were dropped since
    the pipeline did not keep up.
    """

    packets: int = 0
    bytes: int = 0
    flows: int = 0
    flows_live: int = 0
    flows_evicted: int = 0
    flows_collapsed: int = 0
    flows_shed: int = 0
    events_shed: int = 0
    deliveries_shed: int = 0
    malformed: int = 0
    not_ip: int = 0
    kernel_drops: int = 0
    interfaces: list[InterfaceCounters] = []
    dissect: DissectCounters = msgspec.field(default_factory=DissectCounters)
    rich: RichCounters = msgspec.field(default_factory=RichCounters)
    conntrack: ConntrackCounters | None = None


class FileReport(msgspec.Struct, kw_only=True):
    """What reading files came to. `warnings` are sentences, one for each file that was damaged."""

    files: int = 0
    bytes_read: int = 0
    packets: int = 0
    bytes: int = 0
    flows: int = 0
    flows_evicted: int = 0
    flows_collapsed: int = 0
    flows_shed: int = 0
    events_shed: int = 0
    malformed: int = 0
    not_ip: int = 0
    truncated: int = 0
    damaged: int = 0
    unsupported: int = 0
    warnings: list[str] = []
    dissect: DissectCounters = msgspec.field(default_factory=DissectCounters)
    rich: RichCounters = msgspec.field(default_factory=RichCounters)
