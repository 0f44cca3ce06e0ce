"""The packet loop: every packet of a batch is decoded, found in the table and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.content import (
    DATAGRAM_TRIES,
    STREAM_TRIES,
    UNWANTED,
    WHOLE,
    chunk,
    datagram,
    put,
    stream,
)
from ipwatchd.capture.decode import FOUND_ARP, FOUND_IP, FOUND_LLDP, MALFORMED, decode
from ipwatchd.capture.evict import make_room
from ipwatchd.capture.expiry import (
    ACTIVE,
    CLOSED_TCP,
    SHORTEST,
    STEP_BACK,
    idle_timeout,
    resume,
    sweep,
    tick,
)
from ipwatchd.capture.flood import opening
from ipwatchd.capture.hold import hold, release
from ipwatchd.capture.jit import compiled, i64, inlined, u64
from ipwatchd.capture.network import ICMP, ICMP6, SCTP, TCP, UDP
from ipwatchd.capture.ports import KNOWN_TCP, KNOWN_UDP
from ipwatchd.capture.table import (
    ORIG_B,
    PARTIAL,
    PAYLOAD,
    RESUMED,
    SEEN_A,
    SEEN_B,
    Table,
    coarse,
    export,
    find,
    flow_hash,
    insert,
)
from ipwatchd.capture.tap import Kind
from ipwatchd.capture.tcp import ACK, FIN, INACTIVE, RST, SYN, advance, ended

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.capture.octets import Octets

__all__ = ["EXPORTS_A_PACKET", "run"]

EXPORTS_A_PACKET: Final = 4
"""A packet may end the flow it finds, continue a long one, drive another out and take the place of
a flood's sums."""

TAPS_A_PACKET: Final = 5
"""A segment, and those held that follow it (hold.py)."""

_MANY_BYTES: Final = 1 << 31
"""A row's bytes are told by then. One packet is cut to half of it: a length that lies."""
_MOST_BYTES: Final = u64(1 << 30)
_ARP: Final = Kind.ARP
_DNS: Final = Kind.DNS
_LLDP: Final = Kind.LLDP
_NDP: Final = Kind.NDP
_SIXTEEN: Final = u64(16)
_NOT_RESUMED: Final = 0xFF ^ RESUMED


@compiled
def _icmp_class(proto: int, kind: int) -> int:
    """Return what stands for the ports of ICMP: a request's type for it and its reply, plus 1."""
    if proto == ICMP:
        if kind == 0:
            kind = 8
        elif kind in (14, 16, 18):
            kind -= 1
    elif kind in (129, 134, 136, 140):
        kind -= 1
    return kind + 1


@compiled
def _is_reply(proto: int, kind: int) -> bool:
    if proto == ICMP:
        return kind in (0, 14, 16, 18)
    return kind in (129, 140)


@compiled
def _from_responder(table: Table, header: Any) -> bool:
    """Tell whether the first packet seen of a flow came from its responder."""
    proto = header["proto"]
    if proto == TCP and header["tcp_flags"] & SYN:
        acknowledges: bool = header["tcp_flags"] & ACK != 0
        return acknowledges
    if proto in (ICMP, ICMP6):
        return _is_reply(proto, i64(header["icmp_type"]))
    if proto not in (TCP, UDP):
        return False
    bit = KNOWN_TCP if proto == TCP else KNOWN_UDP
    source = table.known_ports[header["src_port"]] & bit
    target = table.known_ports[header["dst_port"]] & bit
    from_server: bool = proto == TCP and header["src_port"] < 1024 <= header["dst_port"]
    if source != target:
        from_server = source != 0
    return from_server


@compiled
def _begin(table: Table, place: int, packet: Any, header: Any, side: int) -> None:
    """Set a row's fields to those of a flow's first packet, with nothing counted yet."""
    row = table.rows[place]
    resume(row, i64(packet["ts"]))
    responder = _from_responder(table, header)
    row["bits"] = ORIG_B if (side == 1) != responder else 0
    row["last"] = packet["ts"]
    row["tcp"][0] = INACTIVE
    row["tcp"][1] = INACTIVE
    row["icmp_type"] = header["icmp_type"]
    row["icmp_code"] = header["icmp_code"]
    row["service"] = 0
    proto = header["proto"]
    ports = table.tap_by_port
    dns = proto == TCP and (ports[header["src_port"]] == _DNS or ports[header["dst_port"]] == _DNS)
    row["tap"] = _DNS if dns else 0
    tries = STREAM_TRIES if proto == TCP else DATAGRAM_TRIES
    row["left"][0] = tries
    row["left"][1] = tries
    row["vlan"] = header["vlan"]
    row["iface"] = packet["iface"]
    table.due[place] = coarse(i64(packet["ts"]) + table.limits[SHORTEST])


@compiled
def _set_key(row: Any, a_hi: int, a_lo: int, b_hi: int, b_lo: int, ports: int, proto: int) -> None:
    row["a_hi"] = a_hi
    row["a_lo"] = a_lo
    row["b_hi"] = b_hi
    row["b_lo"] = b_lo
    row["a_port"] = ports >> _SIXTEEN
    row["b_port"] = ports & u64(0xFFFF)
    row["proto"] = proto


@compiled
def _renew(table: Table, place: int, packet: Any, header: Any, side: int) -> None:
    """Write a record where this packet belongs to a new flow or to a long flow's next part."""
    row = table.rows[place]
    ts = i64(packet["ts"])
    gap = ts - i64(row["last"])
    opens = header["proto"] == TCP and header["tcp_flags"] & (SYN | ACK | RST | FIN) == SYN
    if (
        (gap > table.limits[SHORTEST] and gap > idle_timeout(table, row))
        or gap < -STEP_BACK
        or (opens and ended(row))
    ):
        export(table, place, 0)
        _begin(table, place, packet, header, side)
        table.state[0]["flows"] += 1
    elif row["bits"] & RESUMED:
        row["start"] = ts
    elif ts - i64(row["start"]) >= table.limits[ACTIVE] or row["bytes"][side] >= _MANY_BYTES:
        export(table, place, PARTIAL)
        resume(row, ts)


@inlined
def _may_renew(table: Table, row: Any, ts: int, flags: int, side: int) -> bool:
    """Tell cheaply, and on the safe side, whether `_renew` has anything to do."""
    gap = ts - i64(row["last"])
    return (
        gap > table.limits[SHORTEST]
        or gap < -STEP_BACK
        or flags & SYN != 0
        or row["bits"] & RESUMED != 0
        or ts - i64(row["start"]) >= table.limits[ACTIVE]
        or row["bytes"][side] >= _MANY_BYTES
    )


@inlined
def _count(table: Table, place: int, packet: Any, header: Any, side: int) -> None:
    row = table.rows[place]
    row["packets"][side] += 1
    row["bytes"][side] += min(u64(header["ip_bytes"]), _MOST_BYTES)
    ts = i64(packet["ts"])
    row["last"] = max(i64(row["last"]), ts)
    row["start"] = min(i64(row["start"]), ts)
    row["bits"] = (row["bits"] & _NOT_RESUMED) | (SEEN_B if side else SEEN_A)
    if header["proto"] == TCP and not header["later_fragment"]:
        flags = header["tcp_flags"]
        row["flags"][side] |= flags
        if flags & (SYN | FIN | RST) or row["tcp"][side] == INACTIVE:
            advance(row, side, flags)
            if ended(row):
                closing = coarse(ts + table.limits[CLOSED_TCP])
                table.due[place] = min(i64(table.due[place]), closing)


@inlined
def _stream(table: Table, packet: Any, header: Any, place: int, side: int, data: Octets) -> None:
    """Hand a segment to the tap where it is wanted; one that may come too early is held."""
    row = table.rows[place]
    known = row["tap"] != 0
    kind = stream(row, side, data, i64(header["at"]), i64(header["end"]))
    if kind != 0:
        put(table, packet, header, place, side, kind, data)
        if not known and kind & WHOLE == 0:
            release(table, packet, header, place, side, kind)
    elif not known:
        hold(table, row, side, header, data)


@inlined
def _tap(table: Table, place: int, packet: Any, header: Any, side: int, data: Octets) -> None:
    """Hand the payload to the tap where a dissector wants it."""
    row = table.rows[place]
    proto = header["proto"]
    at = i64(header["at"])
    end = i64(header["end"])
    if at >= end or header["later_fragment"]:
        return
    kind = i64(0)
    if proto == TCP:
        row["bits"] = row["bits"] | PAYLOAD
        if row["tap"] != UNWANTED:
            _stream(table, packet, header, place, side, data)
        return
    if proto == UDP:
        kind = i64(table.tap_by_port[header["dst_port"]])
        if kind == 0:
            kind = i64(table.tap_by_port[header["src_port"]])
        if kind == 0:
            kind = datagram(row, side, data, at, end)
    elif proto == ICMP6 and 133 <= header["icmp_type"] <= 136:
        kind = i64(_NDP)
    elif proto == SCTP:
        kind = chunk(row, side, data, header)
    if kind != 0:
        put(table, packet, header, place, side, kind, data)


@inlined
def _opens(row: Any, header: Any, side: int) -> bool:
    """Tell a first SYN, and a first datagram that comes from the originator."""
    if header["proto"] == TCP:
        syn: bool = header["tcp_flags"] & (SYN | ACK | RST | FIN) == SYN
        return syn
    from_orig: bool = side == (1 if row["bits"] & ORIG_B else 0)
    return header["proto"] == UDP and header["later_fragment"] == 0 and from_orig


@inlined
def _flow(table: Table, packet: Any, header: Any, data: Octets) -> None:
    """Find or make the flow of a decoded packet and count the packet in it."""
    source = u64(header["src_port"])
    target = u64(header["dst_port"])
    proto = u64(header["proto"])
    if header["proto"] in (ICMP, ICMP6) and not header["later_fragment"]:
        source = target = u64(_icmp_class(i64(proto), i64(header["icmp_type"])))
    s_hi = header["src_hi"]
    s_lo = header["src_lo"]
    d_hi = header["dst_hi"]
    d_lo = header["dst_lo"]
    swap = s_hi > d_hi
    if s_hi == d_hi:
        swap = s_lo > d_lo or (s_lo == d_lo and source > target)
    side = 1 if swap else 0
    if swap:
        s_hi, d_hi = d_hi, s_hi
        s_lo, d_lo = d_lo, s_lo
        source, target = target, source
    ports = (source << _SIXTEEN) | target
    digest = flow_hash(table.secrets, s_hi, s_lo, d_hi, d_lo, ports, proto)
    place = find(table, digest, s_hi, s_lo, d_hi, d_lo, ports, proto)
    if place < 0:
        state = table.state[0]
        if state["live"] >= len(table.rows) and not make_room(table):
            state["flows_shed"] += 1
            return
        place = insert(table, digest)
        _set_key(table.rows[place], s_hi, s_lo, d_hi, d_lo, ports, proto)
        _begin(table, place, packet, header, side)
        if _opens(table.rows[place], header, side):
            opening(table, place)
    elif _may_renew(table, table.rows[place], packet["ts"], header["tcp_flags"], side):
        _renew(table, place, packet, header, side)
    _count(table, place, packet, header, side)
    _tap(table, place, packet, header, side, data)


@compiled
def run(
    table: Table, data: Octets, packets: NDArray[np.void], first: int, room: int, header: Any
) -> int:
    """Meter packets[first:] until the end or until `out` or the tap must be drained.

    `room` is the number of bytes that the tap must have left before a packet is taken: 0 on the
    wire, where a full tap sheds. Returns the index of the next packet to take.
    """
    state = table.state[0]
    for i in range(first, len(packets)):
        if state["out"] + EXPORTS_A_PACKET > len(table.out):
            return i
        if state["sweep_at"] >= 0 and not sweep(table):
            return i
        if room > 0 and (
            state["taps"] + TAPS_A_PACKET > len(table.tap_index)
            or state["tap_bytes"] + room > len(table.tap_data)
        ):
            return i
        packet = packets[i]
        start = min(max(i64(packet["at"]), 0), len(data))
        end = min(start + i64(packet["captured"]), len(data))
        header["vlan"] = packet["vlan"]
        wire = i64(packet["wire"])
        found = decode(data, start, end, wire, i64(packet["link"]), header)
        state["packets"] += 1
        state["bytes"] += wire
        tick(table, i64(packet["ts"]))
        if found == FOUND_IP:
            _flow(table, packet, header, data)
        elif found == FOUND_ARP:
            put(table, packet, header, -1, 0, _ARP, data)
        elif found == FOUND_LLDP:
            put(table, packet, header, -1, 0, _LLDP, data)
        elif found == MALFORMED:
            state["malformed"] += 1
        else:
            state["not_ip"] += 1
    return len(packets)
