"""Which rows may be of a flood, in which span of time, at which target. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.batch import address_hash, part_of, runs
from ipwatchd.detect.contact import TCP, of_nobody
from ipwatchd.detect.unserved import answered_pings, strays
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.detect.facts import Batch

__all__ = ["ACK", "AMPLIFIERS", "FEW", "SYN", "in_spans", "openings", "suspects", "target_keys"]

SYN, ACK = 2, 16
FEW: Final = 5
"""Rows of one target in a batch that are worth a record: a scan has one each."""
AMPLIFIERS: Final = np.array([17, 19, 53, 111, 123, 137, 161, 389, 1900, 3702, 5353, 11211])
"""UDP services that answer much to little (CISA alert TA14-017A)."""
# Odd constants of splitmix64, as in batch.address_hash.
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_STEP: Final = np.uint64(0xBF58476D1CE4E5B9)


def suspects(batch: Batch) -> NDArray[np.bool_]:
    """Tell flows that may be of a flood, and what finished at the same targets.

    Little of ordinary traffic is.
    """
    flows = batch.flows
    proto, flags = flows["proto"], flows["orig_flags"]
    opened = (proto == TCP) & ((flags & SYN) != 0)
    half = opened & ((flags & ACK) == 0)
    silent = (flows["resp_packets"] == 0) | (flows["orig_packets"] == 0)
    loud = np.isin(flows["resp_port"], AMPLIFIERS) & (flows["direction"] == Direction.INCOMING)
    rows: NDArray[np.bool_] = half | ((proto != TCP) & (silent | loud))
    rows |= answered_pings(flows) | strays(flows)
    finished = np.flatnonzero(opened & ~half)
    if len(finished) and half.any():
        targets = batch.resp ^ flows["resp_port"].astype(np.uint64) * _ODD
        rows[finished] |= np.isin(targets[finished], targets[half])
    return rows


def in_spans(
    flows: NDArray[np.void], rows: NDArray[np.intp], span: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return rows and the number of the span of `span` ns that each ends in, the oldest first.

    A batch may hold hours of a file. Spans with hardly a packet are left out.
    """
    if not len(rows):
        return rows, np.zeros(0, np.int64)
    end = flows["end"][rows]
    if int(end.max()) - int(end.min()) > span:
        order = np.argsort(end, kind="stable")
        rows, spans = rows[order], part_of(end[order], span)
    else:
        spans = np.zeros(len(rows), np.int64)
    packets = (flows["orig_packets"][rows] + flows["resp_packets"][rows]).astype(np.int64)
    starts, sizes = runs(spans)
    full = (sizes >= FEW) | (np.add.reduceat(packets, starts) >= FEW)
    kept = np.repeat(full, sizes)
    return rows[kept], spans[kept]


def openings(flows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return how many connections each row opened: a flood comes summed, from no one address."""
    opened: NDArray[np.int64] = np.where(of_nobody(flows, "orig"), flows["orig_packets"], 1).astype(
        np.int64
    )
    return opened


def target_keys(kind: str, flows: NDArray[np.void], spans: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a number for each target in its span: an address, and for SYNs its port."""
    keys = address_hash(flows["resp_hi"], flows["resp_lo"])
    if kind == "syn":
        keys ^= flows["resp_port"].astype(np.uint64) * _ODD
    return keys + spans.astype(np.uint64) * _STEP
