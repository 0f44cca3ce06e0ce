"""Why an address may or may not pass: the precedence, and the entry that decides. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.lists.admit import until
from ipwatchd.lists.compile import network_ranges
from ipwatchd.records.entry import ListEntry  # noqa: TC001 (msgspec resolves it at run time)
from ipwatchd.records.network import is_selector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.records.address import IPAddress
    from ipwatchd.records.policy import ServicePolicy

__all__ = ["PRECEDENCE", "Why", "explain", "explain_service"]

PRECEDENCE: Final = (
    "management networks always pass; then an allow entry lets pass; then a deny entry stops; "
    "what no entry names passes. Within a list the narrowest entry is named first, and the latest "
    "end counts. A service asks first: its own allow, then its own deny; where only the allowed "
    "may use it, an allow entry of the service or the site must name who does. What passes there "
    "must pass the site's lists as well."
)


class Why(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The verdict on an address: `verdict` is management, allow, deny or none.

    `decided_by` is the entry that decides, `network` what it or the config names, `also` the other
    entries that hold the address, in the order of precedence.
    """

    address: str
    verdict: str
    text: str
    network: str = ""
    decided_by: ListEntry | None = None
    also: tuple[ListEntry, ...] = ()
    precedence: str = PRECEDENCE


def explain(
    address: IPAddress, management: Iterable[str], entries: Iterable[ListEntry], *, now: float
) -> Why:
    """Return the verdict on an address from the entries that hold it."""
    holding = sorted(
        (entry for entry in entries if _stands(entry, now)),
        key=_precedence,
    )
    name = str(address)
    for network in management:
        if _holds(network, address):
            text = f"{name} passes: {network} is a management network"
            return Why(
                address=name, verdict="management", text=text, network=network, also=tuple(holding)
            )
    if not holding:
        return Why(address=name, verdict="none", text=f"{name} passes: no entry names it")
    first = holding[0]
    effect = "passes: allowed" if first.list == "allow" else "is denied:"
    text = (
        f"{name} {effect} {first.network} {until(first.expires)} by {first.author} "
        f"({first.source}): {first.reason}"
    )
    return Why(
        address=name, verdict=first.list, text=text, network=first.network, decided_by=first,
        also=tuple(holding[1:]),
    )  # fmt: skip


def explain_service(
    service: ServicePolicy, site: Why, entries: Iterable[ListEntry], *, now: float
) -> Why:
    """Return the verdict on an address that wants a service, from its own entries and the site's.

    `verdict` only-allowed is a stop because nobody allowed the address.
    """
    if site.verdict == "management":
        return site
    own = sorted((entry for entry in entries if _stands(entry, now)), key=_precedence)
    if own and own[0].list == "deny":
        first = own[0]
        text = (
            f"{site.address} is denied {service.name}: {first.network} {until(first.expires)} by "
            f"{first.author} ({first.source}): {first.reason}"
        )
        return Why(
            address=site.address, verdict="deny", text=text, network=first.network,
            decided_by=first, also=tuple(own[1:]),
        )  # fmt: skip
    if own or site.verdict == "deny":
        # Allowed to use the service is not yet allowed in.
        if own and site.verdict == "none":
            text = f"{site.address} passes: {own[0].network} is allowed {service.name}"
            return Why(
                address=site.address, verdict="allow", text=text, network=own[0].network,
                decided_by=own[0], also=tuple(own[1:]),
            )  # fmt: skip
        return site
    if service.only_allowed and site.verdict != "allow":
        text = f"{site.address} is denied {service.name}: no entry allows it"
        return Why(address=site.address, verdict="only-allowed", text=text)
    return site


def _stands(entry: ListEntry, now: float) -> bool:
    return not entry.expires or entry.expires > now


def _holds(network: str, address: IPAddress) -> bool:
    return address in ipaddress.ip_network(network)


def _precedence(entry: ListEntry) -> tuple[bool, int, float]:
    """Allow before deny, narrow before wide, late before early (0 is never)."""
    return (
        entry.list != "allow", _size(entry.network),
        -entry.expires if entry.expires else float("-inf"),
    )  # fmt: skip


def _size(network: str) -> int:
    """Return how many addresses it names; a selector is wider than any network."""
    if is_selector(network):
        return 1 << 129
    [(first_hi, first_lo, last_hi, last_lo, _)] = network_ranges([network]).tolist()
    size: int = (last_hi - first_hi << 64) + last_lo - first_lo
    return size
