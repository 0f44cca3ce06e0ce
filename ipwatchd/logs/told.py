"""Failed logins that more than one log line tells: the server's own word, and its echoes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

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
        self._last: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._echoes: OrderedDict[tuple[str, str], int] = OrderedDict()

    def again(self, service: str, client: str, now: float, *, echo: bool) -> bool:
        """Tell whether a failure is an echo of what the server says itself; remember if it is not.

        Until the server has said something of a client, its echoes count.
        """
        key = _FAMILIES.get(service, service), client
        if echo:
            last = self._last.get(key)
            known = last is not None and abs(now - last) <= SECONDS
            if not known:
                self._echoes[key] = self._echoes.get(key, 0) + 1
                _bound(self._echoes, key)
            return known
        self._last[key] = now
        _bound(self._last, key)
        return False

    def echoed(self, service: str, client: str) -> int:
        """Return how many echoes counted before the server said anything, and forget them.

        Who tells at a session's end how many tries it had tells of these again.
        """
        return self._echoes.pop((_FAMILIES.get(service, service), client), 0)


def _bound(clients: OrderedDict[tuple[str, str], Any], newest: tuple[str, str]) -> None:
    clients.move_to_end(newest)
    if len(clients) > CLIENTS:
        clients.popitem(last=False)
