"""Packets → flow batches and wire events.

Sources are files (`read_files`) and the kernel's ring (`Ring`); both fill the same flow table
through the same compiled packet loop and deliver `Capture` batches.
"""

from ipwatchd.capture.delivery import Capture, CaptureFileError, CaptureInterfaceError

__all__ = ["Capture", "CaptureFileError", "CaptureInterfaceError"]
