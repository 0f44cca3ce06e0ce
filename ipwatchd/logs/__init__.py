"""Log lines → logins, API requests and VPN addresses.

`LogSources` joins files that grow, the systemd journal and a syslog listener; `parse_line` reads
one line. What lines mean stands in config/logs/*.toml.
"""

from ipwatchd.logs.follow import FollowCounters, Follower
from ipwatchd.logs.rules import LogEvent, Reader, parse_line
from ipwatchd.logs.ruleset import RulesError, load_rules
from ipwatchd.logs.sources import LogSources

__all__ = [
    "FollowCounters", "Follower", "LogEvent", "LogSources", "Reader", "RulesError", "load_rules",
    "parse_line",
]  # fmt: skip
