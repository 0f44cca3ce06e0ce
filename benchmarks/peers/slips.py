"""What Slips publishes that it says of captures and records that are at hand, too.

Slips is in no registry of packages, so that it is not run here: its own integration tests name one
alert that each of these files must raise (stratosphereips/StratosphereLinuxIPS, GPL-2.0,
tests/integration/test_pcap_dataset, test_dataset, integration_tests/test_portscans, test_zeek_dir;
docs/datasets.md for the beacon). What it says besides is not published.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["PUBLISHED", "Published"]


class Published(NamedTuple):
    """An alert of Slips that its tests name, and the rule of ours that means the same."""

    file: str
    says: str
    rule: str
    subject: str
    sure: str


PUBLISHED: Final = (
    Published(
        "pcap/detect/StratosphereLinuxIPS__test8-malicious.pcap", "performing an arp scan",
        "neighbour-sweep", "192.168.1.247", "test",
    ),
    Published(
        "pcap/detect/StratosphereLinuxIPS__test-cc-capture-2.pcap", "a beacon every 2 to 3 s",
        "beaconing", "147.32.80.37", "documentation",
    ),
    Published(
        "flowlogs/test4_malicious.binetflow", "Horizontal port scan to port 81/tcp",
        "port-scan", "192.168.2.12", "test",
    ),
    Published(
        "flowlogs/vertical_portscan_conn.json", "vertical port scan to 45.33.32.156",
        "port-scan", "192.168.1.9", "test",
    ),
    Published(
        "flowlogs/test10_mixed_conn.log", "horizontal port scan", "port-scan", "*",
        "test of an older release",
    ),
    Published(
        "flowlogs/test14_smtp.json", "SMTP login bruteforce to 80.75.42.226",
        "password-guessing", "10.1.11.101", "test, commented out since",
    ),
)  # fmt: skip
