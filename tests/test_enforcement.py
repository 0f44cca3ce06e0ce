"""Which mode is in force: the file's, an admin's choice, or what it rolls back to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipwatchd.enforcement import Choice, decide
from ipwatchd.records.entry import MODES


def test_the_file_decides_without_a_choice() -> None:
    """Nobody chose: the configured mode holds."""
    assert decide(None, "observe", 100.0) == Choice("observe", configured="observe")


def test_an_unconfirmed_choice_rolls_back() -> None:
    """At `confirm_by` the previous mode is back, for good."""
    choice = Choice("enforce", "observe", 160.0, "observe")
    assert decide(choice, "observe", 159.9) == choice
    assert decide(choice, "observe", 160.0) == Choice("observe", configured="observe")


def test_a_changed_file_overrides_an_old_choice() -> None:
    """Whoever edits the file after a choice at run time gets what the file says."""
    choice = Choice("enforce", configured="observe")
    assert decide(choice, "off", 0.0).mode == "off"


@given(
    st.sampled_from(MODES), st.sampled_from(MODES), st.sampled_from(MODES),
    st.floats(0, 1e6), st.floats(0, 1e6),
)  # fmt: skip
def test_deciding_twice_changes_nothing(
    mode: str, previous: str, configured: str, confirm_by: float, now: float
) -> None:
    """What is in force stays in force at the same moment."""
    once = decide(Choice(mode, previous, confirm_by, configured), configured, now)
    assert decide(once, configured, now) == once
    assert once.mode in {mode, previous}
