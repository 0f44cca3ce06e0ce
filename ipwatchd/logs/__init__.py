"""Log lines → login and API events: one line (`parse_line`), files that grow (`Follower`)."""

from ipwatchd.logs.follow import FollowCounters, Follower
from ipwatchd.logs.rules import parse_line

__all__ = ["FollowCounters", "Follower", "parse_line"]
