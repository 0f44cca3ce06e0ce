"""What is decided by data and not by code: taxonomy, impact questions, SOPs, intake, clocks.

The files are shipped under config/. A site's own folder (`[incidents] policy`) is looked at first,
file by file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.incidents.impact import Assessment, parse_assessment
from ipwatchd.incidents.intake.scripts import Script, check_scripts, parse_script
from ipwatchd.incidents.legal.periods import zone
from ipwatchd.incidents.legal.regimes import (
    Client,
    Field,
    Regime,
    check_regimes,
    parse_client,
    parse_fields,
    parse_regime,
)
from ipwatchd.incidents.legal.seat import Seat
from ipwatchd.incidents.sops import Sop, check_sops, parse_sop
from ipwatchd.incidents.taxonomy import Taxonomy, parse_taxonomy
from ipwatchd.incidents.updates import (
    Audience,
    Template,
    check_templates,
    parse_audiences,
    parse_template,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from ipwatchd.config import IncidentSettings

__all__ = ["Policy", "load_policy", "shipped", "site_policy"]

MAX_FILE: Final = 1 << 20
"""Bytes read of one file: a device or a log named by mistake can't fill the memory."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All the data that decides about incidents."""

    taxonomy: Taxonomy
    assessment: Assessment
    sops: tuple[Sop, ...] = ()
    scripts: tuple[Script, ...] = ()
    regimes: tuple[Regime, ...] = ()
    clients: tuple[Client, ...] = ()
    fields: dict[str, Field] = {}
    seat: Seat = Seat()
    templates: tuple[Template, ...] = ()
    audiences: dict[str, Audience] = {}

    def not_in_force(self, day: dt.date) -> list[str]:
        """Return a sentence for each regime and contract that is not applied on a day.

        Of a regime with a file that is in force nothing is said.
        """
        contracts = [one.contract() for one in self.clients]
        every = (*self.regimes, *(one for one in contracts if one))
        covered = {one.id for one in every if not one.validity(day)}
        return [why for one in every if (why := one.validity(day)) and one.id not in covered]

    def script(self, kind: str) -> Script | None:
        """Return the intake script of a kind of report."""
        return next((one for one in self.scripts if one.kind == kind), None)


def shipped() -> Path:
    """Return the folder of the files that came with the program."""
    installed = Path(__file__).parents[1] / "_config"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "config"


@lru_cache(maxsize=4)
def load_policy(own: str = "") -> Policy:
    """Return the policy; ValueError names the file and its fault, OSError an unreadable one."""
    if own and not Path(own).is_dir():
        raise ValueError(f"[incidents] policy = {own!r} is no folder: make it, or leave it empty")
    taxonomy = parse_taxonomy(*_one(own, "taxonomy/rsit.toml"))
    sops = tuple(parse_sop(*file) for file in _all(own, "sops/*.md"))
    check_sops(sops, taxonomy, own or "config/sops")
    scripts = tuple(parse_script(*file) for file in _all(own, "intake/*.toml"))
    check_scripts(scripts, taxonomy, own or "config/intake")
    assessment = parse_assessment(*_one(own, "taxonomy/impact.toml"))
    regimes = tuple(parse_regime(*file) for file in _all(own, "regimes/*.toml"))
    clients = tuple(parse_client(*file) for file in _all(own, "clients/*.toml"))
    fields = parse_fields(*_one(own, "notices/fields.toml"))
    check_regimes(regimes, clients, fields, assessment, taxonomy, own or "config/regimes")
    templates = tuple(parse_template(*file) for file in _all(own, "updates/*.md"))
    audiences = parse_audiences(*_one(own, "updates/audiences.toml"))
    check_templates(templates, audiences, own or "config/updates")
    if own and Path(own, "templates/reports").is_dir():
        from ipwatchd.incidents.review.samples import check_pages

        check_pages(own)
    return Policy(
        taxonomy=taxonomy, sops=sops, scripts=scripts, assessment=assessment, regimes=regimes,
        templates=templates, audiences=audiences,
        clients=clients, fields=fields,
    )  # fmt: skip


def site_policy(settings: IncidentSettings) -> Policy:
    """Return the policy of a site; ValueError names what is wrong."""
    zone(settings.time_zone)
    policy = load_policy(settings.policy)
    known = {one.id for one in policy.regimes}
    for law in settings.laws:
        if law not in known:
            raise ValueError(f"[incidents] laws: {law!r} is no regime: {', '.join(sorted(known))}")
    seat = Seat(
        country=settings.country, zone=settings.time_zone, laws=settings.laws,
        contact=settings.contact,
    )  # fmt: skip
    return msgspec.structs.replace(policy, seat=seat)


def _one(own: str, name: str) -> tuple[bytes, str]:
    """Return the content and the path of a file, the site's own where it has one."""
    path = Path(own, name) if own and Path(own, name).is_file() else shipped() / name
    return _content(path), str(path)


def _all(own: str, pattern: str) -> Iterator[tuple[bytes, str]]:
    """Return the files of a pattern, shipped ones replaced by the site's of the same name."""
    folders = [shipped(), *([Path(own)] if own else [])]
    found = {path.name: path for folder in folders for path in sorted(folder.glob(pattern))}
    for path in found.values():
        yield _content(path), str(path)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"{path} has over {MAX_FILE:,} bytes: is it the right file?")
    return data
