"""A hardware address that the house has never seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Sources
from ipwatchd.records.event import Arp, Dhcp, Ndp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["UnknownDevice"]

_NOBODY: Final = ("", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


class _Device:
    """When a MAC was last seen (epoch ns)."""

    __slots__ = ("last", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1


class UnknownDevice(Rule):
    """Detector of the rule unknown-device."""

    rule = "unknown-device"
    section = "unknown_device"
    about = About(
        "Unknown device on the LAN",
        "unauthorised-use-of-resources",
        "A hardware address spoke (ARP, NDP, DHCP) that was neither seen while the house was "
        "learned nor is in `known`. A locally administered one may be a phone that hides its own.",
        "Find the switch port or access point; ask whose it is; enter it into the inventory or "
        "take it off the net.",
        "`learn` seconds from the first record during which all are taken for known; `known` are "
        "MACs (or their first letters) that may come; `forget` makes an absent one new again.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.unknown_device
        self._learn = round(one.learn * 1e9)
        self._forget = round(one.forget * 1e9)
        self._known = tuple(mac.lower() for mac in one.known)
        self._began = 0
        self._last = 0
        self._devices = Sources(_Device, settings.sources, settings.sources)

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take neighbours and leases; a finding for each that is new to the house."""
        found = []
        for event in events:
            if not isinstance(event, (Arp, Ndp, Dhcp)) or event.mac in _NOBODY:
                continue
            if isinstance(event, Dhcp) and event.message in {"OFFER", "ACK", "NAK"}:
                continue
            time = round(event.ts * 1e9)
            self._began = self._began or time
            self._last = max(self._last, time)
            new = self._devices.get(event.mac) is None
            self._devices.active(event.mac, time)
            if not new or time - self._began < self._learn:
                continue
            if not (self._known and event.mac.startswith(self._known)):
                found.append(self._found(event))
        self._devices.sweep(round(now * 1e9) - self._forget)
        return found

    def counters(self) -> dict[str, int]:
        """Return devices known, seconds left of learning, and those that had to make room."""
        left = max(0, self._learn - (self._last - self._began))
        return {
            "devices": len(self._devices), "learning_seconds": left // 1_000_000_000,
            "devices_shed": self._devices.shed,
        }  # fmt: skip

    def remember(self) -> Any:
        """Return when learning began and who is known."""
        known = [[key, one.last] for key, one in self._devices.items()]
        return {"began": self._began, "devices": known}

    def recall(self, learned: Any) -> None:
        """Take back what was learned."""
        self._began = int(learned["began"])
        for mac, last in learned["devices"]:
            self._devices.active(str(mac), int(last))

    def _found(self, event: Arp | Ndp | Dhcp) -> Finding:
        hides = bool(int(event.mac[:2] or "0", 16) & 2)
        name = event.hostname if isinstance(event, Dhcp) else ""
        called = f" ({name})" if name else ""
        return self.finding(
            event.mac, f"unknown device {event.mac}{called} at {event.address or 'no address yet'}",
            seen=(event.ts, event.ts), count=1, severity="info" if hides else "low", value=1,
            threshold=1, score=0.5, targets=(event.address,) if event.address else (),
            evidence={
                "mac": event.mac, "address": event.address, "hostname": name,
                "locally_administered": hides, "devices_known": len(self._devices) - 1,
                "known_since": self._began / 1e9, "direction": "internal",
            },
        )  # fmt: skip
