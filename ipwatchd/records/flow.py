"""The flow: one bidirectional connection, as a row of a numpy structured array.

The originator opened it, the responder answered (RFC 7011's biflow, Zeek's orig and resp).
Times are nanoseconds since the epoch, bytes are IP-layer bytes (IP total length).
ICMP and ICMPv6 have port 0 at both ends and carry type and code in their own columns.
"""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = [
    "DIRECTIONS",
    "FLOW",
    "NO_ZONE",
    "PROTOCOLS",
    "SERVICES",
    "SERVICE_PORTS",
    "STATES",
    "Direction",
    "empty_flows",
    "protocol_name",
    "protocol_number",
]

FLOW: Final = np.dtype(
    [
        ("start", "<i8"),
        ("end", "<i8"),
        ("orig_hi", "<u8"),
        ("orig_lo", "<u8"),
        ("resp_hi", "<u8"),
        ("resp_lo", "<u8"),
        ("orig_packets", "<u8"),
        ("orig_bytes", "<u8"),
        ("resp_packets", "<u8"),
        ("resp_bytes", "<u8"),
        ("orig_port", "<u2"),
        ("resp_port", "<u2"),
        ("vlan", "<u2"),
        ("iface", "<u2"),
        ("orig_zone", "<u2"),
        ("resp_zone", "<u2"),
        ("proto", "u1"),
        ("state", "u1"),
        ("service", "u1"),
        ("direction", "u1"),
        ("orig_flags", "u1"),
        ("resp_flags", "u1"),
        ("icmp_type", "u1"),
        ("icmp_code", "u1"),
        ("partial", "u1"),
        ("nat_hi", "<u8"),
        ("nat_lo", "<u8"),
        ("nat_port", "<u2"),
    ]
)
"""`vlan` 0 is untagged, `iface` and the zones index the tables that travel with the agent,
`state`, `service` and `direction` index STATES, SERVICES and DIRECTIONS below. `partial` is 1 for
the record of a long flow that goes on (active timeout). `nat_…` is the address that the far side
saw where the box translates (the originator's, or the called responder's), 0 elsewhere."""

STATES: Final = (
    "OTH", "S0", "S1", "SF", "REJ", "S2", "S3",
    "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR",
)  # fmt: skip
"""Zeek's conn_state (https://docs.zeek.org, base/protocols/conn), by index."""

SERVICES: Final = (
    "", "dns", "tls", "http", "ssh", "sip", "dhcp", "quic", "ntp", "smtp", "imap", "pop3", "ftp",
    "rdp", "smb", "ldap", "kerberos", "radius", "snmp", "mdns", "stun", "rtp", "ike", "openvpn",
    "wireguard", "syslog", "postgresql", "mysql", "telnet", "tftp", "llmnr", "ssdp", "netbios",
    "doh", "dot", "vnc", "bgp", "rtsp",
)  # fmt: skip
"""Application protocols by index; new ones are added at the end, archives hold the index's name."""

SERVICE_PORTS: Final[dict[tuple[int, int], str]] = {
    (6, 21): "ftp", (6, 22): "ssh", (6, 23): "telnet", (6, 25): "smtp", (6, 53): "dns",
    (6, 80): "http", (6, 88): "kerberos", (6, 110): "pop3", (6, 143): "imap", (6, 179): "bgp",
    (6, 389): "ldap", (6, 443): "tls", (6, 445): "smb", (6, 465): "smtp", (6, 554): "rtsp",
    (6, 587): "smtp", (6, 636): "ldap", (6, 853): "dot", (6, 993): "imap", (6, 995): "pop3",
    (6, 3306): "mysql", (6, 3389): "rdp", (6, 5060): "sip", (6, 5061): "sip",
    (6, 5432): "postgresql", (6, 5900): "vnc", (6, 8080): "http", (6, 8443): "tls",
    (17, 53): "dns", (17, 67): "dhcp", (17, 68): "dhcp", (17, 69): "tftp", (17, 88): "kerberos",
    (17, 123): "ntp", (17, 137): "netbios", (17, 138): "netbios", (17, 161): "snmp",
    (17, 389): "ldap", (17, 443): "quic", (17, 500): "ike", (17, 514): "syslog",
    (17, 1194): "openvpn", (17, 1812): "radius", (17, 1813): "radius", (17, 1900): "ssdp",
    (17, 3389): "rdp", (17, 3478): "stun", (17, 4500): "ike", (17, 5060): "sip",
    (17, 5353): "mdns", (17, 5355): "llmnr", (17, 51820): "wireguard",
}  # fmt: skip
"""(IP protocol, responder port) → service, where nothing better was seen (IANA port registry)."""

DIRECTIONS: Final = ("unknown", "incoming", "outgoing", "internal", "transit")

PROTOCOLS: Final[dict[int, str]] = {
    1: "icmp", 2: "igmp", 4: "ipip", 6: "tcp", 17: "udp", 41: "ipv6", 47: "gre", 50: "esp",
    51: "ah", 58: "icmp6", 89: "ospf", 103: "pim", 112: "vrrp", 132: "sctp", 136: "udplite",
}  # fmt: skip
"""IP protocol numbers that people know by name (IANA assigned-internet-protocol-numbers)."""

_NUMBERS: Final = {name: number for number, name in PROTOCOLS.items()}

NO_ZONE: Final = 0xFFFF


class Direction:
    """Index into DIRECTIONS, for comparing whole columns."""

    UNKNOWN: Final = 0
    INCOMING: Final = 1
    OUTGOING: Final = 2
    INTERNAL: Final = 3
    TRANSIT: Final = 4


def empty_flows(rows: int = 0) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return zeroed flows with no zone known."""
    flows = np.zeros(rows, FLOW)
    flows["orig_zone"] = flows["resp_zone"] = NO_ZONE
    return flows


def protocol_name(number: int) -> str:
    """Return the protocol's name, or its number as text."""
    return PROTOCOLS.get(number, str(number))


def protocol_number(text: str) -> int:
    """Return the number of a protocol given by name or number; ValueError where it is neither."""
    known = _NUMBERS.get(text.lower())
    if known is not None:
        return known
    if text.isdecimal() and int(text) <= 255:
        return int(text)
    names = ", ".join(sorted(_NUMBERS))
    raise ValueError(f"{text!r} is no IP protocol: use a number from 0 to 255 or one of {names}")
