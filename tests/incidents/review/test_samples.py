"""Templates of reports that a site brought: a fault is named with its line when they are loaded."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from ipwatchd.incidents.policy import load_policy, shipped

if TYPE_CHECKING:
    from pathlib import Path


def own(folder: Path, name: str, old: str, new: str) -> str:
    """Return a policy folder with a copy of the shipped templates, one changed."""
    shutil.copytree(shipped() / "templates/reports", folder / "templates/reports")
    path = folder / "templates/reports" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return str(folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("case.html", "incident.priority", "incident.urgence", "has no attribute 'urgence'"),
        ("case.html", "one.mandatory", "one.must", "has no attribute 'must'"),
        ("period.html", "found.total.late", "totals.late", "'totals' is undefined"),
        ("period.html", "{% endblock %}", "{% endblok %}", "endblok"),
        ("frame.html", "{% block body %}", "{{ 1 // 0 }}{% block body %}", "division"),
    ],
)
def test_a_fault_is_named_when_loaded(
    tmp_path: Path, name: str, old: str, new: str, why: str
) -> None:
    """A field that is missing, a word that is none, a branch: file, line, and what is wrong."""
    with pytest.raises(ValueError, match=rf"{name}:\d+: .*{why}"):
        load_policy(own(tmp_path, name, old, new))


def test_a_copy_of_the_shipped_ones_is_taken(tmp_path: Path) -> None:
    """Whole and empty cases can be set in them."""
    folder = own(tmp_path, "frame.html", "<body>", "<body class='acme'>")
    assert load_policy(folder).templates
