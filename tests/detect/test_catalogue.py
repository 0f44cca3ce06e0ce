"""The documentation of the detectors is what they say of themselves."""

from __future__ import annotations

from pathlib import Path

from ipwatchd.detect.catalogue import markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "detectors.md"


def test_the_document_is_what_the_detectors_say() -> None:
    """After a change: python -m ipwatchd.detect.catalogue > docs/detectors.md."""
    assert DOCUMENT.read_text(encoding="utf-8") == markdown()
