"""Taps → events: hands each payload to its protocol and adds whose flow it was."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.capture.dissect import dns, framed, http, rdp, sip, ssh, tls, tls_server, vpn
from ipwatchd.capture.dissect.datagram import RICH, read
from ipwatchd.capture.dissect.hellos import Names, hellos
from ipwatchd.capture.dissect.quic import Connections
from ipwatchd.capture.dissect.ssh_login import Logins
from ipwatchd.capture.dissect.step import BAD, DONE, Step
from ipwatchd.capture.dissect.stream import MAX_SEGMENTS, Streams
from ipwatchd.capture.tap import KINDS, Kind
from ipwatchd.records.address import address_text
from ipwatchd.records.event import KINDS as EVENT_KINDS
from ipwatchd.records.event import Arp, Lldp, Tls
from ipwatchd.records.flow import protocol_name

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from ipwatchd.capture.dissect.hellos import Hello
    from ipwatchd.capture.dissect.stream import Half, Key, Stream
    from ipwatchd.capture.tap import Taps
    from ipwatchd.records.event import AnyEvent

    class RichDoor(Protocol):
        """The way to the child that dissects rich protocols (capture.rich)."""

        def submit(self, kind: str, data: bytes, origin: Origin, now: float) -> None:
            """Hand over a message; what is over budget is counted and forgotten."""

        def collect(self) -> Sequence[tuple[Origin, AnyEvent]]:
            """Return what has been answered since."""

        def finish(self) -> Sequence[tuple[Origin, AnyEvent]]:
            """Wait for the answers under way and return them."""


__all__ = ["DissectCounters", "Dissector"]

_KEY: Final = (
    "orig_hi", "orig_lo", "resp_hi", "resp_lo", "orig_port", "resp_port", "vlan", "iface",
)  # fmt: skip
_FIELDS: Final = ("ts", "seq", "offset", "length", "proto", "kind", "from_orig")
_TCP: Final = 6
_TAGS: Final = {kind: name for name, kind in EVENT_KINDS.items()}
Origin = tuple["Key", int, float]
"""The flow, its IP protocol and the time (epoch s) of a message given to the child."""
_STEPS: Final[dict[int, Callable[[bytes], Step]]] = {
    Kind.DNS: dns.step, Kind.SIP: sip.step, Kind.RDP: rdp.step, Kind.OPENVPN: vpn.stream,
    **framed.STEPS,
}  # fmt: skip
"""The readers of streams that need to know nothing but the bytes."""
_PATIENCE: Final = 3
"""Segments waited for one that comes before what looks malformed: it may have overtaken."""


class DissectCounters(msgspec.Struct):
    """What was made of the taps; `events`, `malformed` and `skipped` are by kind (tap.KINDS).

    `malformed` payloads were not what they were taken for, `skipped` are of a kind nothing reads:
    the rich ones without a child. `streams_shed` were pushed out by newer ones or sent
    MAX_SEGMENTS segments without a message, `streams_unfinished` fell silent in the middle of one.
    """

    events: dict[str, int] = {}
    malformed: dict[str, int] = {}
    skipped: dict[str, int] = {}
    streams_live: int = 0
    streams_shed: int = 0
    streams_unfinished: int = 0


class Dissector:
    """Payloads of packets and the first bytes of streams → events, in the order they were captured.

    Not for two threads at once. `streams` bounds the TCP streams held (stream.Streams), and the
    QUIC connections. Without `rich` the protocols that need the child are skipped and counted.
    `paths` asks for the paths of HTTP requests.
    """

    def __init__(
        self, *, streams: int = 4096, rich: RichDoor | None = None, paths: bool = False
    ) -> None:
        self._streams = Streams(streams)
        self._quic = Connections(streams // 2)
        self._logins = Logins(streams // 2)
        self._rich = rich
        self._paths = paths
        self._names = Names()
        self._silenced = 0
        self._counters = DissectCounters()

    @property
    def counters(self) -> DissectCounters:
        """Return the counters since the start, a copy."""
        own = self._counters
        return DissectCounters(
            events=dict(own.events),
            malformed=dict(own.malformed),
            skipped=dict(own.skipped),
            streams_live=len(self._streams) + len(self._quic) + len(self._logins),
            streams_shed=self._streams.shed + self._silenced + self._quic.shed + self._logins.shed,
            streams_unfinished=own.streams_unfinished,
        )

    def feed(self, taps: Taps) -> list[AnyEvent]:
        """Return the events of some taps; never raises on what the payloads hold."""
        events: list[AnyEvent] = []
        memory = taps.data.tobytes()
        now = 0.0
        keys = zip(*(taps.index[name].tolist() for name in _KEY), strict=True)
        rows = (taps.index[name].tolist() for name in _FIELDS)
        for hello, key, ts, seq, offset, length, proto, kind, from_orig in zip(
            hellos(taps, memory), keys, *rows, strict=True
        ):
            now = ts / 1_000_000_000
            if hello is not None:
                self._hello(hello, key, now, events)
                continue
            payload = memory[offset : offset + length]
            if proto == _TCP:
                self._segment(key, now, seq, kind, from_orig != 0, payload, events)
            elif kind == Kind.QUIC:
                self._initial(key, now, from_orig != 0, payload, events)
            elif kind in RICH:
                self._give(((RICH[kind], payload),), key, proto, now)
            else:
                sender = _address(*key[:2]) if from_orig else _address(*key[2:4])
                self._take(read(kind, payload, sender), kind, key, proto, now, events)
        if now:
            self._expire(now, events)
        self._collect(events)
        return events

    def answers(self, silent: float | None = None) -> list[AnyEvent]:
        """Return what the child has made of messages since; nothing is waited for.

        `silent` is a time (epoch s) up to which nothing more can come: a wire without any other
        tap tells what fell silent as well.
        """
        events: list[AnyEvent] = []
        if silent is not None:
            self._expire(silent, events)
        self._collect(events)
        return events

    def finish(self) -> list[AnyEvent]:
        """Return what streams hold that will get no more bytes: the end of a capture."""
        events: list[AnyEvent] = []
        self._expire(float("inf"), events)
        self._collect(events, last=True)
        return events

    def _give(
        self, messages: Sequence[tuple[str, bytes]], key: Key, proto: int, now: float
    ) -> None:
        """Hand messages to the child."""
        for name, data in messages:
            if self._rich is None:
                self._counters.skipped[name] = self._counters.skipped.get(name, 0) + 1
            else:
                self._rich.submit(name, data, (key, proto, now), now)

    def _collect(self, events: list[AnyEvent], *, last: bool = False) -> None:
        """Add what the child has made of messages, now or earlier."""
        if self._rich is None:
            return
        for (key, proto, now), event in self._rich.finish() if last else self._rich.collect():
            events.append(_stamp(event, key, proto, now))
            self._count_event(event)

    def _count_event(self, event: AnyEvent) -> None:
        name = _TAGS[type(event)]
        self._counters.events[name] = self._counters.events.get(name, 0) + 1

    def _hello(self, hello: Hello, key: Key, now: float, events: list[AnyEvent]) -> None:
        """Tell a TLS hello that came whole; the server's with the name that was asked for."""
        client, name, version, alpn, last = hello
        if client:
            self._names.put(key, name)
        else:
            name = self._asked(key)
        orig_hi, orig_lo, resp_hi, resp_lo, orig_port, resp_port, _vlan, _iface = key
        events.append(
            Tls(
                ts=now, orig=_address(orig_hi, orig_lo), orig_port=orig_port,
                resp=_address(resp_hi, resp_lo), resp_port=resp_port, proto="tcp", name=name,
                version=version, alpn=alpn, ja4=last if client else "", response=not client,
                cipher="" if client else last,
            )
        )  # fmt: skip
        told = self._counters.events
        told["tls"] = told.get("tls", 0) + 1

    def _asked(self, key: Key) -> str:
        """Return the server name that the client's hello of a connection asked for."""
        name = self._names.take(key)
        if name is None:
            stream = self._streams.get(key)
            name = stream.asked[-1][1] if stream is not None and stream.asked else ""
        return name

    def _initial(
        self, key: Key, now: float, from_orig: bool, payload: bytes, events: list[AnyEvent]
    ) -> None:
        """Read a datagram that starts with a QUIC Initial."""
        found = self._quic.feed(key, payload, now, from_orig=from_orig)
        if isinstance(found, bool):
            _count(self._counters.malformed, Kind.QUIC)
        elif found is not None:
            events.append(_stamp(found, key, 17, now))
            self._count_event(found)

    def _take(
        self, found: Sequence[AnyEvent] | None, kind: int, key: Key, proto: int, now: float,
        events: list[AnyEvent],
    ) -> None:  # fmt: skip
        """Add what a datagram gave, or count why it gave nothing."""
        if found is None:
            _count(self._counters.skipped, kind)
        elif not found:
            _count(self._counters.malformed, kind)
        for event in found or ():
            events.append(_stamp(event, key, proto, now))
            self._count_event(event)

    def _segment(
        self, key: Key, now: float, seq: int, kind: int, from_orig: bool, payload: bytes,
        events: list[AnyEvent],
    ) -> None:  # fmt: skip
        if kind == Kind.SSH and self._login(key, now, seq, from_orig, payload, events):
            return
        stream, half = self._streams.place(key, from_orig=from_orig, kind=kind, seq=seq, now=now)
        # Bodies are not tapped whole: the next head of a connection comes behind a gap.
        if half.resting and half.distance(seq) > 0 and _starts(half.kind, payload):
            half.restart(seq)
        if not payload or half.done or not half.add(seq, payload):
            return
        if kind == Kind.TLS and not stream.asked and (name := self._names.take(key)) is not None:
            stream.asked.append(("", name))
        self._read(stream, half, key, from_orig, events)
        if half.segments >= MAX_SEGMENTS and not half.done:
            half.close()
            self._silenced += 1

    def _login(
        self, key: Key, now: float, seq: int, from_orig: bool, payload: bytes,
        events: list[AnyEvent],
    ) -> bool:  # fmt: skip
        """Take an encrypted segment of SSH; False where it is none."""
        if payload.startswith(b"SSH-"):  # another connection on the same ports
            self._tell(self._logins.forget(key), key, _TCP, now, events)
        if not self._logins.holds(key, from_orig=from_orig):
            return False
        found = self._logins.feed(key, seq, len(payload), now, from_orig=from_orig)
        self._tell(found, key, _TCP, now, events)
        return True

    def _tell(
        self, event: AnyEvent | None, key: Key, proto: int, now: float, events: list[AnyEvent]
    ) -> None:
        if event is not None:
            events.append(_stamp(event, key, proto, now))
            self._count_event(event)

    def _read(
        self, stream: Stream, half: Half, key: Key, from_orig: bool, events: list[AnyEvent]
    ) -> None:
        """Read messages off one direction until it needs more bytes or is done."""
        while not half.done and (data := half.ready()):
            step = self._step(half, data, stream.asked, from_orig=from_orig, final=False)
            if step.bad and half.fresh and half.segments < _PATIENCE:
                return
            self._keep(step, stream, half, key, events)
            if step.wait:
                return
            if step.done:
                if half.kind == Kind.SSH and not step.bad:
                    after, rest = half.base + step.consumed, max(len(data) - step.consumed, 0)
                    self._logins.begin(key, after, rest, stream.last, from_orig=from_orig)
                half.close(step.consumed)
                return
            half.consume(step.consumed)
            if step.become:
                half.kind = KINDS.index(step.become)

    def _step(
        self, half: Half, data: bytes, asked: deque[http.Asked], *, from_orig: bool, final: bool
    ) -> Step:
        """Show the bytes of one direction of a stream to its protocol."""
        kind = half.kind
        if kind == Kind.TLS:
            return _tls(data, asked, final=final)
        if kind == Kind.HTTP:
            return http.step(data, asked, final=final, paths=self._paths)
        if kind == Kind.SSH:
            return ssh.step(data, client=from_orig, begun=not half.fresh)
        if kind in _STEPS:
            return _STEPS[kind](data)
        return BAD if kind == Kind.NONE else DONE

    def _keep(
        self, step: Step, stream: Stream, half: Half, key: Key, events: list[AnyEvent]
    ) -> None:
        # Of a stream that is known bad bytes are a body, an upgrade or the middle of an answer.
        if step.bad and not stream.known:
            _count(self._counters.malformed, half.kind)
        for event in step.events:
            stream.known = True
            events.append(_stamp(event, key, _TCP, stream.last))
            self._count_event(event)
        if step.rich:
            stream.known = True
            self._give(step.rich, key, _TCP, stream.last)

    def _expire(self, now: float, events: list[AnyEvent]) -> None:
        """Drop the streams that fell silent, with what can be said of an unfinished message."""
        for key, stream in self._streams.idle(now):
            for from_orig in (True, False):
                self._last_word(stream, key, from_orig, events)
        for key, last, hello in self._quic.idle(now):
            self._counters.streams_unfinished += 1
            self._tell(hello, key, 17, last, events)
        for key, last, login in self._logins.idle(now):
            self._tell(login, key, _TCP, last, events)

    def _last_word(self, stream: Stream, key: Key, from_orig: bool, events: list[AnyEvent]) -> None:
        half = stream.halves[from_orig]
        if half is None or half.done or not half.window:
            return
        self._counters.streams_unfinished += 1
        data = half.ready()
        if data and half.kind in {Kind.TLS, Kind.HTTP}:
            step = self._step(half, data, stream.asked, from_orig=from_orig, final=True)
            self._keep(step, stream, half, key, events)


def _starts(kind: int, payload: bytes) -> bool:
    """Tell whether a segment begins with a message: bodies and bulk are not tapped whole."""
    return http.starts(payload) if kind == Kind.HTTP else framed.starts(kind, payload)


def _tls(data: bytes, asked: deque[http.Asked], *, final: bool) -> Step:
    """Read a hello of either side; the server's is told with the name that the client asked for."""
    if data[5:6] in {b"\x02", b"\x0b"}:
        return tls_server.step(data, asked[-1] if asked else ("", ""), final=final)
    step = tls.step(data, final=final)
    for event in step.events:
        asked.append(("", getattr(event, "name", "")))
    return step


def _stamp(event: AnyEvent, key: Key, proto: int, now: float) -> AnyEvent:
    """Return the event with its time and its flow; an ARP packet's ends are the two it names."""
    if isinstance(event, Arp):
        orig = "" if event.address == "0.0.0.0" else event.address  # noqa: S104  RFC 5227's probe
        return _filled(event, now, orig, 0, event.target, 0, "arp")
    if isinstance(event, Lldp):
        return _filled(event, now, event.address, 0, "", 0, "lldp")
    orig_hi, orig_lo, resp_hi, resp_lo, orig_port, resp_port, _vlan, _iface = key
    return _filled(
        event, now, _address(orig_hi, orig_lo), orig_port, _address(resp_hi, resp_lo), resp_port,
        protocol_name(proto),
    )  # fmt: skip


def _filled(
    event: AnyEvent, now: float, orig: str, orig_port: int, resp: str, resp_port: int, proto: str
) -> AnyEvent:
    return msgspec.structs.replace(
        event, ts=now, orig=orig, orig_port=orig_port, resp=resp, resp_port=resp_port, proto=proto
    )


@lru_cache(maxsize=8192)
def _address(hi: int, lo: int) -> str:
    if hi == 0 and lo >> 32 == 0xFFFF:
        return f"{lo >> 24 & 0xFF}.{lo >> 16 & 0xFF}.{lo >> 8 & 0xFF}.{lo & 0xFF}"
    return address_text(hi, lo)


def _count(counter: dict[str, int], kind: int) -> None:
    name = KINDS[kind] if kind < len(KINDS) else str(kind)
    counter[name] = counter.get(name, 0) + 1
