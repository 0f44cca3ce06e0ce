"""The flows and events that show a finding: at most five of the batch in which it was made."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from ipwatchd.detect.batch import address_hash
from ipwatchd.records.address import address_text, split
from ipwatchd.records.community import community_ids
from ipwatchd.records.flow import protocol_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["with_event_examples", "with_flow_examples"]

_SHOWN: Final = 5
_EXPLAINED: Final = 128
"""Findings of one batch that get examples: forged sources can raise thousands at once."""
_LETTERS: Final = 80
_FIELDS: Final = frozenset({
    "orig", "resp", "user", "address", "mac", "name", "host", "server", "key", "target",
})  # fmt: skip
_TOLD: Final = (
    "service",
    "result",
    "status",
    "method",
    "message",
    "operation",
    "login",
    "error",
    "qtype",
)
"""Fields of events that say what went on, beside `_FIELDS`."""


def with_flow_examples(found: Sequence[Finding], flows: NDArray[np.void]) -> list[Finding]:
    """Return findings with five-tuples, times and community ids of flows (FLOW) of their subject.

    Flows with one of the finding's targets come before others of its subject.
    """
    if not found:
        return []
    ends = {
        side: address_hash(flows[f"{side}_hi"], flows[f"{side}_lo"]) for side in ("orig", "resp")
    }
    explained = []
    for finding in found[:_EXPLAINED]:
        rows = _rows(finding, ends)
        if len(rows):
            explained.append(_with(finding, _flows(flows[rows])))
        else:
            explained.append(finding)
    return [*explained, *found[_EXPLAINED:]]


def with_event_examples(found: Sequence[Finding], events: Sequence[AnyEvent]) -> list[Finding]:
    """Return findings with times and facts of events that name their subject."""
    if not found:
        return []
    explained = []
    for finding in found[:_EXPLAINED]:
        some = list(islice((_event(one) for one in events if _names(one, finding.subject)), _SHOWN))
        explained.append(_with(finding, some) if some else finding)
    return [*explained, *found[_EXPLAINED:]]


def _rows(finding: Finding, ends: dict[str, NDArray[np.uint64]]) -> NDArray[np.intp]:
    subject = _hash(finding.subject)
    if subject is None:
        return np.zeros(0, np.intp)
    mine = np.flatnonzero((ends["orig"] == subject) | (ends["resp"] == subject))
    told = [number for one in finding.targets[:_SHOWN] if (number := _hash(one)) is not None]
    if told and len(mine) > _SHOWN:
        far = np.isin(ends["orig"][mine], told) | np.isin(ends["resp"][mine], told)
        mine = np.concatenate((mine[far], mine[~far]))
    return mine[:_SHOWN]


def _hash(address: str) -> int | None:
    try:
        hi, lo = split(address)
    except ValueError:  # a user, a segment, a service
        return None
    return int(address_hash(np.array([hi], np.uint64), np.array([lo], np.uint64))[0])


def _flows(flows: NDArray[np.void]) -> list[dict[str, Any]]:
    return [
        {
            "start": int(row["start"]) / 1e9, "end": int(row["end"]) / 1e9,
            "proto": protocol_name(int(row["proto"])),
            "orig": address_text(int(row["orig_hi"]), int(row["orig_lo"])),
            "orig_port": int(row["orig_port"]),
            "resp": address_text(int(row["resp_hi"]), int(row["resp_lo"])),
            "resp_port": int(row["resp_port"]), "community_id": community,
        }
        for row, community in zip(flows, community_ids(flows), strict=True)
    ]  # fmt: skip


def _names(event: AnyEvent, subject: str) -> bool:
    return any(getattr(event, name, None) == subject for name in _FIELDS)


def _event(event: AnyEvent) -> dict[str, Any]:
    """Return when and what; texts come from the attacker's hand and are cut."""
    facts: dict[str, Any] = {"ts": event.ts, "kind": str(event.__struct_config__.tag)}
    for name in (*sorted(_FIELDS), *_TOLD, "orig_port", "resp_port"):
        value = getattr(event, name, None)
        if value:
            facts[name] = value[:_LETTERS] if isinstance(value, str) else value
    return facts


def _with(finding: Finding, examples: list[dict[str, Any]]) -> Finding:
    return msgspec.structs.replace(finding, evidence={**finding.evidence, "examples": examples})
