"""Certificates of our own services: expired, soon to expire, or of another issuer of a sudden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.event import Certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["CertificateWatch"]

_DAY: Final = 86_400.0
_FORGET: Final = 90 * 86_400_000_000_000


class _Known:
    """What a service last showed. `last` is epoch ns."""

    __slots__ = ("growth", "issuer", "last", "not_after", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1
        self.issuer = ""
        self.not_after = 0.0
        self.growth = Growth()


class CertificateWatch(Rule):
    """Detector of the rule certificate."""

    rule = "certificate"
    section = "certificate"
    about = About(
        "Certificate of our own service",
        "misconfiguration",
        "A service of ours showed a certificate that has expired or soon will, or one of another "
        "issuer than before while the old one was still good.",
        "Renew it. If nobody changed the issuer, somebody stands between: compare at the server.",
        "`warn` seconds before the end. Only certificates sent in clear (TLS 1.2 and before) are "
        "seen on the wire.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        self._house = house or House()
        self._warn = settings.certificate.warn
        self._services = Sources(_Known, settings.sources, settings.sources)

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take certificates; a finding for each of ours that is wrong, once a day."""
        found = []
        for event in events:
            if isinstance(event, Certificate) and event.resp and self._house.inside(event.resp):
                finding = self._take(event)
                if finding is not None:
                    found.append(finding)
        self._services.sweep(round(now * 1e9) - _FORGET)
        return found

    def counters(self) -> dict[str, int]:
        """Return services held, and those that had to make room."""
        return {"services": len(self._services), "services_shed": self._services.shed}

    def remember(self) -> Any:
        """Return what each service showed."""
        return [
            [*key, one.last, one.issuer, one.not_after]
            for key, one in self._services.items() if isinstance(key, tuple)
        ]  # fmt: skip

    def recall(self, learned: Any) -> None:
        """Take back what was learned."""
        for address, port, name, last, issuer, end in learned:
            one = self._services.active((str(address), int(port), str(name)), int(last))
            one.issuer, one.not_after = str(issuer), float(end)

    def _take(self, event: Certificate) -> Finding | None:
        time = round(event.ts * 1e9)
        one = self._services.active((event.resp, event.resp_port, event.name), time)
        issuer, end = one.issuer, one.not_after
        one.issuer, one.not_after = event.issuer, event.not_after
        left = event.not_after - event.ts
        if issuer and issuer != event.issuer and end - event.ts > self._warn:
            return self._found(event, "changed", f"is of {event.issuer}, before of {issuer}")
        if not event.not_after or left > self._warn:
            return None
        if not one.growth.due(int(event.ts // _DAY), time):
            return None
        if left <= 0:
            return self._found(event, "expired", f"expired {-left / _DAY:,.0f} days ago")
        return self._found(event, "expiring", f"expires in {left / _DAY:,.0f} days")

    def _found(self, event: Certificate, kind: str, what: str) -> Finding:
        at = f"{event.resp}:{event.resp_port}"
        return self.finding(
            event.resp, f"certificate {event.name or '(no name)'} of {at} {what}",
            detail=f"{event.resp_port}|{kind}", seen=(event.ts, event.ts), count=1,
            severity="info" if kind == "expiring" else "low", score=0.9,
            value=round((event.not_after - event.ts) / _DAY, 1),
            threshold=round(self._warn / _DAY, 1),
            classification="other" if kind == "changed" else "misconfiguration",
            evidence={"kind": kind, "name": event.name, "issuer": event.issuer,
                      "not_after": event.not_after, "port": event.resp_port},
        )  # fmt: skip
