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

__all__ = ["PRECEDENCE", "Rule", "Why", "considered", "explain", "explain_service"]

PRECEDENCE: Final = (
    "management networks always pass; then an allow entry lets pass; then a deny entry stops; "
    "what no entry names passes. Within a list the narrowest entry is named first, and the latest "
    "end counts. A service asks first: its own allow, then its own deny; where only the allowed "
    "may use it, an allow entry of the service or the site must name who does. What passes there "
    "must pass the site's lists as well."
)


class Rule(msgspec.Struct, kw_only=True, frozen=True):
    """One rule that was asked, in the order they are: what it says, and the entries behind it.

    `verdict` is passes, goes on, stopped, or silent where it does not hold the address.
    """

    rule: str
    verdict: str
    text: str
    entries: tuple[ListEntry, ...] = ()


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
    rules: tuple[Rule, ...] = ()
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


def considered(
    address: IPAddress, management: Iterable[str], site: Iterable[ListEntry], *, now: float,
    service: ServicePolicy | None = None, own: Iterable[ListEntry] = (),
) -> tuple[Rule, ...]:  # fmt: skip
    """Return every rule over an address in the order they are asked, also those after the verdict.

    `own` are the service's entries that hold the address, `site` those of the whole site.
    """
    managed = next((one for one in management if _holds(one, address)), "")
    rules = [_rule("management", "passes", "it always passes", (), managed)]
    ours = _by_list(own, now)
    sites = _by_list(site, now)
    if service is not None:
        name = f"service {service.name}"
        rules.append(_rule(f"{name}: allow", "goes on", "the site decides", ours["allow"]))
        rules.append(_rule(f"{name}: deny", "stopped", "", ours["deny"]))
        if service.only_allowed:
            allowed = bool(ours["allow"] or sites["allow"])
            rules.append(Rule(
                rule=f"{name}: only the allowed", verdict="goes on" if allowed else "stopped",
                text="an allow entry names it" if allowed else "no allow entry names it",
            ))  # fmt: skip
    rules.append(_rule("site: allow", "passes", "", sites["allow"]))
    rules.append(_rule("site: deny", "stopped", "", sites["deny"]))
    rules.append(Rule(rule="else", verdict="passes", text="what no rule stopped passes"))
    return tuple(rules)


def _by_list(entries: Iterable[ListEntry], now: float) -> dict[str, tuple[ListEntry, ...]]:
    standing = sorted((one for one in entries if _stands(one, now)), key=_precedence)
    return {
        name: tuple(one for one in standing if one.list == name) for name in ("allow", "deny")
    }  # fmt: skip


def _rule(
    rule: str, verdict: str, then: str, entries: tuple[ListEntry, ...], network: str = ""
) -> Rule:
    """Return a rule that speaks where an entry or a network holds the address."""
    if network:
        return Rule(rule=rule, verdict=verdict, text=f"{network} holds it: {then}")
    if not entries:
        return Rule(rule=rule, verdict="silent", text="nothing here holds it")
    first = entries[0]
    more = f", and {len(entries) - 1} more" if len(entries) > 1 else ""
    text = f"{first.network} {until(first.expires)} ({first.source}: {first.reason}){more}"
    return Rule(
        rule=rule, verdict=verdict, text=f"{text}: {then}" if then else text, entries=entries
    )


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
