"""The taxonomy is RSIT 1003, and what detectors say is in it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import ipwatchd.detect
from ipwatchd.incidents.policy import load_policy, shipped
from ipwatchd.incidents.sops import matching
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


def words_of(tree: ast.AST) -> set[str]:
    """Return the text an expression can come to; what it only compares with is not among it."""
    if isinstance(tree, ast.Constant):
        return {tree.value} if isinstance(tree.value, str) and tree.value else set()
    if isinstance(tree, ast.IfExp):
        return words_of(tree.body) | words_of(tree.orelse)
    if isinstance(tree, ast.Dict):
        return set().union(*map(words_of, tree.values))
    if isinstance(tree, ast.BoolOp):
        return set().union(*map(words_of, tree.values))
    if isinstance(tree, ast.Call):  # {…}.get(kind, "other")
        inner = words_of(tree.func.value) if isinstance(tree.func, ast.Attribute) else set()
        return inner | (words_of(tree.args[1]) if len(tree.args) > 1 else set())
    return set()


def test_what_detectors_say_is_in_it() -> None:
    """Every classification that the program's source can name is a type of the taxonomy."""
    types = load_policy().taxonomy.types()
    said = set(_BY_RULE.values())
    for path in [*(ROOT / "ipwatchd" / "detect").glob("*.py"), ROOT / "ipwatchd" / "daemon.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "classification":
                said |= words_of(node.value)
    assert said >= {"scanner", "brute-force", "c2-server", "other"}
    assert said <= types.keys()


def test_each_rules_own_class_is_in_it_and_has_an_sop() -> None:
    """What a detector says of itself is a type; an analyst finds steps for whatever is raised."""
    policy = load_policy()
    for found in pkgutil.iter_modules(ipwatchd.detect.__path__):
        module = importlib.import_module(f"ipwatchd.detect.{found.name}")
        for one in vars(module).values():
            about, rule = getattr(one, "about", None), getattr(one, "rule", "")
            if isinstance(rule, str) and rule and hasattr(about, "classification"):
                kind = about.classification
                assert kind in policy.taxonomy.types(), rule
                assert matching(
                    policy.sops, rule=rule, kind="", classification=kind, language="en"
                ), rule


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
