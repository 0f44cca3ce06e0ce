"""What keeps a case from being closed is said in words that help."""

from __future__ import annotations

from ipwatchd.incidents.guards import unfit_to_close
from ipwatchd.records.incident import Incident, Obligation


def _case(*duties: Obligation) -> Incident:
    return Incident(
        id="MNL-1", site="manila", rule="report", subject="", title="a call", severity="medium",
        priority="P3", state="REVIEW", first_seen=1.0, last_seen=1.0, count=1, feedback="told her",
        obligations=duties,
    )  # fmt: skip


def test_what_is_not_known_is_asked_for_and_is_no_pending_duty() -> None:
    """A duty that may apply names the question that decides, and the law; a pending one itself."""
    possible = Obligation(
        id="ph-npc.commission", title="Notify the NPC", state="possible", asks=("countries",)
    )
    said = unfit_to_close(_case(possible))
    assert said == (
        "closing MNL-1 needs answers to countries, which decide on duties under ph-npc "
        "(incidents assess)"
    )
    said = unfit_to_close(_case(possible, Obligation(id="gdpr.authority", title="Tell the AEPD")))
    assert "the pending obligations Tell the AEPD (incidents clocks) and answers to" in said


def test_what_is_settled_holds_nothing() -> None:
    """Met, waived, void and waiting duties let a case be closed."""
    settled = [Obligation(id=f"law.{state}", title="x", state=state)
               for state in ("waived", "void", "waits")]  # fmt: skip
    assert unfit_to_close(_case(Obligation(id="law.met", title="x", done=2.0), *settled)) == ""
