"""Events → rows: the event itself, and what it says of names, agents and devices. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.history.rollup import HOUR, pack
from ipwatchd.records.address import split
from ipwatchd.records.event import (
    Api,
    Arp,
    Auth,
    Blocked,
    Certificate,
    Dhcp,
    Dns,
    Http,
    Kerberos,
    Ndp,
    Quic,
    Radius,
    Sip,
    Tls,
    Vpn,
)
from ipwatchd.records.flow import protocol_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.records.event import AnyEvent

__all__ = ["Facts", "clip", "extract"]

Row = tuple[object, ...]
Key = tuple[bytes | str | int, ...]

# One DNS answer may hold hundreds of addresses; more than this is an attempt to fill the table.
MAX_ANSWERS: Final = 64
_MAX_TEXT: Final = 255
_ENCODER: Final = msgspec.json.Encoder()
_MAX_PORT: Final = 65_535
_LAST_TIME: Final = 1e11
NOWHERE: Final = bytes(16)
# What a caller's user part says where the caller is not told (RFC 3323, 4.1.1.3, and exchanges).
NAMELESS: Final = frozenset({"anonymous", "unavailable", "unknown", "restricted", "private"})


class Facts(msgspec.Struct):
    """What a batch of events adds. The tables with counts map key → [count, first, last, …].

    names: (address, name, source) · agents: (agent, address, source) · devices: (address, mac) →
    and the host name · api: (address, name, method, status, key) · blocked: (hour, orig, resp,
    action) → count · denied: (source, target, proto, port) → [count, first, last]
    """

    events: list[Row]
    names: dict[Key, list[float]]
    agents: dict[Key, list[float]]
    devices: dict[Key, list[float]]
    hostnames: dict[Key, str]
    api: dict[Key, list[float]]
    blocked: dict[Key, list[float]]
    denied: dict[Key, list[float]]


def extract(events: Sequence[AnyEvent], *, keep: bool = True) -> Facts:
    """Return the rows of events; `keep` False leaves out the events themselves (disk nearly full).

    Addresses that are none (forged log lines) are stored as nowhere (::), never raised.
    """
    facts = Facts([], {}, {}, {}, {}, {}, {}, {})
    packed = _Packer()
    for event, body in map(_sound, events):
        orig, resp = packed(event.orig), packed(_other(event))
        if keep:
            facts.events.append(
                (
                    event.ts, event.__struct_config__.tag, orig, resp, event.resp_port,
                    _protocol(event.proto), clip(getattr(event, "name", "")).lower(),
                    clip(getattr(event, "user", "")), body,
                )
            )  # fmt: skip
        _learn(facts, event, orig, resp, packed)
    return facts


def _sound(event: AnyEvent) -> tuple[AnyEvent, bytes]:
    """Return an event that can be stored, and its JSON: a forged one must not hold up the others.

    Lone surrogates can't be UTF-8, NaN is NULL to SQLite, its integers have 64 bits.
    """
    try:
        whole = 0 <= event.ts < _LAST_TIME and 0 <= event.resp_port <= _MAX_PORT
        if whole and 0 <= getattr(event, "status", 0) <= _MAX_PORT:
            return event, _ENCODER.encode(event)
    except UnicodeEncodeError:
        pass
    fields = msgspec.structs.asdict(event)
    sound = msgspec.structs.replace(event, **{key: _mended(fields[key]) for key in fields})
    return sound, _ENCODER.encode(sound)


def _mended(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case float():
            return value if 0 <= value < _LAST_TIME else 0.0
        case bool():
            return value
        case int():
            return value if 0 <= value <= _MAX_PORT else 0
        case tuple():
            return tuple(_mended(one) for one in value)
        case _:
            return value


def _other(event: AnyEvent) -> str:
    """Return the other end; of what gives an inner address out or takes it back, that address."""
    if isinstance(event, Vpn | Radius) and event.address:
        return event.address
    return event.resp


class _Packer(dict[str, bytes]):
    """Text → key, each text worked out once a batch."""

    def __call__(self, text: str) -> bytes:
        """Return the key of an address, nowhere for what is none."""
        return self[text]

    def __missing__(self, text: str) -> bytes:
        try:
            key = pack(*split(text)) if text else NOWHERE
        except ValueError:
            key = NOWHERE
        self[text] = key
        return key


def clip(value: object) -> str:
    """Return text that can be stored, cut to a length."""
    # A lone surrogate (a wrong encoding in a log) can't be stored as UTF-8.
    text = value[:_MAX_TEXT] if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode()


def _protocol(text: str) -> int:
    try:
        return protocol_number(text) if text else 0
    except ValueError:
        return 0


def _count(table: dict[Key, list[float]], key: Key, ts: float) -> None:
    row = table.get(key)
    if row is None:
        table[key] = [1, ts, ts]
    else:
        row[0] += 1
        row[1] = min(row[1], ts)
        row[2] = max(row[2], ts)


def _learn(facts: Facts, event: AnyEvent, orig: bytes, resp: bytes, packed: _Packer) -> None:
    """Take from an event what it says of addresses."""
    match event:
        case Dns(response=True, rcode="" | "NOERROR"):
            _learn_answers(facts, event, packed)
        case Tls(response=False) | Quic() | Certificate() if event.name:
            source = str(event.__struct_config__.tag)
            _count(facts.names, (resp, clip(event.name).lower(), source), event.ts)
        case Http() if event.name:
            _count(facts.names, (resp, clip(event.name).lower(), "http"), event.ts)
            _learn_call(facts, event, orig, "")
            if event.status and event.method:  # the request was counted when it was seen
                _answered(facts, event, orig)
        case Api():
            _learn_call(facts, event, orig, clip(event.key))
        case Sip() | Auth() | Kerberos() | Radius() | Vpn() if event.user:
            _learn_agent(facts, event, orig, packed)
        case Dhcp(message="ACK" | "ack") if event.address:
            _learn_device(facts, packed(event.address), event.mac, event.hostname, event.ts)
        case Arp() | Ndp() if event.address and event.mac:
            _learn_device(facts, packed(event.address), event.mac, "", event.ts)
        case Blocked():
            hour = int(event.ts // HOUR) * HOUR
            _count(facts.blocked, (hour, orig, resp, clip(event.action)), event.ts)
            key = (orig, resp, _protocol(event.proto), event.resp_port)
            _count(facts.denied, key, event.ts)
        case _:
            pass


def _learn_agent(
    facts: Facts, event: Sip | Auth | Kerberos | Radius | Vpn, orig: bytes, packed: _Packer
) -> None:
    """Bind a user to an address where the login was granted; who only tried proves nothing."""
    user = clip(event.user)
    match event:
        case Sip() if event.method and not event.status and user.lower() not in NAMELESS:
            _count(facts.agents, (user, orig, "sip"), event.ts)
        case Auth(result="success"):
            _count(facts.agents, (user, orig, clip(event.service)), event.ts)
        # A name that ends in $ is a machine's own account.
        case Kerberos(message="AS-REP") if not user.endswith("$"):
            _count(facts.agents, (user, orig, "kerberos"), event.ts)
        case Radius(message="access-accept" | "accounting-request") if event.address:
            _count(facts.agents, (user, packed(event.address), "radius"), event.ts)
        case Vpn(message="assigned") if event.address:
            _count(facts.agents, (user, packed(event.address), clip(event.service)), event.ts)
        case _:
            pass


def _learn_answers(facts: Facts, event: Dns, packed: _Packer) -> None:
    """Attach the name that was asked for to each address of the answer."""
    for answer in event.answers[:MAX_ANSWERS]:
        address = packed(answer)
        if address != NOWHERE:
            _count(facts.names, (address, clip(event.name).lower(), "dns"), event.ts)


def _learn_call(facts: Facts, event: Api | Http, orig: bytes, key: str) -> None:
    call = (orig, clip(event.name).lower(), clip(event.method), event.status, key)
    _count(facts.api, call, event.ts)


def _answered(facts: Facts, event: Http, orig: bytes) -> None:
    """Take a request back that was counted without its status."""
    key = (orig, clip(event.name).lower(), clip(event.method), 0, "")
    facts.api.setdefault(key, [0, event.ts, event.ts])[0] -= 1


def _learn_device(facts: Facts, address: bytes, mac: str, hostname: str, ts: float) -> None:
    if address == NOWHERE:
        return
    key = (address, clip(mac).lower())
    _count(facts.devices, key, ts)
    if hostname:
        facts.hostnames[key] = clip(hostname)
