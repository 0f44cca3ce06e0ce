"""The child's loop: a request from stdin, its events to stdout."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.capture.rich.frames import Frames, frame
from ipwatchd.confine import renew_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ipwatchd.records.event import Event

__all__ = ["READY", "dissect", "serve"]

READY: Final = b"ready"
_RETIRE_CPU: Final = 600.0
"""Seconds of CPU after which a child makes room for a fresh one: what leaks is freed."""
_STDIN, _STDOUT = 0, 1


def serve(protocols: Mapping[str, Callable[[bytes], Sequence[Event]]]) -> None:
    """Answer until stdin is closed or it is time to retire."""
    decoder = msgspec.msgpack.Decoder(tuple[int, str, bytes])
    encoder = msgspec.msgpack.Encoder()
    frames = Frames()
    _write(frame(READY))
    while data := os.read(_STDIN, 1 << 16):
        for body in frames.feed(data):
            number, kind, message = decoder.decode(body)
            renew_time()
            events = dissect(protocols[kind], message)
            _write(frame(encoder.encode((number, events))))
        usage = resource.getrusage(resource.RUSAGE_SELF)
        if usage.ru_utime + usage.ru_stime > _RETIRE_CPU:
            return


def dissect(protocol: Callable[[bytes], Sequence[Event]], message: bytes) -> Sequence[Event]:
    """Return a message's events, none where it is malformed; MemoryError ends the process."""
    try:
        return protocol(message)
    except MemoryError:
        raise  # what is left of this process is not worth keeping
    except Exception:  # noqa: BLE001 - scapy raises anything on hostile bytes
        return ()


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(_STDOUT, data) :]
