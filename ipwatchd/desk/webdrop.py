"""Reports over HTTP, from chat bots and forms: POST /v1/reports with a token.

    {"text": "…", "kind": "phishing-call", "answers": {…}, "reporter": "…", "channel": "chat",
     "language": "es", "subject": "…", "id": "…"}  →  {"incident": "SITE-000001"}

The same `id` (of the same token) again opens nothing: a bot may try until it is answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from ipwatchd.records.incident import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.config.settings import IntakeSettings
    from ipwatchd.desk.casework import Casework
    from ipwatchd.incidents import Incidents

__all__ = ["WebDrop"]

BODY: Final = 1 << 20
BODY_SECONDS: Final = 15.0
"""Time for a request's body: one that trickles in can't hold a connection for ever."""
A_MINUTE: Final = 60
"""Reports a minute of one token: a bot gone wild can't bury the analysts."""
TOKENS: Final = 64 << 10


class _Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=100_000)]
    id: Annotated[str, Meta(max_length=200)] = ""
    kind: Annotated[str, Meta(max_length=64)] = ""
    answers: Annotated[dict[str, str], Meta(max_length=50)] = {}
    reporter: Annotated[str, Meta(max_length=200)] = ""
    role: Annotated[str, Meta(pattern="^(customer|employee|client|system)?$")] = ""
    channel: Annotated[str, Meta(pattern="^(chat|web|api)$")] = "api"
    language: Annotated[str, Meta(max_length=20)] = ""
    subject: Annotated[str, Meta(max_length=200)] = ""


class WebDrop:
    """Serves one site's intake over HTTP from `start` to `stop`."""

    def __init__(
        self, settings: IntakeSettings, casework: Casework, incidents: Incidents,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._casework = casework
        self._incidents = incidents
        self._clock = clock
        self._recent: dict[str, deque[float]] = {}
        app = web.Application(client_max_size=BODY)
        app.router.add_post("/v1/reports", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self.port = 0
        self.counters = {"reports": 0, "refused": 0, "too_many": 0}

    async def start(self) -> None:
        """Listen; OSError with a sentence where that can't be."""
        host, _, port = self._settings.listen.rpartition(":")
        self._tokens()
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await self._runner.cleanup()
            raise OSError(
                f"can't take reports on {self._settings.listen} ({error.strerror or error}): set "
                "[intake] listen to a free port"
            ) from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Finish what is being answered."""
        await self._runner.cleanup()

    def _tokens(self) -> dict[str, str]:
        """Return name → token, read anew each time: a new one counts without a restart."""
        path = self._settings.tokens_file
        if not path:
            raise OSError("[intake] listen needs tokens_file: who may hand reports in?")
        with Path(path).open("rb") as file:
            lines = file.read(TOKENS).decode("utf-8", "replace").splitlines()
        pairs = [line.split() for line in lines if line.strip() and not line.startswith("#")]
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and len(pair[1]) >= 16}

    async def _caller(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        names = await asyncio.to_thread(self._tokens)
        found = [
            name for name, held in names.items()
            if hmac.compare_digest(held.encode(), token.strip().encode("utf-8", "replace"))
        ]  # fmt: skip
        return found[0] if found and scheme.lower() == "bearer" else ""

    async def _take(self, request: web.Request) -> web.Response:
        try:
            name = await self._caller(request)
            if not name:
                return self._no(401, "no valid token: ask the site's admin for one")
            now = self._clock()
            if self._is_too_much(name, now):
                self.counters["too_many"] += 1
                return self._no(429, f"over {A_MINUTE} reports a minute: wait")
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
            report = self._report(name, msgspec.json.decode(body, type=_Report), now)
            incident = await self._casework.take(report, now)
        except TimeoutError:
            return self._no(408, f"the body did not arrive within {BODY_SECONDS:.0f} s")
        except (ValueError, msgspec.MsgspecError) as error:
            return self._no(400, str(error))
        except OSError as error:
            return self._no(503, f"can't be recorded now: {error}")
        self.counters["reports"] += 1
        return web.json_response({"incident": incident.id, "state": incident.state})

    def _no(self, status: int, why: str) -> web.Response:
        self.counters["refused"] += 1
        return web.json_response({"error": why[:2000]}, status=status)

    def _is_too_much(self, name: str, now: float) -> bool:
        recent = self._recent.setdefault(name, deque(maxlen=A_MINUTE))
        if len(recent) == A_MINUTE and abs(now - recent[0]) < 60.0:
            return True
        recent.append(now)
        return False

    def _report(self, name: str, asked: _Report, now: float) -> Report:
        script = self._incidents.policy.script(asked.kind) if asked.kind else None
        if asked.kind and script is None:
            kinds = ", ".join(one.kind for one in self._incidents.policy.scripts)
            raise ValueError(f"{asked.kind!r} is no kind of report: {kinds}")
        key = f"{name}\0{asked.id}" if asked.id else secrets.token_hex(16)
        return Report(
            id=f"{asked.channel}-{hashlib.sha256(key.encode()).hexdigest()[:24]}", received=now,
            channel=asked.channel, reporter=asked.reporter or name, text=asked.text,
            language=asked.language, subject=asked.subject, kind=asked.kind, role=asked.role,
            answers=script.answers(asked.answers) if script else {},
        )  # fmt: skip
