"""What the kernel's states and timeouts come to in a flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipwatchd.capture.conntrack_entry import (
    ASSURED,
    COUNTED,
    ENTRY,
    SEEN_REPLY,
    STARTED,
    STOPPED,
    TIMED,
)
from ipwatchd.capture.conntrack_flows import flows_of, growth
from ipwatchd.capture.conntrack_timeouts import kernel_timeouts, last_packets
from ipwatchd.records.flow import SERVICES, STATES

SECOND = 1_000_000_000
KERNEL = kernel_timeouts({"udp_timeout": 20}.get)


def entry(**fields: Any) -> Any:
    """Return one entry with these fields."""
    made = np.zeros(1, ENTRY)
    made["bits"] = COUNTED
    for name, value in fields.items():
        made[name] = value
    return made


@pytest.mark.parametrize(
    ("tcp", "packets", "status", "closer", "state"),
    [
        (1, (3, 0), 0, 0, "S0"),
        (2, (1, 1), SEEN_REPLY, 0, "S1"),
        (3, (9, 9), SEEN_REPLY | ASSURED, 0, "S1"),
        (3, (9, 0), 0, 0, "OTH"),
        (4, (9, 9), SEEN_REPLY | ASSURED, 0, "S2"),
        (4, (9, 9), SEEN_REPLY | ASSURED, 2, "S3"),
        (5, (9, 9), SEEN_REPLY | ASSURED, 1, "S2"),
        (6, (9, 9), SEEN_REPLY | ASSURED, 0, "SF"),
        (7, (9, 9), SEEN_REPLY | ASSURED, 0, "SF"),
        (8, (1, 1), 0, 0, "REJ"),
        (8, (2, 0), 0, 0, "RSTOS0"),
        (8, (2, 1), SEEN_REPLY, 0, "RSTO"),
        (9, (1, 1), SEEN_REPLY, 0, "OTH"),
        (200, (1, 1), SEEN_REPLY, 0, "OTH"),
    ],
)
def test_states(tcp: int, packets: tuple[int, int], status: int, closer: int, state: str) -> None:
    """Each state of the kernel's TCP has its conn_state (docs/capture.md)."""
    made = entry(proto=6, tcp=tcp, packets=packets, status=status, closer=closer)
    assert STATES[int(flows_of(made)["state"][0])] == state


def test_without_counters_the_status_tells_who_answered() -> None:
    """A connection that began before counting is answered where the kernel saw a reply."""
    made = entry(proto=17, bits=0, status=SEEN_REPLY)
    assert STATES[int(flows_of(made)["state"][0])] == "SF"


def test_service_by_port() -> None:
    """The service is that of the responder's own port, not of the translated one."""
    made = entry(proto=6, orig_dport=8443, reply_sport=22)
    assert SERVICES[int(flows_of(made)["service"][0])] == "ssh"


def test_growth_of_counters_that_went_back() -> None:
    """Counters that another program set to zero count from zero."""
    packets, octets = growth(entry(packets=(5, 7), told_packets=(9, 7), bytes=(1, 2)))
    assert packets.tolist() == [[5, 0]]
    assert octets.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        # TIME_WAIT ran out: the last packet was 120 s before the end.
        ({"proto": 6, "tcp": 7, "stop": 1000, "start": 10}, 880),
        # Killed with 431,990 s left of an established connection's five days.
        ({"proto": 6, "tcp": 3, "stop": 1000, "start": 10, "timeout": 431_990}, 990),
        # Established for less than five days and run out: nobody acknowledged.
        ({"proto": 6, "tcp": 3, "stop": 1000, "start": 10}, 700),
        ({"proto": 17, "stop": 1000, "start": 10}, 980),
        ({"proto": 17, "stop": 1000, "start": 10, "status": ASSURED}, 880),
        ({"proto": 1, "stop": 1000, "start": 10}, 970),
        ({"proto": 47, "stop": 1000, "start": 10}, 400),
        # Never before it began.
        ({"proto": 6, "tcp": 7, "stop": 1000, "start": 950}, 950),
        # A reset takes the entry at once, with the old state's time left.
        ({"proto": 6, "tcp": 8, "stop": 1000, "start": 999, "timeout": 119}, 1000),
    ],
)
def test_last_packets(fields: dict[str, int], last: int) -> None:
    """What is left of the kernel's timeout tells when the last packet passed."""
    bits = COUNTED | STARTED | STOPPED | (TIMED if "timeout" in fields else 0)
    times = {name: fields[name] * SECOND for name in ("start", "stop")}
    made = entry(**{**fields, **times, "bits": bits})
    assert last_packets(made, KERNEL, 2000 * SECOND).tolist() == [last * SECOND]
