"""What `ipwatchd check` warns of: a good file that will not do what its writer expects."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipwatchd.capture.choice import Choice
    from ipwatchd.config import Config
    from ipwatchd.incidents.paging.plan import Plan
    from ipwatchd.incidents.policy import Policy

__all__ = ["check_policy", "source", "warnings"]


def warnings(config: Config) -> Iterator[str]:
    """Yield a sentence for each thing that is allowed and probably not meant."""
    yield from _interfaces(config)
    if not config.zones:
        yield "zones: none is named: they follow from the kernel's networks (ipwatchctl zones)"
    for name, path in msgspec.structs.asdict(config.geo).items():
        if isinstance(path, str) and path and not Path(path).is_file():
            yield f"geo.{name}: {path} is not there: addresses will have no place"
    if config.firewall.mode == "enforce" and not config.firewall.management:
        yield "firewall.management: is empty while enforcing: name the networks admins come from"
    if config.uplink.url.startswith("http://"):
        yield "uplink.url: is not encrypted: use https outside of a lab"
    if config.uplink.url and not config.uplink.token_file:
        yield "uplink.token_file: is empty: the centre will refuse this site"
    yield from _escalation(config)
    yield from _roster(config.site.roster)
    yield from _log_rules(config.logs.rules)
    for path in config.logs.files:
        if not Path(path).exists():
            yield f"logs.files: {path} is not there yet: it is read as soon as it is"


def _log_rules(folder: str) -> Iterator[str]:
    from ipwatchd.logs.ruleset import load_rules

    try:
        load_rules(folder)
    except (ValueError, OSError) as error:
        yield f"logs.rules: {error}"


def check_policy(config: Config) -> None:
    """Raise ValueError or OSError for services, a policy folder or a plan that can't be used."""
    from ipwatchd.incidents.paging.letters import check_stakeholders
    from ipwatchd.incidents.paging.plan_file import load_plan
    from ipwatchd.incidents.policy import site_policy
    from ipwatchd.services import services
    from ipwatchd.whereabouts import Around, in_force

    # Zones that follow from the kernel have the same names wherever this is checked.
    services(in_force(config, Around()))

    policy = site_policy(config.incidents)
    if config.escalation.plan:
        check_stakeholders(load_plan(config.escalation.plan), policy.audiences)


def _escalation(config: Config) -> Iterator[str]:
    """Yield regimes that ended, gaps of schedules, and pages that go nowhere."""
    import time

    from ipwatchd.incidents.legal.periods import moment
    from ipwatchd.incidents.paging.plan_file import load_plan
    from ipwatchd.incidents.paging.plan_file import warnings as of_plan
    from ipwatchd.incidents.policy import site_policy

    policy = site_policy(config.incidents)
    gone = policy.not_in_force(moment(time.time(), policy.seat.zone).date())
    yield from (why for why in gone if " ended on " in why)
    if not config.escalation.plan:
        if config.reports.mail:
            yield "reports.mail: nobody is mailed without [escalation] plan and its [stakeholders]"
        return
    if not config.incidents.country:
        yield "incidents.country: is empty: laws of the site's own country are not applied"
    plan = load_plan(config.escalation.plan)
    yield from of_plan(plan, time.time())
    for one in plan.policies:
        for kind in one.match.classes:
            if kind not in policy.taxonomy.types():
                yield f"escalation policy {one.id}: class {kind!r} is none of the taxonomy"
    yield from _channels(config, plan)
    yield from _readers(config, plan, policy)


def _channels(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what keeps a channel's pages from leaving, or the answers to them from coming in."""
    for name, channel in plan.channels.items():
        for path in (channel.password_file, channel.secret_file, channel.url_file, channel.ca_file):
            if path and not Path(path).is_file():
                yield f"channel {name}: {path} is not there: its pages will not leave"
        if channel.reply_to and not (config.intake.maildir or config.intake.lmtp):
            yield f"channel {name}: reply_to: no [intake] maildir or lmtp takes the answers"


def _readers(config: Config, plan: Plan, policy: Policy) -> Iterator[str]:
    """Yield who is named for reports and may not be handed them, or is not on file."""
    from ipwatchd.incidents.paging.letters import may_read_all

    for name in config.reports.mail:
        if name not in plan.stakeholders:
            yield f"reports.mail: {name!r} is none of the plan's [stakeholders]"
        elif why := may_read_all(config.reports.tlp, plan.stakeholders[name], policy.audiences):
            yield f"reports.mail: {name} gets none: {why}"


def _roster(path: str) -> Iterator[str]:
    if path:
        from ipwatchd.enrich.roster import load_roster

        try:
            yield from (f"site.roster: {fault}" for fault in load_roster(Path(path)).faults)
        except (ValueError, OSError) as error:
            yield f"site.roster: {error}"


def _interfaces(config: Config) -> Iterator[str]:
    chosen = source(config)
    if chosen.source == "none":
        return
    if not config.capture.interfaces and chosen.source == "ring":
        yield "capture.interfaces: is empty: the daemon will not start without one"
    elif not config.capture.interfaces:
        yield (
            "capture.interfaces: is empty: connection tracking gives flows, without names and "
            "without what a firewall drops"
        )
    there = {name for _, name in socket.if_nameindex()}
    known = ", ".join(sorted(there))
    for name in config.capture.interfaces:
        if name not in there:
            yield f"capture.interfaces: {name} is not on this machine (it has {known})"


def source(config: Config) -> Choice:
    """Return where flows would come from on this machine now, and why."""
    from ipwatchd.capture.choice import choose

    return choose(config.capture, tracked=config.firewall.mode != "off")
