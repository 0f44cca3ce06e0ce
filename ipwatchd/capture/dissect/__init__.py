"""Bytes of one packet or stream → event. Pure, bounded, never raising on hostile input."""
