"""Pages out of the house: e-mail, webhook, syslog, and all that apprise speaks.

`send` hands one message to one channel and raises SendError; `outbox` keeps what waits, tries
again, joins floods into one message, and reports what became of each.
"""

from ipwatchd.paging.notify.outbox import Outbox
from ipwatchd.paging.notify.send import SendError, send

__all__ = ["Outbox", "SendError", "send"]
