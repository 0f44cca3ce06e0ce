"""Failed logins that more than one log line tells: the server's own word, and its echoes."""

from __future__ import annotations

from typing import Final

__all__ = ["Told"]

CLIENTS: Final = 8192
"""Clients that are remembered: who fails from addresses without end only pushes out the oldest."""
SECONDS: Final = 600.0
"""How long a server that tells of a client's failures is taken to tell of the next one too."""
_FAMILIES: Final = {
    "smtp": "mail", "dovecot": "mail", "vsftpd": "ftp", "proftpd": "ftp", "pure-ftpd": "ftp",
}  # fmt: skip
"""Services whose lines may be of one login: PAM and Dovecot judge for Postfix and FTP servers."""


class Told:
    """Clients whose failed logins a server told of lately, by family of services. Pure."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], float] = {}

    def again(self, service: str, client: str, now: float, *, echo: bool) -> bool:
        """Tell whether a failure is an echo of what the server says itself; remember if it is not.

        Until the server has said something of a client, its echoes count.
        """
        key = _FAMILIES.get(service, service), client
        if echo:
            last = self._last.get(key)
            return last is not None and abs(now - last) <= SECONDS
        self._last.pop(key, None)
        self._last[key] = now
        if len(self._last) > CLIENTS:
            del self._last[next(iter(self._last))]
        return False
