"""Laws, standards and contracts as data: who must tell whom what, and by when (config/regimes/).

A file is one regime of one version, with its source and the days between which it is in force. A
client's contract is a file of the same kind (`clients/NAME.toml`): its duties are owed to the
client, and `laws` names the regimes that its data is under. Pure.
"""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from ipwatchd.incidents.legal.periods import Period, moment, parse_period, zone

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ipwatchd.incidents.impact import Assessment
    from ipwatchd.incidents.taxonomy import Taxonomy

__all__ = [
    "DERIVED", "Bounds", "Client", "Duty", "Field", "Regime", "When", "check_regimes", "in_force",
    "parse_client", "parse_fields", "parse_regime",
]  # fmt: skip

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
DERIVED: Final = ("breach", "class", "priority", "people", "site_country", "client_country",
                  "listed", "client_role")  # fmt: skip
"""What conditions may ask beside the impact questions (`applies.facts_of`)."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is an error."""


class Bounds(_Table, frozen=True):
    """Fits a range whose upper end lies in these bounds."""

    at_least: int = 0
    under: int = 1 << 60


When = dict[str, tuple[str, ...] | Bounds]
"""fact → answers of which one must be given; every fact of it must fit. `@name` is a group."""


class Field(_Table, frozen=True):
    """Something that a notice must say. `source` is what fills it where nobody wrote it."""

    id: str
    text: str
    source: Literal[
        "", "title", "nature", "data", "subjects", "records", "countries", "aware", "happened",
        "class", "measures", "contact", "site", "client", "malicious", "cross_border",
        "indicators", "cause", "priority",
    ] = ""  # fmt: skip


class Duty(_Table, frozen=True):
    """Who must be told, within what, and what the notice must say.

    `within` counts from `start`: "aware", "year-end" (of the year of awareness), or "met:DUTY" of
    the same regime. Empty, no hours are set: `aim` is then what the house wants to keep. `phased`
    allows a first notice that lacks something.
    """

    id: str
    title: str
    to: str
    cite: str
    fields: tuple[str, ...]
    within: str = ""
    aim: str = ""
    start: Annotated[str, Meta(pattern="^(aware|year-end|met:[a-z0-9-]+)$")] = "aware"
    phased: bool = False
    on_request: bool = False
    reasons_if_late: bool = False
    note: str = ""
    when: tuple[When, ...] = ({},)

    @property
    def period(self) -> Period | None:
        """Return how long it may take, None where neither law nor house says."""
        text = self.within or self.aim
        return parse_period(text) if text else None


class Regime(_Table, frozen=True):
    """One law, standard or contract. It applies where one of `applies` fits."""

    id: str
    name: str
    source: str
    checked: dt.date
    valid_from: dt.date
    duties: tuple[Duty, ...] = msgspec.field(name="duty")
    valid_to: dt.date | None = None
    version: str = ""
    url: str = ""
    kind: Literal["law", "standard", "contract"] = "law"
    zone: str = ""
    note: str = ""
    groups: dict[str, tuple[str, ...]] = {}
    holidays: tuple[dt.date, ...] = ()
    applies: tuple[When, ...] = ()

    def in_force(self, at: float, otherwise: str) -> bool:
        """Tell whether it is in force at a time, by the day of its zone, else of another."""
        return not self.validity(moment(at, self.zone or otherwise).date())

    def validity(self, day: dt.date) -> str:
        """Return why it is not applied on a day, "" where it is in force."""
        if day < self.valid_from:
            return f"{self.id}: is in force from {self.valid_from} on, and not applied before"
        if self.valid_to and day > self.valid_to:
            return f"{self.id}: ended on {self.valid_to} and is not applied: replace its file"
        return ""


class Client(_Table, frozen=True):
    """A client: where it is, what its data is under, what its contract wants told."""

    id: str
    name: str
    country: str = ""
    laws: tuple[str, ...] = ()
    role: Literal["", "controller", "processor"] = "processor"
    contact: str = ""
    zone: str = ""
    aliases: tuple[str, ...] = ()
    source: str = ""
    checked: dt.date | None = None
    valid_from: dt.date = dt.date(2000, 1, 1)
    valid_to: dt.date | None = None
    holidays: tuple[dt.date, ...] = ()
    duties: tuple[Duty, ...] = msgspec.field(name="duty", default=())

    def is_named(self, text: str) -> bool:
        """Tell whether a text names this client."""
        word = text.strip().casefold()
        return word in {one.casefold() for one in (self.id, self.name, *self.aliases)}

    def contract(self) -> Regime | None:
        """Return its contract as a regime, None where it sets no duty."""
        if not self.duties:
            return None
        return Regime(
            id=f"client-{self.id}", name=f"contract with {self.name}",
            source=self.source or "contract", checked=self.checked or self.valid_from,
            valid_from=self.valid_from, valid_to=self.valid_to, kind="contract", zone=self.zone,
            holidays=self.holidays, duties=self.duties, applies=({},),
        )  # fmt: skip


def in_force(regimes: Iterable[Regime], times: Sequence[float], zone_name: str) -> list[Regime]:
    """Return of each regime's files the one that is in force at the first time that has one."""
    found: dict[str, Regime] = {}
    files = list(regimes)
    for at in times:
        for one in files:
            if one.id not in found and one.in_force(at, zone_name):
                found[one.id] = one
    return [one for one in files if found.get(one.id) is one]


def parse_regime(data: bytes, where: str) -> Regime:
    """Return the regime of a TOML file; ValueError says what is wrong in `where`."""
    regime = _decoded(data, where, Regime)
    if not regime.applies:
        raise ValueError(f"{where}: says nowhere when it applies: add an [[applies]] table")
    if regime.valid_to and regime.valid_to < regime.valid_from:
        raise ValueError(f"{where}: ends on {regime.valid_to}, before it begins")
    _sound(regime.id, regime.duties, regime.zone, where)
    return regime


def parse_client(data: bytes, where: str) -> Client:
    """Return the client of a TOML file; ValueError says what is wrong in `where`."""
    client = _decoded(data, where, Client)
    _sound(client.id, client.duties, client.zone, where)
    return client


class _Fields(_Table, frozen=True):
    fields: tuple[Field, ...] = msgspec.field(name="field")


def parse_fields(data: bytes, where: str) -> dict[str, Field]:
    """Return the fields of notices by id; ValueError says what is wrong in `where`."""
    found = _decoded(data, where, _Fields).fields
    fields = {one.id: one for one in found}
    if len(fields) != len(found):
        raise ValueError(f"{where}: a field is there twice")
    return fields


_Kind = TypeVar("_Kind")


def _decoded(data: bytes, where: str, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.toml.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {error}") from error


def _sound(identity: str, duties: Iterable[Duty], zone_name: str, where: str) -> None:
    """Raise ValueError where ids, periods or the zone of a file are none."""
    ids: set[str] = set()
    try:
        if zone_name:
            zone(zone_name)
        for duty in duties:
            _check_duty(identity, duty, ids)
            ids.add(duty.id)
        for duty in duties:
            _check_start(duty, ids)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _check_duty(identity: str, duty: Duty, ids: Collection[str]) -> None:
    for one in (identity, duty.id):
        if not _ID.fullmatch(one):
            raise ValueError(f"{one!r} is no id: small letters, digits and hyphens")
    if duty.id in ids:
        raise ValueError(f"duty {duty.id} is there twice")
    for text in (duty.within, duty.aim):
        if text:
            parse_period(text)
    if duty.within and duty.aim:
        raise ValueError(f"duty {duty.id}: within is set, so leave aim out")


def _check_start(duty: Duty, ids: Collection[str]) -> None:
    before = duty.start.removeprefix("met:")
    if before != duty.start and (before not in ids or before == duty.id):
        raise ValueError(f"duty {duty.id}: starts with {before}, which is no duty of it")


def check_regimes(
    regimes: Iterable[Regime], clients: Iterable[Client], fields: Mapping[str, Field],
    assessment: Assessment, taxonomy: Taxonomy, where: str,
) -> None:  # fmt: skip
    """Raise ValueError where a file names a field, fact, answer, class or law that is none."""
    regimes = _one_at_a_time(regimes, where)
    known = {one.id for one in regimes}
    for client in clients:
        for law in client.laws:
            if law not in known:
                raise ValueError(
                    f"{where}: client {client.id} is under {law!r}: {', '.join(sorted(known))}"
                )
    contracts = [one.contract() for one in clients]
    for regime in (*regimes, *(one for one in contracts if one)):
        for duty in regime.duties:
            lost = [name for name in duty.fields if name not in fields]
            if lost:
                raise ValueError(
                    f"{where}: {regime.id} duty {duty.id}: no field {lost[0]!r} in fields.toml"
                )
        for when in (*regime.applies, *(one for duty in regime.duties for one in duty.when)):
            for name, wanted in when.items():
                why = _flaw(name, wanted, regime, assessment, taxonomy)
                if why:
                    raise ValueError(f"{where}: {regime.id}: {why}")


def _one_at_a_time(regimes: Iterable[Regime], where: str) -> list[Regime]:
    """Return regimes in order; ValueError where two files of one are in force on the same day."""
    ordered = sorted(regimes, key=lambda one: (one.id, one.valid_from))
    for older, newer in pairwise(ordered):
        if older.id == newer.id and (older.valid_to is None or older.valid_to >= newer.valid_from):
            raise ValueError(
                f"{where}: {newer.id} is there twice for {newer.valid_from}: end the older one "
                "the day before (valid_to)"
            )
    return ordered


def _flaw(
    name: str, wanted: object, regime: Regime, assessment: Assessment, taxonomy: Taxonomy
) -> str:
    """Return what is wrong with a condition, "" where nothing is."""
    question = next((one for one in assessment.questions if one.id == name), None)
    if question is None and name not in DERIVED:
        return f"asks {name!r}, which is no question of impact.toml nor {', '.join(DERIVED)}"
    if isinstance(wanted, Bounds):
        return "" if question and question.kind == "range" else f"{name} is no range"
    words = [str(one) for one in wanted] if isinstance(wanted, tuple) else []
    for word in words:
        if name == "class":
            classes = {f"@{one.id}" for one in taxonomy.classes} | taxonomy.types().keys()
            if word not in classes:
                return f"class {word!r} is none of the taxonomy"
        elif name in {"people", "site_country", "client_country"}:
            if word.startswith("@") and word[1:] not in regime.groups:
                return f"{word!r} is no group of its [groups]"
        elif question is not None and question.choices:
            answers = {one.id for one in question.choices}
            answers |= {f"@{group}" for one in question.choices for group in one.groups}
            if word not in answers:
                return f"{name} has no answer {word!r}"
    return ""
