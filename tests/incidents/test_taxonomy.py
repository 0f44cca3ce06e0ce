"""The taxonomy is RSIT 1003, and what detectors say is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ipwatchd.incidents.policy import load_policy, shipped
from ipwatchd.incidents.taxonomy import parse_taxonomy
from ipwatchd.incidents.triage import _BY_RULE

ROOT = Path(__file__).parents[2]
FILE = shipped() / "taxonomy" / "rsit.toml"


def test_it_is_rsit_1003_whole() -> None:
    """11 classes, 39 types, each once, each with a name and a description, of version 1003."""
    taxonomy = load_policy().taxonomy
    assert (taxonomy.name, taxonomy.version, taxonomy.licence) == ("rsit", 1003, "CC0-1.0")
    assert len(taxonomy.classes) == 11
    assert len(taxonomy.types()) == sum(len(one.types) for one in taxonomy.classes) == 39
    assert all(one.name and one.description for one in taxonomy.types().values())
    for kind, group in (
        ("scanner", "information-gathering"), ("brute-force", "intrusion-attempts"),
        ("system-compromise", "intrusions"), ("data-leak", "information-content-security"),
        ("undetermined", "other"), ("misconfiguration", "availability"),
    ):  # fmt: skip
        found = taxonomy.class_of(kind)
        assert found is not None
        assert found.id == group
    assert taxonomy.class_of("virus") is None


def test_what_detectors_say_is_in_it() -> None:
    """Every classification written in the program's source is a type of the taxonomy."""
    types = load_policy().taxonomy.types()
    said = set(_BY_RULE.values())
    for path in [*(ROOT / "ipwatchd" / "detect").glob("*.py"), ROOT / "ipwatchd" / "daemon.py"]:
        for line in re.findall(r"classification=([^,\n]+(?:if[^,\n]+)?)", path.read_text()):
            said |= set(re.findall(r'"([^"]+)"', line))
    assert said >= {"scanner", "brute-force", "c2-server"}
    assert said <= types.keys()


def test_a_type_is_understood_as_people_write_it_and_a_wrong_one_names_the_nearest() -> None:
    """Case and `class:type` are taken; a word that is none gets what may be meant."""
    taxonomy = load_policy().taxonomy
    assert taxonomy.known(" Phishing ") == taxonomy.known("fraud:phishing") == "phishing"
    with pytest.raises(ValueError, match="brute-force"):
        taxonomy.known("brute_force")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [('id = "dos"', 'id = "ddos"', "ddos is there twice"), ('id = "dos"', 'id = "D OS"', "no id"),
     ('id = "undetermined"', 'id = "unknown"', "undetermined"), ("version = 1003", "", "version"),
     ("licence = ", "license = ", "license"), ("name = ", "nam\xff = ", "rsit")],
)  # fmt: skip
def test_a_bad_file_is_refused_when_loaded(old: str, new: str, says: str) -> None:
    """What is wrong is named with the file, before any incident is classified by it."""
    data = FILE.read_text().replace(old, new, 1).encode("latin-1", "replace")
    with pytest.raises(ValueError, match=says):
        parse_taxonomy(data, "rsit.toml")
