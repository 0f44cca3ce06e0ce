"""The one table: chains, counters, sets and rules as messages, and the elements of a change; pure.

A packet is denied where either of its ends is: in a deny set, in no allow set, no management
network. What a management host opens passes whatever is denied, and so do the answers to it (with
connection tracking): an admin can't be locked out by denying the admin, the gateway or a server.
The checks stand in `prerouting` (input and forward paths, before the kernel looks at established
connections) and in `output`. The lookups that every packet pays for are those of the deny sets
alone; allow and management are asked only about a packet that a deny set holds.

Observe and enforce differ by the elements of one set, the gate: a packet is dropped while its
family stands there. Another mode is so a change of two elements whatever else the table holds,
and a mode that waits for its confirmation is two elements with a timeout: the kernel itself ends
it, whether or not this program still runs.

Never filtered: the loopback; IPv6 link-local sources and destinations, link-scope multicast, and
neighbour discovery with hop limit 255 (RFC 4861, 7.1), so that a deny of fe80::/10 or of the own
prefix breaks no link. IPv4-mapped IPv6 addresses never stand in a packet's header and are IPv4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.firewall import codec
from ipwatchd.firewall import expressions as e
from ipwatchd.firewall.codec import CREATE, Nft
from ipwatchd.firewall.elements import Kind, element_messages
from ipwatchd.firewall.layout import columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ipwatchd.config.settings import FirewallSettings
    from ipwatchd.firewall.layout import SetSpec
    from ipwatchd.records.policy import Policy, ServicePolicy

__all__ = [
    "CHAINS", "COUNTERS", "GATE", "LOG_SNAP", "PAUSE", "PREFIXES", "Rule", "gate", "set_change",
    "table_messages", "table_removal", "table_rules",
]  # fmt: skip

Message = bytes | memoryview

LOG_SNAP: Final = 128
"""Bytes of a denied packet that the log carries: headers, as good as no content."""
PREFIXES: Final = {"observe": "deny would-drop", "enforce": "deny drop"}

_MANGLE: Final = -150
"""NF_IP_PRI_MANGLE: after connection tracking (-200), before destination NAT (-100)."""
_HOOKS: Final = {"prerouting": 0, "output": 3}  # NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT
_DENIED: Final = "denied"
_DROPPED: Final = "dropped"
GATE: Final = "enforcing"
PAUSE: Final = "paused"
CHAINS: Final = (
    _DENIED, _DROPPED, "source4", "source6", "destination4", "destination6", "prerouting", "output",
)  # fmt: skip
COUNTERS: Final = tuple(
    f"denied_{end}{family}" for end in ("source", "destination", "service") for family in (4, 6)
)

_FAMILIES: Final = {
    4: e.Family(nfproto=2, key=4, source=12, destination=16),
    6: e.Family(nfproto=10, key=16, source=8, destination=24),
}
_ALLOW: Final = {"allow", "bulk_allow"}
_DENY: Final = {"deny", "bulk_deny"}
_LINK_LOCAL: Final = bytes([0xFE, 0x80]) + bytes(14)
_LINK_MULTICAST: Final = bytes([0xFF, 0x02]) + bytes(14)
_NEIGHBOUR_SET: Final = "neighbour_discovery"
_NEIGHBOUR_TYPES: Final = (133, 134, 135, 136, 137)  # RFC 4861, 4.1 to 4.5

# nft's own numbers (include/datatype.h), for listing alone.
_KEY_TYPES: Final = {4: 7, 16: 8}
_NFPROTO_TYPE, _SERVICE_TYPE, _ICMPV6_TYPE = 2, 13, 29
_SET_CONSTANT, _SET_INTERVAL, _SET_TIMEOUT = 0x2, 0x4, 0x10
_SET_BYTEORDER_BIG: Final = struct.pack("=BBI", 0, 4, 2)
"""NFTNL_UDATA_SET_KEYBYTEORDER: without it `nft` shows the elements of a range reversed."""


class Rule(NamedTuple):
    """A rule: its chain, its expressions and the comment that `nft list` shows."""

    chain: str
    expressions: tuple[bytes, ...]
    comment: str = ""


def _rule(chain: str, *parts: list[bytes], comment: str = "") -> Rule:
    return Rule(chain, tuple(one for part in parts for one in part), comment)


def table_rules(
    settings: FirewallSettings, specs: Sequence[SetSpec], services: Sequence[ServicePolicy] = ()
) -> list[Rule]:
    """Return every rule of the table, in order."""
    per_second = e.limit(settings.log_per_second)
    log = {mode: e.log(words, settings.log_group, LOG_SNAP) for mode, words in PREFIXES.items()}
    rules = [
        _rule(_DENIED, e.protocol_in(GATE), e.protocol_not_in(PAUSE), e.goto(_DROPPED)),
        _rule(_DENIED, per_second, log["observe"]),
        _rule(_DENIED, e.verdict(e.ACCEPT), comment="observe: nothing is dropped"),
        _rule(_DROPPED, per_second, log["enforce"]),
        _rule(_DROPPED, e.verdict(e.DROP)),
    ]
    for family in (4, 6):
        allow = [one.name for one in specs if one.family == family and one.list in _ALLOW]
        rules += _source(family, allow)
        rules += _destination(family, allow)
    for service in services:
        for family in (4, 6):
            rules += _service(service, family, specs)
    for hook in _HOOKS:
        rules += _hook(hook, specs, services)
    return rules


def _source(family: int, allow: Sequence[str]) -> list[Rule]:
    """Return what is asked about a packet whose source is in a deny set."""
    of, chain = _FAMILIES[family], f"source{family}"
    managed = f"management{family}"
    return [
        *(_link(chain) if family == 6 else []),
        _rule(chain, e.looked_up(of, "source", managed), e.verdict(e.ACCEPT),
              comment="what management opens passes"),
        _rule(chain, e.looked_up(of, "destination", managed), e.reply_direction(),
              e.verdict(e.ACCEPT), comment="and the answers to it"),
        *(
            _rule(chain, e.looked_up(of, "source", name), e.verdict(e.RETURN),
                  comment="allow beats deny")
            for name in allow
        ),
        _rule(chain, e.counted(f"denied_source{family}"), e.goto(_DENIED)),
    ]  # fmt: skip


def _destination(family: int, allow: Sequence[str]) -> list[Rule]:
    """Return what is asked about a packet whose destination is in a deny set."""
    of, chain = _FAMILIES[family], f"destination{family}"
    managed = f"management{family}"
    return [
        *(_link(chain) if family == 6 else []),
        _rule(chain, e.looked_up(of, "source", managed), e.verdict(e.ACCEPT),
              comment="what management opens passes"),
        _rule(chain, e.looked_up(of, "destination", managed), e.verdict(e.ACCEPT),
              comment="management can't be denied"),
        *(
            _rule(chain, e.looked_up(of, "destination", name), e.verdict(e.RETURN),
                  comment="allow beats deny")
            for name in allow
        ),
        _rule(chain, e.counted(f"denied_destination{family}"), e.goto(_DENIED)),
    ]  # fmt: skip


def _link(chain: str) -> list[Rule]:
    """Return the rules that keep an IPv6 link working."""
    six = _FAMILIES[6]
    return [
        _rule(chain, e.from_network(six, "source", _LINK_LOCAL, 10), e.verdict(e.ACCEPT)),
        _rule(chain, e.from_network(six, "destination", _LINK_LOCAL, 10), e.verdict(e.ACCEPT)),
        _rule(chain, e.from_network(six, "destination", _LINK_MULTICAST, 16), e.verdict(e.ACCEPT)),
        _rule(chain, e.neighbour_type(six, _NEIGHBOUR_SET), e.hop_limit_255(), e.verdict(e.ACCEPT)),
    ]


def _service(service: ServicePolicy, family: int, specs: Sequence[SetSpec]) -> list[Rule]:
    """Return what is asked about a packet to a service: management, its allow, its deny, the rest.

    Whoever comes through here still meets the site's deny list.
    """
    of, chain = _FAMILIES[family], f"on-{service.name}{family}"
    passes = [f"management{family}", f"on-{service.name}-allow{family}"]
    rules = [_rule(chain, e.looked_up(of, "source", one), e.verdict(e.RETURN)) for one in passes]
    stop = [e.counted(f"denied_service{family}"), e.goto(_DENIED)]
    denied = e.looked_up(of, "source", f"on-{service.name}-deny{family}")
    rules.append(_rule(chain, denied, *stop))
    if service.only_allowed:
        rules += [
            _rule(chain, e.looked_up(of, "source", one.name), e.verdict(e.RETURN))
            for one in specs
            if one.family == family and one.list in _ALLOW
        ]
        rules.append(_rule(chain, *stop, comment=f"{service.name}: only whom an entry allows"))
    return rules


def _to_services(services: Sequence[ServicePolicy]) -> list[Rule]:
    """Return the rules that send packets to a service to its chain."""
    rules = []
    for one in services:
        for family in (4, 6):
            of = _FAMILIES[family]
            port = e.port_in(of, one.protocol, f"on-{one.name}-ports")
            to = e.looked_up(of, "destination", f"on-{one.name}-to{family}") if len(one.to) else []
            rules.append(_rule("prerouting", port, to, e.jump(f"on-{one.name}{family}")))
    return rules


def _hook(
    hook: str, specs: Sequence[SetSpec], services: Sequence[ServicePolicy] = ()
) -> list[Rule]:
    """Return the rules that every packet of a hook meets."""
    outgoing = hook == "output"
    rules = [_rule(hook, e.interface_is(1, outgoing=outgoing), e.verdict(e.RETURN))]
    if not outgoing:
        rules += _to_services(services)
    for family in (4, 6):
        of = _FAMILIES[family]
        if outgoing:
            managed = e.looked_up(of, "destination", f"management{family}")
            rules.append(_rule(hook, managed, e.verdict(e.RETURN)))
        for end in ("source", "destination"):
            rules += [
                _rule(hook, e.looked_up(of, end, one.name, one.length), e.jump(f"{end}{family}"))
                for one in specs
                if one.family == family and one.list in _DENY
            ]
    return rules


def table_messages(
    settings: FirewallSettings, specs: Sequence[SetSpec], room: Mapping[str, int],
    services: Sequence[ServicePolicy] = (),
) -> list[Message]:  # fmt: skip
    """Return the messages that replace the whole table by one without elements, which observes.

    Add, delete, add: the delete can't fail where there is none, and all of it is one commit.
    """
    table = settings.table
    built: list[Message] = [*table_removal(table)]
    note = codec.attribute(6, e.comment("ipwatchd: change it with ipwatchctl"))
    built.append(codec.message(Nft.NEWTABLE, CREATE, codec.text(1, table), codec.u32(2, 0), note))
    built.extend(_counter(table, name) for name in COUNTERS)
    built.extend(_set(table, number, spec, room) for number, spec in enumerate(specs, 1))
    built.extend(_neighbours(table, len(specs) + 1))
    for number, name in enumerate((GATE, PAUSE), len(specs) + 2):
        built.append(_set_message(table, name, number, _SET_TIMEOUT, 1, _NFPROTO_TYPE))
    for number, one in enumerate(services, len(specs) + 4):
        built += _ports(table, f"on-{one.name}-ports", number, one.ports)
    chains = [f"on-{one.name}{family}" for one in services for family in (4, 6)]
    built.extend(_chain(table, name) for name in (*CHAINS[:2], *chains, *CHAINS[2:]))
    built.extend(_rule_message(table, rule) for rule in table_rules(settings, specs, services))
    return built


def gate(table: str, policy: Policy, now: float) -> list[Message]:
    """Return the messages that make a table do as a policy says: enforce, until or from when.

    Two sets, both with timeouts, so that what nobody confirms the kernel itself takes back.
    """
    enforcing = policy.mode == "enforce" and not 0 < policy.enforce_until <= now
    paused = enforcing and policy.enforce_from > now
    return [
        *_protocols(table, GATE, policy.enforce_until - now, there=enforcing),
        *_protocols(table, PAUSE, policy.enforce_from - now, there=paused),
    ]


def _protocols(table: str, name: str, left: float, *, there: bool) -> list[Message]:
    """Put both families into a set, for so many seconds where that is over 0, or none."""
    where = codec.text(1, table) + codec.text(2, name)
    built: list[Message] = [codec.message(Nft.DELSETELEM, 0, where)]  # without elements: all
    if not there:
        return built
    timeout = codec.u64(4, max(int(left * 1000), 1)) if left > 0 else b""
    items = (
        codec.nested(1, codec.attribute(1, bytes([of.nfproto]))) + timeout
        for of in _FAMILIES.values()
    )
    return [*built, codec.message(Nft.NEWSETELEM, CREATE, where, codec.listed(3, items))]


def table_removal(table: str) -> list[Message]:
    """Return the messages that remove our table, there or not."""
    name = codec.text(1, table)
    return [
        codec.message(Nft.NEWTABLE, CREATE, name, codec.u32(2, 0)),
        codec.message(Nft.DELTABLE, 0, name),
    ]


def _counter(table: str, name: str) -> bytes:
    zero = codec.nested(4, codec.u64(1, 0), codec.u64(2, 0))
    return codec.message(
        Nft.NEWOBJ, CREATE, codec.text(1, table), codec.text(2, name), codec.u32(3, 1), zero
    )


def _set_message(
    table: str, name: str, number: int, flags: int, key: int, shown_as: int, *more: bytes
) -> bytes:
    kind = codec.u32(3, flags) + codec.u32(4, shown_as) + codec.u32(5, key)
    return codec.message(
        Nft.NEWSET, CREATE, codec.text(1, table), codec.text(2, name), kind,
        codec.u32(10, number), *more, codec.attribute(13, _SET_BYTEORDER_BIG),
    )  # fmt: skip


def _set(table: str, number: int, spec: SetSpec, room: Mapping[str, int]) -> bytes:
    flags = _SET_INTERVAL * spec.interval | _SET_TIMEOUT * spec.timeout
    size = 0 if spec.interval else room.get(spec.name, 0)
    more = [codec.nested(9, codec.u32(1, size))] if size else []
    if spec.counted:
        more.append(codec.nested(17, e.element_counter()))  # NFTA_SET_EXPR
    return _set_message(table, spec.name, number, flags, spec.key, _KEY_TYPES[spec.key], *more)


def _neighbours(table: str, number: int) -> list[Message]:
    made = _set_message(table, _NEIGHBOUR_SET, number, _SET_CONSTANT, 1, _ICMPV6_TYPE)
    keys = np.array(_NEIGHBOUR_TYPES, np.uint8)
    items = (codec.nested(1, codec.attribute(1, bytes([key]))) for key in keys.tolist())
    listing = codec.listed(3, items)
    where = codec.text(1, table) + codec.text(2, _NEIGHBOUR_SET) + codec.u32(4, number)
    return [made, codec.message(Nft.NEWSETELEM, CREATE, where, listing)]


def _ports(
    table: str, name: str, number: int, ports: Sequence[tuple[int, int]]
) -> list[Message]:  # fmt: skip
    """Return a set of ports and ranges of ports, disjoint and sorted."""
    made = _set_message(table, name, number, _SET_CONSTANT | _SET_INTERVAL, 2, _SERVICE_TYPE)
    items = []
    for first, last in ports:
        items.append(codec.nested(1, codec.attribute(1, first.to_bytes(2, "big"))))
        if last < 0xFFFF:
            after = codec.nested(1, codec.attribute(1, (last + 1).to_bytes(2, "big")))
            items.append(codec.u32(3, 1) + after)  # NFT_SET_ELEM_INTERVAL_END
    where = codec.text(1, table) + codec.text(2, name) + codec.u32(4, number)
    return [made, codec.message(Nft.NEWSETELEM, CREATE, where, codec.listed(3, iter(items)))]


def _chain(table: str, name: str) -> bytes:
    hook = b""
    if name in _HOOKS:
        place = codec.u32(1, _HOOKS[name]) + codec.u32(2, _MANGLE & 0xFFFF_FFFF)
        hook = codec.text(7, "filter") + codec.u32(5, e.ACCEPT) + codec.nested(4, place)
    return codec.message(Nft.NEWCHAIN, CREATE, codec.text(1, table), codec.text(3, name), hook)


def _rule_message(table: str, rule: Rule) -> bytes:
    append = 0x800  # NLM_F_APPEND
    note = codec.attribute(7, e.comment(rule.comment)) if rule.comment else b""
    where = codec.text(1, table) + codec.text(2, rule.chain)
    listing = codec.listed(4, iter(rule.expressions))
    return codec.message(Nft.NEWRULE, CREATE | append, where, listing, note)


def set_change(
    table: str, spec: SetSpec, ranges: NDArray[np.void], now: float, *, delete: bool = False
) -> list[Message]:
    """Return the messages that add these ranges to a set, or delete them from it."""
    built: list[Message] = []
    if not len(ranges):
        return built
    column = columns(ranges, spec.family, now)
    timed = (column.milliseconds > 0) & spec.timeout & (not delete)
    open_ended = column.open & spec.interval
    for with_timeout in (False, True):
        for is_open in (False, True):
            rows = (timed == with_timeout) & (open_ended == is_open)
            if not rows.any():
                continue
            interval = spec.interval and not is_open
            kind = Kind(spec.key, timeout=with_timeout, interval=interval)
            built += element_messages(
                table, spec.name, kind, column.first[rows],
                column.after[rows] if interval else None,
                column.milliseconds[rows] if with_timeout else None, delete=delete,
            )  # fmt: skip
    return built
