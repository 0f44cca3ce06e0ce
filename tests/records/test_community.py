"""Community ID against the vectors of the specification's reference implementation."""

from __future__ import annotations

import pytest

from ipwatchd.records.address import split
from ipwatchd.records.community import community_ids, community_ids_of
from ipwatchd.records.flow import empty_flows

VECTORS = [
    (6, "128.232.110.120", 34855, "66.35.250.204", 80, "LQU9qZlK+B5F3KDmev6m5PMibrg="),
    (6, "66.35.250.204", 80, "128.232.110.120", 34855, "LQU9qZlK+B5F3KDmev6m5PMibrg="),
    (6, "1.2.3.4", 1122, "5.6.7.8", 3344, "wCb3OG7yAFWelaUydu0D+125CLM="),
    (6, "10.0.0.1", 10, "10.0.0.2", 11569, "SXBGMX1lBOwhhoDrZynfROxnhnM="),
    (6, "192.168.1.42", 41, "192.168.1.42", 42, "eRcf7I/xocOxnYo5pbJBV5NhVm0="),
    (6, "192.168.1.42", 42, "192.168.1.42", 41, "eRcf7I/xocOxnYo5pbJBV5NhVm0="),
    (6, "2001:db8::1", 443, "2001:db8::2", 51000, "2TiKiiiSIuDma9IxOEOpx4wCXWM="),
    (17, "192.168.1.52", 54585, "8.8.8.8", 53, "d/FP5EW3wiY1vCndhwleRRKHowQ="),
    (132, "192.168.170.8", 7, "192.168.170.56", 80, "jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
]
ICMP_VECTORS = [
    (1, "192.168.0.89", "192.168.0.1", 8, 0, "X0snYXpgwiv9TZtqg64sgzUn6Dk="),
    (1, "192.168.0.89", "192.168.0.1", 20, 0, "3o2RFccXzUgjl7zDpqmY7yJi8rI="),
    (1, "192.168.0.89", "192.168.0.1", 20, 1, "tz/fHIDUHs19NkixVVoOZywde+I="),
    (58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0,
     "dGHyGvjMfljg6Bppwm3bg0LO8TY="),
    (58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:507:0:1:260:97ff:fe07:69ea", 3, 0,
     "/OGBt9BN1ofenrmSPWYicpij2Vc="),
]  # fmt: skip
RSVP = (46, "1.2.3.4", "5.6.7.8", "ikv3kmf89luf73WPz1jOs49S768=")


def _id(proto: int, orig: str, resp: str, **fields: int) -> str:
    flows = empty_flows(1)
    flows["proto"] = proto
    flows["orig_hi"], flows["orig_lo"] = split(orig)
    flows["resp_hi"], flows["resp_lo"] = split(resp)
    for name, value in fields.items():
        flows[name] = value
    return community_ids(flows)[0]


@pytest.mark.parametrize(("proto", "orig", "port", "resp", "other", "digest"), VECTORS)
def test_ports(proto: int, orig: str, port: int, resp: str, other: int, digest: str) -> None:
    """Both directions of a connection have the published name."""
    assert _id(proto, orig, resp, orig_port=port, resp_port=other) == f"1:{digest}"


@pytest.mark.parametrize(("proto", "orig", "resp", "kind", "code", "digest"), ICMP_VECTORS)
def test_icmp(proto: int, orig: str, resp: str, kind: int, code: int, digest: str) -> None:
    """ICMP is named by its type and its counterpart's, or by type and code."""
    assert _id(proto, orig, resp, icmp_type=kind, icmp_code=code) == f"1:{digest}"


def test_no_ports() -> None:
    """A protocol without ports is named by its addresses."""
    proto, orig, resp, digest = RSVP
    assert _id(proto, orig, resp) == f"1:{digest}"


def test_nothing() -> None:
    """No flows have no names."""
    assert community_ids(empty_flows()) == []


def test_flows_as_objects() -> None:
    """Flows in JSON have the same names as flows in columns, ICMP too."""
    rows = [
        {"proto": str(proto), "orig": orig, "orig_port": port, "resp": resp, "resp_port": other}
        for proto, orig, port, resp, other, _ in VECTORS
    ]
    rows += [
        {"proto": str(proto), "orig": orig, "resp": resp, "icmp_type": kind, "icmp_code": code}
        for proto, orig, resp, kind, code, _ in ICMP_VECTORS
    ]
    expected = [f"1:{vector[-1]}" for vector in (*VECTORS, *ICMP_VECTORS)]
    assert community_ids_of(rows) == expected
