"""API requests of one key: from a network new to it, far more than ever, mostly refused."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.event import Api

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["ApiAbuse"]

_NETWORKS: Final = 32  # of one key; a key that is used from everywhere has no home
_FACTOR: Final = 5  # times its own mean
_WINDOWS: Final = 12  # before the mean says anything
_SMOOTH: Final = 0.1


class _Client:
    """Requests of one key, or of one address where there is no key. Times are epoch ns."""

    __slots__ = (
        "began", "errors", "grown", "last", "mean", "networks", "now", "requests", "started",
        "weight", "windows",
    )  # fmt: skip

    def __init__(self, time: int) -> None:
        self.began = self.started = self.last = time
        self.weight = 1
        self.requests = self.now = self.windows = 0
        self.mean = 0.0
        self.errors: dict[int, int] = {}
        self.networks: dict[str, int] = {}
        self.grown: dict[str, Growth] = {}

    def turn(self, time: int, window: int) -> None:
        """Take the window that is over into the mean."""
        if time - self.began < window:
            return
        self.mean += (self.now - self.mean) * (_SMOOTH if self.windows else 1.0)
        self.windows += 1
        self.now = 0
        self.errors.clear()
        self.grown.clear()
        self.began = time


class ApiAbuse(Rule):
    """Detector of the rule api-abuse."""

    rule = "api-abuse"
    section = "api_abuse"
    about = About(
        "API abuse",
        "unauthorised-information-access",
        "An API key came from a network new to it, or one client asked far more than it ever "
        "does, or most of its requests were refused: a stolen key, guessing, or enumeration.",
        "Ask the key's owner; replace the key. Deny the source where it guesses.",
        "`requests` within `window` (and five times its own mean once that is known), `errors` "
        "and `error_share`; `enough` requests before a key's networks are known.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.api_abuse
        self._one = one
        self._window = round(one.window * 1e9)
        self._forget = round(one.forget * 1e9)
        self._clients = Sources(_Client, settings.sources, settings.sources * 16)

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take requests; findings for each client that crosses a line."""
        found: list[Finding] = []
        for event in events:
            if isinstance(event, Api) and (event.key or event.orig):
                found += self._take(event)
        self._clients.sweep(round(now * 1e9) - self._forget)
        return found

    def counters(self) -> dict[str, int]:
        """Return clients held, and those that had to make room."""
        return {"clients": len(self._clients), "clients_shed": self._clients.shed}

    def remember(self) -> Any:
        """Return each key's networks and mean."""
        return [
            [key, one.last, one.requests, one.mean, one.windows, one.networks]
            for key, one in self._clients.items() if isinstance(key, str)
        ]  # fmt: skip

    def recall(self, learned: Any) -> None:
        """Take back what was learned."""
        for key, last, requests, mean, windows, networks in learned:
            one = self._clients.active(str(key), int(last))
            one.requests, one.mean, one.windows = int(requests), float(mean), int(windows)
            one.networks = {str(name): int(time) for name, time in networks.items()}

    def _take(self, event: Api) -> Iterator[Finding]:
        time = round(event.ts * 1e9)
        one = self._clients.active(event.key or event.orig, time)
        one.turn(time, self._window)
        one.requests += 1
        one.now += 1
        if event.status >= 400:
            one.errors[event.status] = one.errors.get(event.status, 0) + 1
        if event.key and event.orig:
            yield from self._new_network(event, one, time)
        self._clients.weigh(one, 1 + len(one.networks))
        yield from self._too_many(event, one)
        yield from self._refused(event, one)

    def _new_network(self, event: Api, one: _Client, time: int) -> Iterator[Finding]:
        network = _network(event.orig)
        if not network:
            return
        new = network not in one.networks
        known = [name for name in one.networks if name != network]
        if not new or len(known) < _NETWORKS:
            one.networks[network] = time
        good = event.status < 400
        if new and good and known and one.requests > self._one.enough and len(known) < _NETWORKS:
            yield self.finding(
                event.orig, f"API key {event.key} came from {network}, new to it",
                detail=event.key, seen=(event.ts, event.ts), count=1, severity="medium", value=1,
                threshold=1, score=0.6, targets=(event.name,) if event.name else (),
                evidence={"key": event.key, "network": network, "known": known[:16],
                          "requests_seen": one.requests},
            )  # fmt: skip

    def _too_many(self, event: Api, one: _Client) -> Iterator[Finding]:
        learned = one.windows >= _WINDOWS
        least = max(self._one.requests, _FACTOR * one.mean if learned else 0)
        if one.now >= least and self._due(one, "rate", one.now):
            yield self.finding(
                event.orig or event.key,
                f"{event.key or event.orig} made {one.now} requests within {self._one.window:g} s",
                detail="rate", seen=(one.began / 1e9, event.ts), count=one.now,
                severity="medium" if learned else "low", value=one.now, threshold=least,
                classification="dos",
                evidence={"key": event.key, "baseline": round(one.mean, 1), "enough_seen": learned,
                          "window": self._one.window},
            )  # fmt: skip

    def _refused(self, event: Api, one: _Client) -> Iterator[Finding]:
        errors = sum(one.errors.values())
        if errors < self._one.errors or errors < self._one.error_share * one.now:
            return
        if not self._due(one, "errors", errors):
            return
        top = max(one.errors, key=lambda status: one.errors[status])
        kind = {401: "guessing", 403: "guessing", 404: "enumeration"}.get(top, "errors")
        yield self.finding(
            event.orig or event.key,
            f"{event.key or event.orig}: {errors} of {one.now} requests refused ({kind})",
            detail="errors", seen=(one.began / 1e9, event.ts), count=errors, severity="medium",
            value=errors, threshold=self._one.errors,
            classification={"guessing": "brute-force", "enumeration": "scanner"}.get(kind, "other"),
            targets=(event.name,) if event.name else (),
            evidence={"kind": kind, "key": event.key, "requests": one.now,
                      "statuses": {str(status): n for status, n in one.errors.items()},
                      "window": self._one.window},
        )  # fmt: skip

    def _due(self, one: _Client, kind: str, count: int) -> bool:
        return one.grown.setdefault(kind, Growth()).due(count, one.last)


def _network(address: str) -> str:
    """Return the network that a client moves within: /24, or /48 of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))
