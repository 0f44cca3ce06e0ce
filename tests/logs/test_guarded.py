"""A fault in reading a line costs that line and is told; the next one is read."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from ipwatchd.logs.guarded import Guarded
from ipwatchd.logs.syslog import Head
from ipwatchd.records.event import Auth

SAYS = "Failed password for bob from 192.0.2.1 port 99 ssh2"


class _Broken(tzinfo):
    """A time zone that can't be asked: a real fault within the reading of a stamp."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise ArithmeticError("no such zone")


def test_a_fault_costs_a_line() -> None:
    """The line with the fault gives nothing, the others what they say; status names the source."""
    reader = Guarded(zone=_Broken())
    without = f"Nov 22 02:00:00 host sshd[7]: {SAYS}"
    assert reader.line(without, now=1.8e9, source="/var/log/auth.log") is None
    assert reader.faults == 1
    assert reader.fault == (
        "1 lines were let go by a fault of ipwatchd, the last of /var/log/auth.log "
        "(ArithmeticError: no such zone): report it"
    )
    event = reader.line(f"2026-11-22T02:00:00Z host sshd[7]: {SAYS}", now=1.8e9, source="x")
    assert isinstance(event, Auth)
    told = reader.message(Head(1.8e9, "sshd", SAYS, "7"), source="journal")
    assert isinstance(told, Auth)
    assert reader.faults == 1
