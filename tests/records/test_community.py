"""Community ID: the published examples."""

from __future__ import annotations

import ipaddress

import pytest

from ipwatchd.records.community import community_id


@pytest.mark.parametrize(
    ("orig", "orig_port", "resp", "resp_port", "proto", "icmp", "expected"),
    [
        ("128.232.110.120", 34855, "66.35.250.204", 80, 6, (0, 0),
         "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("192.168.1.52", 54585, "8.8.8.8", 53, 17, (0, 0), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        ("192.168.0.89", 0, "192.168.0.1", 0, 1, (8, 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
    ],
)  # fmt: skip
def test_published_ids(
    orig: str, orig_port: int, resp: str, resp_port: int, proto: int, icmp: tuple[int, int],
    expected: str,
) -> None:  # fmt: skip
    """TCP, UDP and ICMP give the ids of the specification's baseline, from either side."""
    ends = ipaddress.ip_address(orig), ipaddress.ip_address(resp)
    assert community_id(ends[0], orig_port, ends[1], resp_port, proto, icmp) == expected
    answer = (0, 0) if proto == 1 else icmp
    assert community_id(ends[1], resp_port, ends[0], orig_port, proto, answer) == expected
