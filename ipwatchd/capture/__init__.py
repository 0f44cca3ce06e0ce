"""Packets → flow batches and wire events.

Sources are files (`read_files`) and the kernel's ring (`Ring`); both fill the same flow table
through the same compiled packet loop and deliver `Capture` batches.
"""

from ipwatchd.capture.counters import CaptureCounters, FileReport, InterfaceCounters
from ipwatchd.capture.delivery import Capture, CaptureFileError, CaptureInterfaceError
from ipwatchd.capture.files import FileCapture, read_files
from ipwatchd.capture.ring import Ring

__all__ = [
    "Capture",
    "CaptureCounters",
    "CaptureFileError",
    "CaptureInterfaceError",
    "FileCapture",
    "FileReport",
    "InterfaceCounters",
    "Ring",
    "read_files",
]
