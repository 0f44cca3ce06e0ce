"""Desired policy → nftables over netlink: one table of ours, whole or by the smallest change.

`Firewall` applies, checks and compares; `BlockedReader` reads back the packets that a deny met;
`kill` ends the connections of denied addresses. Pure: `codec`, `expressions`, `elements`,
`layout`, `rules`. I/O: `transport`, `kernel`, `firewall`, `conntrack`, `nflog`.
"""

from ipwatchd.firewall.conntrack import kill
from ipwatchd.firewall.firewall import Applied, Diff, Firewall, FirewallStatus
from ipwatchd.firewall.nflog import BlockedReader, ReaderCounters

__all__ = [
    "Applied",
    "BlockedReader",
    "Diff",
    "Firewall",
    "FirewallStatus",
    "ReaderCounters",
    "kill",
]
