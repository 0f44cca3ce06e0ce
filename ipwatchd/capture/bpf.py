"""Classic BPF (linux/filter.h): the kernel keeps from us what carries no metadata; pure.

Where connection tracking counts, the ring need not see every packet. The filter has no memory: it
knows a message by its port or its first bytes. What only a stream's history would show is lost:
continuations other than those of a ClientHello, certificates of TLS 1.2, what lies in a tunnel.

It also lets through what opens a connection or refuses one, since connection tracking forgets a
packet that a rule drops (openings.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.bpf_payload import HEAD, L4, NUMBER, PROTO, SIZE, sctp, tcp, udp
from ipwatchd.capture.bpf_program import Program

if TYPE_CHECKING:
    from ipwatchd.capture.bpf_program import Instruction

__all__ = ["ETHERNET", "RAW", "metadata_filter", "snap_filter"]

ETHERNET: Final = 1
RAW: Final = 101

_VLAN: Final = (0x8100, 0x88A8, 0x9100)
_EXTENSIONS: Final = (0, 43, 60)
"""IPv6 extension headers whose second byte is their length: hop by hop, routing, destination."""


def snap_filter(snap: int) -> list[Instruction]:
    """Return the program that keeps the first `snap` bytes of every packet."""
    program = Program()
    program.keep(snap)
    return program.assemble()


def metadata_filter(snap: int, link: int = ETHERNET) -> list[Instruction]:
    """Return the program that keeps packets which dissectors want, as (code, jt, jf, k).

    `link` is the LINKTYPE_ of the socket's packets: ETHERNET, or RAW (tunnels, PPP). VLAN tags,
    PPPoE, first fragments of both versions, three IPv6 extension headers.
    """
    program = Program()
    if link == RAW:
        _raw(program)
    else:
        _ethernet(program)
    _ipv4(program)
    _ipv6(program)
    _transport(program)
    udp(program)
    sctp(program)
    tcp(program)
    program.label("accept")
    program.keep(snap)
    program.label("drop")
    program.keep(0)
    return program.assemble()


def _raw(program: Program) -> None:
    program.set_x(0)
    program.byte(0)
    program.and_(0xF0)
    program.goto_if(0x40, "ipv4")
    program.goto_if(0x60, "ipv6")
    program.goto("drop")


def _ethernet(program: Program) -> None:
    """Leave X at the network header. A tag that the kernel did not strip is stepped over."""
    program.set_x(14)
    program.half(12)
    for number in range(2):
        program.goto_unless_any(_VLAN, f"untagged{number}")
        program.half(2, indirect=True)
        program.store(NUMBER)
        program.step(4)
        program.load(NUMBER)
        program.label(f"untagged{number}")
    program.goto_if_any((0x0806, 0x88CC), "accept")
    program.goto_if(0x0800, "ipv4")
    program.goto_if(0x86DD, "ipv6")
    program.goto_unless(0x8864, "drop")
    program.half(6, indirect=True)
    program.store(NUMBER)
    program.step(8)
    program.load(NUMBER)
    program.goto_if(0x0021, "ipv4")
    program.goto_if(0x0057, "ipv6")
    program.goto("drop")


def _ipv4(program: Program) -> None:
    """Leave X at the transport header, its protocol and bytes in scratch memory."""
    program.label("ipv4")
    program.half(6, indirect=True)
    program.goto_if_set(0x1FFF, "drop")
    program.byte(9, indirect=True)
    program.store(PROTO)
    program.half(2, indirect=True)
    program.store(SIZE)
    program.byte(0, indirect=True)
    program.and_(0x0F)
    program.shift_left(2)
    program.store(HEAD)
    _step_over(program)
    program.goto("transport")


def _step_over(program: Program) -> None:
    """Move X, and take from `SIZE`, the length of a header that is in A and `HEAD`."""
    program.add_x()
    program.store(L4)
    program.load(SIZE)
    program.load_x(HEAD)
    program.subtract_x()
    program.store(SIZE)
    program.load_x(L4)


def _ipv6(program: Program) -> None:
    program.label("ipv6")
    program.byte(6, indirect=True)
    program.store(PROTO)
    program.half(4, indirect=True)
    program.store(SIZE)
    program.step(40)
    for number in range(3):
        _extension(program, number)
    program.copy_x()
    program.store(L4)


def _extension(program: Program, number: int) -> None:
    """Step over an extension header where there is one; the rest of the packet is `SIZE` then."""
    program.load(PROTO)
    program.goto_if(44, f"fragment{number}")
    program.goto_unless_any(_EXTENSIONS, f"plain{number}")
    program.byte(1, indirect=True)
    program.add(1)
    program.shift_left(3)
    program.goto(f"over{number}")
    program.label(f"fragment{number}")
    program.half(2, indirect=True)
    program.goto_if_set(0xFFF8, "drop")
    program.and_(0)
    program.add(8)
    program.label(f"over{number}")
    program.store(HEAD)
    program.byte(0, indirect=True)
    program.store(PROTO)
    program.load(HEAD)
    _step_over(program)
    program.label(f"plain{number}")


def _transport(program: Program) -> None:
    program.label("transport")
    program.load(PROTO)
    program.goto_if(17, "udp")
    program.goto_if(6, "tcp")
    program.goto_if(132, "sctp")
    program.goto_unless(58, "drop")
    program.byte(0, indirect=True)
    program.goto_if_any((133, 134, 135, 136, 137), "accept")
    program.goto("drop")
