"""The site's way to the centre: incident events there, once and in order, and lists back.

The incident log itself is the outbox; `cursor` keeps how much of it the centre has on its disk.
`protocol` (pure) decides what to say next, `answers` reads what comes back, `uplink` speaks HTTP.
"""

from ipwatchd.uplink.lease import Lease
from ipwatchd.uplink.uplink import Source, Uplink, UplinkStatus

__all__ = ["Lease", "Source", "Uplink", "UplinkStatus"]
