"""Acknowledging a page by its link: a page that asks, and the button that answers.

GET  /ack/TOKEN   shows which incident, and a button: what opens links by itself (scanners of
                  mail, previews of chats) acknowledges nothing
POST /ack/TOKEN   acknowledges it in the name of who was paged
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.paging.pager import Pager

__all__ = ["AckDrop"]

BODY: Final = 4096
_PAGE: Final = (
    "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>{title}</title><body style='font:16px sans-serif;margin:2em'><h1>{title}</h1>{rest}"
)
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Robots-Tag": "noindex",
}  # fmt: skip


class AckDrop:
    """Serves the links of one site's pages from `start` to `stop`."""

    def __init__(self, listen: str, pager: Pager, clock: Callable[[], float]) -> None:
        self._listen = listen
        self._pager = pager
        self._clock = clock
        app = web.Application(client_max_size=BODY)
        app.router.add_get("/ack/{token}", self._ask)
        app.router.add_post("/ack/{token}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self.port = 0

    async def start(self) -> None:
        """Listen; OSError with a sentence where that can't be."""
        host, _, port = self._listen.rpartition(":")
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await self._runner.cleanup()
            raise OSError(
                f"can't take acknowledgements on {self._listen} ({error.strerror or error}): set "
                "[escalation] listen to a free port"
            ) from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Finish what is being answered."""
        await self._runner.cleanup()

    async def _ask(self, request: web.Request) -> web.Response:
        name = self._pager.describe(request.match_info["token"])
        if not name:
            return _shown(404, "No such page", "<p>The link is not one of ours.")
        return _shown(200, name, "<form method=post><button style='font-size:1.5em'>"
                      "I am on it</button></form>")  # fmt: skip

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            incident = await self._pager.acknowledge(request.match_info["token"], self._clock())
        except (LookupError, ValueError) as error:
            return _shown(409, "Not possible", f"<p>{html.escape(str(error))}")
        except OSError as error:
            return _shown(503, "Not recorded", f"<p>{html.escape(str(error))}")
        if incident is None:
            return _shown(404, "No such page", "<p>The link is not one of ours.")
        return _shown(200, incident.id, f"<p>Acknowledged: {html.escape(incident.title)}")


def _shown(status: int, title: str, rest: str) -> web.Response:
    text = _PAGE.format(title=html.escape(title), rest=rest)
    return web.Response(status=status, text=text, content_type="text/html", headers=_HEADERS)
