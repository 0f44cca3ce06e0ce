"""Batches and events → findings: one detector a file, each with bounded tables and no clock.

`build` makes those that the settings enable; `RULES` are all there are (docs/detectors.md is made
of what they say of themselves).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.detect.about import House, Rule
from ipwatchd.detect.agent_place import AgentPlace
from ipwatchd.detect.api_abuse import ApiAbuse
from ipwatchd.detect.baselines import load_baselines, save_baselines
from ipwatchd.detect.beaconing import Beaconing
from ipwatchd.detect.bypass import Bypass
from ipwatchd.detect.certificate import CertificateWatch
from ipwatchd.detect.crowd import Crowd
from ipwatchd.detect.denied_contact import DeniedContact
from ipwatchd.detect.detector import Detector
from ipwatchd.detect.distributed_scan import DistributedScan
from ipwatchd.detect.dns_tunnel import DnsTunnel
from ipwatchd.detect.examples import with_event_examples, with_flow_examples
from ipwatchd.detect.expected import Silenced
from ipwatchd.detect.exposed_service import ExposedService
from ipwatchd.detect.facts import Batch
from ipwatchd.detect.flood import Flood
from ipwatchd.detect.icmp_tunnel import IcmpTunnel
from ipwatchd.detect.impossible_travel import ImpossibleTravel
from ipwatchd.detect.lan_spoofing import LanSpoofing
from ipwatchd.detect.neighbour_sweep import NeighbourSweep
from ipwatchd.detect.password_guessing import PasswordGuessing
from ipwatchd.detect.password_spraying import PasswordSpraying
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.detect.rogue_dhcp import RogueDhcp
from ipwatchd.detect.silence import Silence
from ipwatchd.detect.slow_scan import SlowScan
from ipwatchd.detect.toll_fraud import TollFraud
from ipwatchd.detect.unfamiliar_login import UnfamiliarLogin
from ipwatchd.detect.unknown_device import UnknownDevice
from ipwatchd.detect.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.detector import Denied
    from ipwatchd.records.agent import Agent
    from ipwatchd.records.place import Place

__all__ = [
    "RULES", "Batch", "Crowd", "Detector", "Silenced", "build", "load_baselines", "save_baselines",
    "with_event_examples", "with_flow_examples",
]  # fmt: skip

RULES: Final[tuple[type[Rule], ...]] = (
    PortScan, SlowScan, DistributedScan, PasswordGuessing, DeniedContact, Flood, DnsTunnel,
    IcmpTunnel,
    Beaconing, Upload, Bypass,
    ExposedService, LanSpoofing, UnknownDevice, RogueDhcp, NeighbourSweep,
    PasswordSpraying, UnfamiliarLogin, ImpossibleTravel, AgentPlace, ApiAbuse, TollFraud,
    CertificateWatch, Silence,
)  # fmt: skip


def build(
    settings: DetectSettings, *, denied: Denied, zones: Sequence[str],
    place: Callable[[str], Place | None] | None = None, agents: Mapping[str, Agent] | None = None,
    gateways: Callable[[], Mapping[str, tuple[tuple[str, ...], str]]] | None = None,
) -> list[Detector]:  # fmt: skip
    """Return the detectors that are enabled.

    `denied` tells which addresses of a batch may not pass, `zones` are the names that the flows'
    zone columns index, `place` is where an address is, `agents` the roster by name, `gateways` what
    about.House says.
    """
    del zones  # direction says enough for these rules
    house = House(agents=agents or {})
    house = house._replace(place=place) if place else house
    house = house._replace(gateways=gateways) if gateways else house
    detectors: list[Detector] = []
    for kind in RULES:
        if not getattr(settings, kind.section).enabled:
            continue
        if kind is DeniedContact:
            detectors.append(DeniedContact(settings, denied))
        else:
            detectors.append(kind(settings, house))
    return detectors
