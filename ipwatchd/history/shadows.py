"""A filter as conditions on the archive: on days in clear, and on keyed days by pseudonyms."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.history.lake import CLEAR, FLOWS, Shadow
from ipwatchd.history.sql import Where, compile_filter
from ipwatchd.records.address import IPNetwork, join, split
from ipwatchd.records.filter import Filter, Term

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipwatchd.history.lake import Conditions
    from ipwatchd.history.pseudonym import Pseudonyms
    from ipwatchd.records.filter import Value

__all__ = ["ADDRESSED", "conditions", "shadow_networks"]

ADDRESSED: Final = frozenset({"addr", "src", "dst", "agent", "list", "name"})
"""Keys that come down to addresses."""
_EITHER: Final = frozenset({"addr", "agent", "list", "name"})
_FEW: Final = 8
"""Addresses up to which a question about either end is asked as two."""
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def conditions(
    query: Filter, resolved: Mapping[Term, Sequence[Value]],
    days: Mapping[str, Pseudonyms | None],
) -> Conditions:  # fmt: skip
    """Return what rows must meet, by day; `days` are the keyed ones.

    Of a day whose key was dropped nobody knows the addresses: it answers no question for one, nor
    for all but one. Raises FilterError for a key that says nothing about flows.
    """
    found: Conditions = {CLEAR: Shadow(_wheres(query, resolved), hosts=_hosts(query, resolved))}
    asks = [term for term in query.terms if term.key in ADDRESSED]
    for day, names in days.items():
        if names is not None:
            hidden = {
                term: shadow_networks(names, resolved.get(term, term.values)) for term in asks
            }
            found[day] = Shadow(_wheres(query, hidden), names, _hosts(query, hidden))
        else:
            found[day] = Shadow([Where("0 = 1")] if asks else found[CLEAR].where)
    return found


def _wheres(query: Filter, resolved: Mapping[Term, Sequence[Value]]) -> list[Where]:
    """Return conditions that no flow meets two of; together they are the filter.

    An address at either end is two: an OR of two columns would hide both from the segments'
    statistics and bloom filters, and every row group would be read.
    """
    ends = [term for term in query.terms if term.key in _EITHER and not term.negated]
    if not ends or len(resolved.get(ends[0], ends[0].values)) > _FEW:
        return [compile_filter(query, FLOWS, "flows", resolved)]
    values = tuple(resolved.get(ends[0], ends[0].values))
    orig, resp, not_orig = (
        Term("src", values),
        Term("dst", values),
        Term("src", values, negated=True),
    )
    # The new terms may equal one that was asked for, which has its own meaning: they go first.
    known = {**resolved, orig: values, resp: values, not_orig: values}
    rest = tuple(term for term in query.terms if term is not ends[0])
    return [
        compile_filter(Filter((*terms, *rest)), FLOWS, "flows", known)
        for terms in ((orig,), (resp, not_orig))
    ]


def _hosts(query: Filter, resolved: Mapping[Term, Sequence[Value]]) -> tuple[tuple[int, int], ...]:
    """Return the few addresses one of which every matching flow has; empty where there are none."""
    for term in query.terms:
        if term.key in ADDRESSED and not term.negated:
            values = resolved.get(term, term.values)
            hosts = [one for one in values if isinstance(one, IPNetwork) and one.num_addresses == 1]
            if 0 < len(hosts) == len(values) <= _FEW:
                return tuple(split(one.network_address) for one in hosts)
    return ()


def shadow_networks(names: Pseudonyms, values: Sequence[Value]) -> list[Value]:
    """Return the networks that stand for networks under a key, in whole columns."""
    networks = [
        _plain(value) for value in values if not isinstance(value, str | int | float | tuple)
    ]
    ends = np.array([split(one.network_address) for one in networks], np.uint64).reshape(-1, 2)
    hi, lo = names.addresses(ends[:, 0], ends[:, 1])
    return [
        ipaddress.ip_network((join(high, low), one.prefixlen), strict=False)
        for one, high, low in zip(networks, hi.tolist(), lo.tolist(), strict=True)
    ]


def _plain(network: IPNetwork) -> IPNetwork:
    """Return an IPv4-mapped network as the IPv4 network that it is."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = ipaddress.IPv4Address(int(network.network_address) & 0xFFFF_FFFF)
        return ipaddress.ip_network((address, network.prefixlen - 96))
    return network
