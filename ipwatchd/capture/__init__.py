"""Packets → flow batches and wire events.

Sources are files (`read_files`) and the kernel's ring (`Ring`); both fill the same flow table
through the same compiled packet loop and deliver `Capture` batches. On a router the kernel counts
already (`Conntrack`); `open_source` joins what a box needs. What is named here is loaded
when it is first asked for: the child (rich/child) lives in this package and needs no packet loop.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipwatchd.capture.conntrack import Conntrack
    from ipwatchd.capture.conntrack_switches import ConntrackError
    from ipwatchd.capture.counters import (
        CaptureCounters,
        ConntrackCounters,
        FileReport,
        InterfaceCounters,
    )
    from ipwatchd.capture.delivery import Capture, CaptureFileError, CaptureInterfaceError
    from ipwatchd.capture.files import FileCapture, read_files
    from ipwatchd.capture.ring import Ring
    from ipwatchd.capture.source import Source, open_source

__all__ = [
    "Capture",
    "CaptureCounters",
    "CaptureFileError",
    "CaptureInterfaceError",
    "Conntrack",
    "ConntrackCounters",
    "ConntrackError",
    "FileCapture",
    "FileReport",
    "InterfaceCounters",
    "Ring",
    "Source",
    "open_source",
    "read_files",
]

_HOMES = {
    "Capture": "delivery", "CaptureCounters": "counters", "CaptureFileError": "delivery",
    "CaptureInterfaceError": "delivery", "Conntrack": "conntrack", "ConntrackCounters": "counters",
    "ConntrackError": "conntrack_switches", "FileCapture": "files", "FileReport": "counters",
    "InterfaceCounters": "counters", "Ring": "ring", "Source": "source", "open_source": "source",
    "read_files": "files",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load the module that a public name comes from (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
