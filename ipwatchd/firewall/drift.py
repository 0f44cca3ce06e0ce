"""Whether the kernel still holds what was put there, without a dump of elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ipwatchd.firewall.kernel import KernelTable, SetState, Structure
    from ipwatchd.firewall.layout import SetSpec
    from ipwatchd.firewall.ledger import Ledger
    from ipwatchd.records.policy import Policy

__all__ = ["Gate", "difference"]

_NEAR: Final = 1.0
"""Seconds about the end of a timeout in which either mode is right."""


class Gate(NamedTuple):
    """What decides whether the kernel drops (see Policy)."""

    mode: str = ""
    until: float = 0.0
    start: float = 0.0

    @classmethod
    def of(cls, policy: Policy) -> Gate:
        """Return what a policy wants."""
        return cls(policy.mode, policy.enforce_until, policy.enforce_from)

    def does(self, now: float) -> str:
        """Return the mode that the kernel should be in by now."""
        waits = now < self.start or 0 < self.until <= now
        return "observe" if self.mode == "enforce" and waits else self.mode


def difference(
    kernel: KernelTable, wanted: Structure | None, gate: Gate, ledger: Ledger, now: float
) -> str:
    """Return in words what differs, "" where nothing was found."""
    structure = kernel.structure()
    if structure is None:
        return "the table is not there"
    if wanted is None or structure != wanted:
        return "chains, rules or sets were changed"
    mode = kernel.mode()
    # A gate with a timeout opens or closes by itself, at about its time.
    if not any(mode == gate.does(now + near) for near in (-_NEAR, 0, _NEAR)):
        return f"the table does not {gate.does(now)}"
    states = kernel.sets()
    wrong = (_wrong(kernel, ledger, spec, states.get(spec.name), now) for spec in ledger.specs)
    first = next(filter(None, wrong), "")
    if not first:
        ledger.turn()
    return first


def _wrong(
    kernel: KernelTable, ledger: Ledger, spec: SetSpec, state: SetState | None, now: float
) -> str:
    if state is None:
        return f"set {spec.name} is not there"
    if not ledger.plausible(spec, state.elements, now):
        return f"set {spec.name} has elements too many or too few"
    if not kernel.present(spec, ledger.spots(spec, now)).all():
        return f"set {spec.name} lacks elements"
    return ""
