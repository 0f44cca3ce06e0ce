"""Stored against kernel, by reading its sets back: for a person who asks, not for a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.firewall.layout import columns, distribute, in_force
from ipwatchd.firewall.ledger import Diff, Ledger, differences, lines
from ipwatchd.records.policy import empty_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.firewall.kernel import KernelTable
    from ipwatchd.firewall.layout import SetSpec
    from ipwatchd.records.policy import Policy

__all__ = ["compare"]


def compare(kernel: KernelTable, held: Ledger, policy: Policy, now: float) -> Diff:
    """Return what the kernel lacks of a policy and has beyond it; `held` is what was put last."""
    mode, wanted_mode = kernel.mode(), policy.does(now)
    ledger = Ledger(in_force(policy, now)) if policy.mode != "off" else Ledger()
    wanted = distribute(ledger.lists, ledger.specs)
    names = {spec.name for spec in ledger.specs}
    left = [spec for spec in held.specs if spec.name not in names]
    missing, extra = [], []
    for spec in (*ledger.specs, *left):
        lacks, beyond = _compared(kernel, spec, wanted.get(spec.name, empty_ranges()), now)
        missing.append((spec.name, lacks))
        extra.append((spec.name, beyond))
    other = mode != wanted_mode
    return Diff(
        ([f"mode {wanted_mode}"] if other else []) + lines(missing),
        ([f"mode {mode}"] if other else []) + lines(extra),
        sum(len(rows) for _, rows in missing) + other,
        sum(len(rows) for _, rows in extra) + other,
    )


def _compared(
    kernel: KernelTable, spec: SetSpec, wanted: NDArray[np.void], now: float
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    there = kernel.ranges(spec, now)
    lacks, beyond = differences(there, wanted, now)
    if not spec.interval and len(lacks):
        names = ["first_hi", "first_lo"]
        other_end = np.isin(lacks[names], there[names])
        keys = columns(lacks, spec.family, now).first
        lacks = lacks[other_end | ~kernel.present(spec, keys)]
    return lacks, beyond
