"""Desired policy → nftables over netlink: one table of ours, whole or by the smallest change.

`Firewall` applies, checks and compares; `BlockedReader` reads back the packets that a deny met;
`CommitWatch` hears who changes rules; `kill` ends the connections of denied addresses. Pure:
`codec`, `expressions`, `elements`, `hits`, `layout`, `ledger`, `rules`. I/O: `transport`, `kernel`,
`compare`, `drift`, `early`, `firewall`, `watch`, `conntrack`, `nflog`.
"""

from ipwatchd.firewall.conntrack import kill
from ipwatchd.firewall.firewall import Diff, Firewall
from ipwatchd.firewall.hits import Met, Tally
from ipwatchd.firewall.kernel import Hits
from ipwatchd.firewall.nflog import BlockedReader, ReaderCounters
from ipwatchd.firewall.told import Applied, FirewallStatus
from ipwatchd.firewall.watch import Commit, CommitWatch, who

__all__ = [
    "Applied",
    "BlockedReader",
    "Commit",
    "CommitWatch",
    "Diff",
    "Firewall",
    "FirewallStatus",
    "Hits",
    "Met",
    "ReaderCounters",
    "Tally",
    "kill",
    "who",
]
