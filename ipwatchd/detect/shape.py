"""What a source's failed contacts look like together: ports in line, hosts in line, a block.

Pure. A target is one number: 40 bits of the responder's hash, the protocol, the port. Benign
trouble leaves other shapes: a client of a dead server fails at one target again and again, a peer
to peer client at a port of its own for each host, and whoever resolved a name was sent there.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.detect.batch import address_hash
from ipwatchd.detect.contact import TCP, UDP, odd_protocols, strays

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

__all__ = ["Shape", "host_of", "port_of", "probed", "proto_of", "shape", "targets"]

# Jung et al. take 0.8 for the share of first contacts that succeed for the benign and 0.2 for
# scanners: two failures for one success lie clearly on the scanner's side of the middle.
_FAILURES_A_SUCCESS: Final = 2
_UDP_FACTOR: Final = 2  # silence is a usual answer in UDP: it takes twice as many
_BLOCK_FACTOR: Final = 3  # targets for each of the fewer of hosts and ports; a scatter has one


# Pseudo protocols (RFC 3692 sets both numbers aside), for what makes a scan of one host alone:
_STRAY: Final = 254  # TCP segments of no connection
_ODD: Final = 253  # IP protocols, in the place of the port


class Shape(NamedTuple):
    """A scan: `kind` vertical, horizontal or block; its hosts and ports; `value` targets in it.

    `succeeded` are targets in the same line that did talk.
    """

    kind: str
    proto: int
    hosts: int
    ports: tuple[int, ...]
    value: int
    succeeded: int


def targets(flows: NDArray[np.void], hosts: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:
    """Return each flow's target as a number; `hosts` are the responders' hashes where known."""
    if hosts is None:
        hosts = address_hash(flows["resp_hi"], flows["resp_lo"])
    host = hosts & np.uint64(0xFFFF_FFFF_FF00_0000)
    port = flows["resp_port"].astype(np.uint64)
    proto = flows["proto"].astype(np.uint64)
    return host + proto * np.uint64(1 << 16) + port


def probed(
    flows: NDArray[np.void], numbers: NDArray[np.uint64], failed: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Return what failed with strays and odd protocols added, and the targets with these apart."""
    stray, odd = strays(flows), odd_protocols(flows)
    stray &= ~failed
    if not (stray.any() or odd.any()):
        return failed, numbers
    host = numbers & np.uint64(0xFFFF_FFFF_FF00_0000)
    port = numbers & np.uint64(0xFFFF)
    proto = flows["proto"].astype(np.uint64)
    numbers = np.where(stray, host + np.uint64(_STRAY << 16) + port, numbers)
    numbers = np.where(odd, host + np.uint64(_ODD << 16) + proto, numbers)
    return failed | stray | odd, numbers


def host_of(target: int) -> int:
    """Return the hash of a target's host."""
    return target >> 24


def proto_of(target: int) -> int:
    """Return a target's IP protocol."""
    return target >> 16 & 0xFF


def port_of(target: int) -> int:
    """Return a target's port."""
    return target & 0xFFFF


def shape(
    failed: AbstractSet[int], succeeded: AbstractSet[int], named: AbstractSet[int], least: int
) -> Shape | None:
    """Return the scan that failed targets make, or None; `named` are hosts that DNS told of."""
    failed = failed - succeeded
    if len(failed) < least:
        return None
    return (
        _vertical(failed, succeeded, least)
        or _horizontal(failed, succeeded, named, least)
        or _block(failed, succeeded, named, least)
    )


def _enough(failures: int, successes: int, least: int, proto: int) -> bool:
    needed = least * _UDP_FACTOR if proto == UDP else least
    return failures >= needed and failures >= _FAILURES_A_SUCCESS * successes


def _vertical(failed: AbstractSet[int], succeeded: AbstractSet[int], least: int) -> Shape | None:
    """Many ports of one host (target without its port)."""
    ports = Counter(target >> 16 for target in failed)
    talked = Counter(target >> 16 for target in succeeded)
    for line, count in ports.most_common():
        if count < least:
            return None
        if _enough(count, talked[line], least, line & 0xFF):
            found = sorted(port_of(target) for target in failed if target >> 16 == line)
            proto = {_STRAY: TCP, _ODD: 0}.get(line & 0xFF, line & 0xFF)
            return Shape("vertical", proto, 1, tuple(found), count, talked[line])
    return None


def _horizontal(
    failed: AbstractSet[int], succeeded: AbstractSet[int], named: AbstractSet[int], least: int
) -> Shape | None:
    """One port of many hosts (target without its host)."""
    hosts = Counter(
        target & 0xFF_FFFF
        for target in failed
        if host_of(target) not in named and proto_of(target) < _ODD
    )
    talked = Counter(target & 0xFF_FFFF for target in succeeded)
    for line, count in hosts.most_common():
        if count < least:
            return None
        if _enough(count, talked[line], least, line >> 16):
            return Shape("horizontal", line >> 16, count, (line & 0xFFFF,), count, talked[line])
    return None


def _block(
    failed: AbstractSet[int], succeeded: AbstractSet[int], named: AbstractSet[int], least: int
) -> Shape | None:
    """Several ports of several hosts, most of them tried on most."""
    unnamed = [
        target
        for target in failed
        if host_of(target) not in named and proto_of(target) != UDP and proto_of(target) < _ODD
    ]
    hosts = {host_of(target) for target in unnamed}
    ports = {target & 0xFF_FFFF for target in unnamed}
    if len(unnamed) < _BLOCK_FACTOR * min(len(hosts), len(ports)):
        return None
    if not _enough(len(unnamed), len(succeeded), least, 0):
        return None
    found = tuple(sorted(port & 0xFFFF for port in ports))
    return Shape("block", proto_of(unnamed[0]), len(hosts), found, len(unnamed), len(succeeded))
