"""What is expected is silenced, counted, and only then; what was learned survives a restart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipwatchd.config.detectors import Expected
from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect import RULES, Silenced, build, load_baselines, save_baselines
from ipwatchd.incidents.taxonomy import parse_taxonomy
from ipwatchd.records.finding import RULES as NAMES
from ipwatchd.records.finding import Finding

if TYPE_CHECKING:
    from ipwatchd.detect.detector import Denied

TAXONOMY = Path(__file__).parents[2] / "config/taxonomy/rsit.toml"


def finding(
    rule: str = "port-scan", subject: str = "198.51.100.7", at: float = 90_000.0
) -> Finding:
    """Return a finding; 90,000 s is 01:00 of the second day."""
    return Finding(
        rule=rule, subject=subject, key="k", title="t", first_seen=at, last_seen=at, count=1,
        severity="low", classification="scanner", score=0.5, value=1, threshold=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "silent"),
    [
        ({}, True),
        ({"rules": ("port-scan",)}, True),
        ({"rules": ("flood",)}, False),
        ({"networks": ("198.51.100.0/24",)}, True),
        ({"networks": ("192.0.2.0/24",)}, False),
        ({"since": "1970-01-02T00:00:00Z", "until": "1970-01-02T02:00:00Z"}, True),
        ({"until": "1970-01-02T00:30:00Z"}, False),
        ({"daily": "22:00-04:00"}, True),
        ({"daily": "02:00-04:00"}, False),
    ],
)
def test_an_entry_silences_what_it_names(entry: dict[str, str], silent: bool) -> None:
    """By rule, network, time and hour; each silenced finding is counted under its reason."""
    expected = Silenced([Expected(reason="pen test", **entry)])  # type: ignore[arg-type]
    assert (expected.raised([finding()]) == []) is silent
    assert expected.counts == {"pen test": int(silent)}


def test_a_user_is_in_no_network() -> None:
    """An entry with networks says nothing of a finding about a person."""
    expected = Silenced([Expected(reason="x", networks=("0.0.0.0/0",))])
    assert expected.raised([finding(subject="maria")])


def test_every_rule_is_listed_and_of_the_taxonomy() -> None:
    """Rules are known to the settings, their class to RSIT, their words are there."""
    taxonomy = parse_taxonomy(TAXONOMY.read_bytes(), "rsit")
    for kind in RULES:
        assert kind.rule in NAMES
        assert taxonomy.known(kind.about.classification) == kind.about.classification
        assert all(len(text) > 40 for text in kind.about[2:])
        assert hasattr(DetectSettings(), kind.section)
    assert {kind.rule for kind in RULES} | {"firewall-tampered"} == set(NAMES)


def test_baselines_survive_and_damage_is_told(tmp_path: Path, nobody: Denied) -> None:
    """What is written is read; no file is nothing; a damaged file is a sentence, no error."""
    path = tmp_path / "baselines.bin"
    detectors = build(DetectSettings(), denied=nobody, zones=())
    assert load_baselines(path, detectors) == ""
    save_baselines(path, detectors)
    assert load_baselines(path, detectors) == ""
    path.write_bytes(b"\x82\xa7version\x01\xa7learned\x81\xaeunusual-upload\x05")
    assert "learned is damaged, it learns anew" in load_baselines(path, detectors)
    path.write_bytes(b"no msgpack")
    assert "can't be read, detectors learn anew" in load_baselines(path, detectors)
