"""Batches and events → findings: one detector a file, each with bounded tables and no clock.

`build` makes those that the settings enable. Rules: port-scan, password-guessing, denied-contact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipwatchd.detect.denied_contact import DeniedContact
from ipwatchd.detect.detector import Detector
from ipwatchd.detect.password_guessing import PasswordGuessing
from ipwatchd.detect.port_scan import PortScan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.detector import Denied

__all__ = ["Detector", "build"]


def build(settings: DetectSettings, *, denied: Denied, zones: Sequence[str]) -> list[Detector]:
    """Return the detectors that are enabled.

    `denied` tells which addresses of a batch may not pass, `zones` are the names that the flows'
    zone columns index.
    """
    del zones  # direction says enough for these rules
    detectors: list[Detector] = []
    if settings.port_scan.enabled:
        detectors.append(PortScan(settings))
    if settings.password_guessing.enabled:
        detectors.append(PasswordGuessing(settings))
    if settings.denied_contact.enabled:
        detectors.append(DeniedContact(settings, denied))
    return detectors
