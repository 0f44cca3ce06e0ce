"""Bytes of one packet or stream → event. Pure, bounded, never raising on hostile input.

`Dissector` turns the taps of the packet loop into events; beside it one file a protocol.
"""

from ipwatchd.capture.dissect.dissector import DissectCounters, Dissector

__all__ = ["DissectCounters", "Dissector"]
