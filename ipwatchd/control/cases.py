"""Calls that take reports in, respond to incidents, and hand a case out."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from ipwatchd.control.call import NotFoundError
from ipwatchd.control.lists import changed, effect
from ipwatchd.incidents.bodies import State
from ipwatchd.incidents.response import OFFICER, denial, is_network, proposals
from ipwatchd.lists import NoEntryError
from ipwatchd.records.duration import duration_text
from ipwatchd.records.incident import Attachment, Receipt, Report
from ipwatchd.records.network import canonical

if TYPE_CHECKING:
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.records.incident import Incident

__all__ = ["export", "import_cases", "piece", "proposed", "report", "respond", "undo"]

PIECE: Final = 4 << 20
"""Bytes of a file handed out at a time."""
_LATEST: Final = 4e9
"""The year 2096: a time that no calendar has could not be shown, nor the list that it is in."""
_OTHERS: Final = ("response:", "feed:", "central")
"""Sources of entries that no person of the site made."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    data: Annotated[str, Meta(max_length=7_000_000)]
    """base64"""
    type: Annotated[str, Meta(max_length=100)] = ""


class _Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=100_000)] = ""
    subject: Annotated[str, Meta(max_length=200)] = ""
    reporter: Annotated[str, Meta(max_length=200)] = ""
    channel: Annotated[str, Meta(max_length=20)] = "call"
    language: Annotated[str, Meta(max_length=20)] = ""
    kind: Annotated[str, Meta(max_length=64)] = ""
    role: Annotated[str, Meta(pattern="^(customer|employee|client|system)?$")] = ""
    answers: Annotated[dict[str, str], Meta(max_length=50)] = {}
    attachments: Annotated[tuple[_File, ...], Meta(max_length=5)] = ()


class _Case(msgspec.Struct, frozen=True):
    """A row of an old case."""

    title: str
    opened: Annotated[float, Meta(ge=0, le=_LATEST)]
    text: str = ""
    subject: str = ""
    reporter: str = ""
    language: str = ""
    resolution: str = ""
    closed: bool = False


class _Respond(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Annotated[str, Meta(pattern="^(deny|watch|notify)$")]
    seconds: Annotated[float, Meta(ge=0, le=30 * 86400)] = 3600.0
    subject: Annotated[str, Meta(max_length=200)] = ""
    reason: Annotated[str, Meta(max_length=500)] = ""


async def report(house: House, call: Call) -> dict[str, Any]:
    """Answer POST reports: kept as received; an incident is opened for it."""
    asked = msgspec.convert(call.body, _Report)
    casework = house.stores.casework
    script = house.stores.incidents.policy.script(asked.kind) if asked.kind else None
    if asked.kind and script is None:
        kinds = ", ".join(one.kind for one in house.stores.incidents.policy.scripts)
        raise ValueError(f"{asked.kind!r} is no kind of report: {kinds}")
    answers = script.answers(asked.answers) if script else {}
    text = asked.text.strip() and asked.text
    if not text and script:
        text = "\n".join(
            [script.title.get(asked.language) or script.title["en"], *answers.values()]
        )
    if not text:
        raise ValueError("text is empty: what was said?")
    kept = Report(
        id=secrets.token_hex(8), received=call.now, channel=asked.channel,
        reporter=asked.reporter or call.peer.name, text=text, language=asked.language,
        subject=asked.subject, kind=asked.kind, answers=answers, role=asked.role,
        attachments=tuple(_kept(house, one) for one in asked.attachments),
    )  # fmt: skip
    incident = await casework.take(kept, call.now)
    if house.live is None:
        await casework.work(call.now)
        incident = await house.stores.incidents.incident(incident.id) or incident
    return _built(incident)


def _kept(house: House, file: _File) -> Attachment:
    try:
        data = base64.b64decode(file.data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{file.name}: is no base64: {error}") from error
    digest = house.stores.casework.reports.put(data)
    return Attachment(name=file.name, sha256=digest, bytes=len(data), type=file.type)


async def import_cases(house: House, call: Call) -> dict[str, Any]:
    """Answer POST cases: old cases become incidents, closed where they were."""
    rows = msgspec.convert(call.body.get("rows"), Annotated[list[_Case], Meta(max_length=10_000)])
    incidents = house.stores.incidents
    ids = []
    for number, row in enumerate(rows):
        key = f"{row.opened}|{row.title}|{row.text}|{number}"
        kept = Report(
            id=f"import-{secrets.token_hex(8)}", received=row.opened, channel="import",
            reporter=row.reporter or call.peer.name, text=f"{row.title}\n{row.text}".strip(),
            language=row.language, subject=row.subject, answers={"source": key[:200]},
        )  # fmt: skip
        incident = await incidents.report(kept, call.now)
        if row.closed:
            body = State(
                action="import", before="NEW", after="CLOSED", reason="an old case",
                resolution=row.resolution or "imported as closed",
            )  # fmt: skip
            await incidents.append(incident.id, "state", body, actor=call.peer.name, now=call.now)
        ids.append(incident.id)
    return {"imported": len(ids), "ids": ids}


async def proposed(house: House, call: Call) -> list[dict[str, Any]]:
    """Answer GET incidents/ID/responses: what could be done now, and what was done."""
    incident = await _there(house, call)
    place = house.stores.enricher.place(incident.subject) if denial(incident) else None
    zone = place.zone if place else ""
    plan = house.live.pager.plan if house.live and house.live.pager else None
    return [msgspec.to_builtins(one) for one in proposals(incident, zone, plan)]


async def respond(house: House, call: Call) -> dict[str, Any]:
    """Answer POST incidents/ID/respond: carry a response out and keep its receipt."""
    asked = msgspec.convert(call.body, _Respond)
    incident = await _there(house, call)
    subject = asked.subject or (OFFICER if asked.kind == "notify" else incident.subject)
    if asked.kind == "notify" and house.live and house.live.pager:
        sent = await house.live.pager.post.notify(
            incident, subject, asked.reason, actor=call.peer.name, now=call.now
        )
        if sent:
            return _built(sent)
    if asked.kind == "watch" and not is_network(subject):
        raise ValueError(f"{subject!r} is no address to watch: name one (--subject ADDRESS)")
    receipt = Receipt(
        id=f"r{len(incident.receipts) + 1}-{secrets.token_hex(3)}", kind=asked.kind,
        subject=subject, time=call.now, by=call.peer.name,
        expires=call.now + asked.seconds if asked.seconds else 0.0,
    )  # fmt: skip
    text = asked.reason or f"{asked.kind} {subject}"
    if asked.kind == "notify":
        # The plan names nobody so: it is written down that somebody told them.
        text = f"told the {subject}{': ' * bool(asked.reason)}{asked.reason} (nothing was sent)"
    if asked.kind == "deny":
        text = await _deny(house, call, incident, receipt, asked)
    receipt = msgspec.structs.replace(receipt, text=text)
    after = await house.stores.incidents.act(
        incident.id, "response", actor=call.peer.name, reason=text, now=call.now,
        details={"receipt": receipt},
    )  # fmt: skip
    return _built(after)


async def _deny(
    house: House, call: Call, incident: Incident, receipt: Receipt, asked: _Respond
) -> str:
    if not asked.seconds:
        call.need_role("admin")
    change = await house.stores.lists.add(
        "deny", receipt.subject, reason=f"{asked.reason or incident.title} ({incident.id})",
        author=call.peer.name, source=f"response:{incident.rule}", now=call.now,
        expires=receipt.expires, ticket=incident.id,
    )  # fmt: skip
    await changed(house, "deny", change.entry, "add", call)
    span = f" for {duration_text(asked.seconds)}" if asked.seconds else ""
    return f"denied {receipt.subject}{span}{effect(house)}"


async def undo(house: House, call: Call) -> dict[str, Any]:
    """Answer POST incidents/ID/undo: take the newest response back, or the one named."""
    incident = await _there(house, call)
    wanted = str(call.body.get("receipt") or "")
    reason = str(call.body.get("reason") or "")[:500] or f"response to {incident.id} taken back"
    standing = [one for one in incident.receipts if not one.undone and wanted in {"", one.id}]
    if not standing:
        raise NotFoundError(f"{incident.id} has no response in force{f' {wanted}' * bool(wanted)}")
    receipt = standing[-1]
    if receipt.kind == "deny" and not (receipt.expires and receipt.expires <= call.now):
        reason += await _release(house, call, receipt.subject, reason)
    if receipt.kind == "notify":
        sent = house.live.pager.post.withdraw(incident, receipt.id) if (
            house.live and house.live.pager) else ""  # fmt: skip
        reason = f"{reason}; {sent}" if sent else reason
    after = await house.stores.incidents.act(
        incident.id, "undone", actor=call.peer.name, reason=reason, now=call.now,
        details={"receipt": receipt.id},
    )  # fmt: skip
    return _built(after)


async def _release(house: House, call: Call, subject: str, reason: str) -> str:
    """Take a response's entry off; return what else is to be said of it."""
    lists, network = house.stores.lists, canonical(subject)[0]
    for one in lists.each("deny", now=call.now, feeds=False):
        same = one.network == network and one.scope == "site"
        if same and not one.source.startswith(_OTHERS):
            return f"; it stays denied by {one.author}: {one.reason}"
    try:
        change = await lists.remove(
            "deny", subject, author=call.peer.name, reason=reason, now=call.now
        )
    except NoEntryError:  # a person took it off before
        return "; it was off the list already"
    await changed(house, "deny", change.entry, "remove", call)
    return ""


async def export(house: House, call: Call) -> dict[str, Any]:
    """Answer GET incidents/ID/export: the small files of the case's archive, the names of the rest.

    What is named under `files` is fetched in pieces (`piece`).
    """
    papers, there = await house.stores.casework.export(call.names["id"], call.now)
    return {
        "name": f"{call.names['id'].upper()}.zip",
        "papers": {name: base64.b64encode(data).decode() for name, data in papers.items()},
        "files": [{"name": one.name, "bytes": one.bytes, "sha256": one.sha256} for one in there],
    }  # fmt: skip


async def piece(house: House, call: Call) -> dict[str, Any]:
    """Answer GET incidents/ID/file?name=NAME&offset=BYTES: a piece of a kept file, base64."""
    data = await house.stores.casework.piece(
        call.names["id"], call.query.get("name", ""), call.number("offset", 0), PIECE
    )
    return {"data": base64.b64encode(data).decode()}


async def _there(house: House, call: Call) -> Incident:
    incident = await house.stores.incidents.incident(call.names["id"])
    if incident is None:
        raise NotFoundError(f"there is no incident {call.names['id']}")
    return incident


def _built(incident: Incident) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(incident)
    return built
