"""The configuration file: defaults, faults with their place, nearest known key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.config.load import ConfigError, load, parse, parse_detectors
from ipwatchd.config.position import key_lines
from ipwatchd.config.settings import Config, DetectSettings, Section

EXAMPLE = Path(__file__).parents[2] / "config" / "ipwatchd.toml"
DETECTORS = EXAMPLE.with_name("detectors.toml")


@pytest.mark.parametrize(
    ("path", "kind", "elsewhere"),
    [(EXAMPLE, Config, "detect"), (DETECTORS, DetectSettings, "")],
    ids=["ipwatchd", "detectors"],
)
def test_examples_are_the_defaults(path: Path, kind: type[Section], elsewhere: str) -> None:
    """The shipped files have every key, each with its default; thresholds have their own."""
    assert load(EXAMPLE) == Config()
    assert parse_detectors(DETECTORS.read_text(encoding="utf-8"), "x") == DetectSettings()
    lines = key_lines(path.read_text(encoding="utf-8"))

    def keys(kind: type[Section], path: tuple[str, ...]) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for field in msgspec.structs.fields(kind):
            here = (*path, field.name)
            found.append(here)
            if field.name == elsewhere:
                continue
            if isinstance(field.type, type) and issubclass(field.type, Section):
                found += keys(field.type, here)
        return found

    missing = [".".join(key) for key in keys(kind, ()) if key not in lines]
    assert not missing


def test_every_key_is_commented() -> None:
    """No key of the shipped file stands without a comment above its group."""
    above = ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            assert above.strip(), f"{line!r} has no comment above it"
        above = line


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[capture]\nsanp = 5\n", 2, "capture.sanp: unknown key; did you mean snap?"),
        ("\n[captur]\n", 2, "captur: unknown table; did you mean capture?"),
        ("[capture]\nsnap = 'x'\n", 2, "capture.snap: 'x': expected a number, got text in quotes"),
        ("[capture]\n\nsnap = 5\n", 3, "capture.snap: 5: expected a number >= 128"),
        ("[firewall]\nmode = 'enforced'\n", 2, "did you mean enforce?"),
        ("[zones]\nagents = ['10.0.0.1/8']\n", 2, "did you mean 10.0.0.0/8?"),
        ("[zones]\na = ['10.0.0.0/8']\nb = [\n '10.0.0.0/8']\n", 3, "10.0.0.0/8 is in zone a"),
        ("[detect.port_scan]\ntargets = 0\n", 2, "detect.port_scan.targets"),
        ("detect = 5\n", 1, "is a table: write [detect]"),
        ("[uplink]\nurl = 'centre'\n", 2, "write https://HOST:8470"),
        ("[incidents]\nauto_deny = ['port_scan']\n", 2, "unknown rule; did you mean port-scan?"),
        ("[site\n", 1, "is not TOML"),
        ("[site]\nname = 'Å'\n", 2, "site.name"),
    ],
)
def test_fault_names_its_place(text: str, line: int, words: str) -> None:
    """A fault is one line: file, line, key, what is wrong, the mend."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.toml")
    assert f"x.toml:{line}: " in str(caught.value)
    assert words in str(caught.value)


def test_all_faults_at_once() -> None:
    """Someone who made three mistakes reads of three."""
    with pytest.raises(ConfigError) as caught:
        parse("[capture]\nsanp = 1\nflows = 'many'\n[geo]\ncountri = ''\n", "x")
    assert [fault.line for fault in caught.value.faults] == [2, 3, 5]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[flod]\n", 1, "did you mean flood?"),
        ("[flood]\nsyns = 0\n", 2, "flood.syns: 0: expected a number >= 1"),
        ("[[expected]]\nreason = 'x'\nrules = ['port_scan']\n", 1, "did you mean port-scan?"),
        ("[[expected]]\nreason = 'x'\ndaily = '25:00-04:00'\n", 1, "write 22:00-04:00"),
        ("[[expected]]\nreason = 'x'\nuntil = 'May'\n", 1, "write 2026-05-01T08:00:00Z"),
        ("[bypass]\nallowed = ['me']\n", 2, "bypass.allowed: 'me' is no network"),
    ],
)
def test_fault_in_the_detectors_file(tmp_path: Path, text: str, line: int, words: str) -> None:
    """The file beside the configuration is checked the same way, under its own name."""
    (tmp_path / "detectors.toml").write_text(text)
    (tmp_path / "ipwatchd.toml").write_text("")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "ipwatchd.toml")
    assert f"{tmp_path}/detectors.toml:{line}: " in str(caught.value)
    assert words in str(caught.value)


def test_thresholds_stand_in_one_place(tmp_path: Path) -> None:
    """Two files that both set thresholds are refused: nobody would know which holds."""
    (tmp_path / "detectors.toml").write_text("[flood]\nsyns = 7\n")
    (tmp_path / "ipwatchd.toml").write_text("")
    assert load(tmp_path / "ipwatchd.toml").detect.flood.syns == 7
    (tmp_path / "ipwatchd.toml").write_text("[detect.flood]\nsyns = 9\n")
    with pytest.raises(ConfigError, match="keep them in one place"):
        load(tmp_path / "ipwatchd.toml")


def test_not_text(tmp_path: Path) -> None:
    """A binary file is named as such, with the line where it stops being text."""
    path = tmp_path / "c.toml"
    path.write_bytes(b"[site]\nname = '\xff'\n")
    with pytest.raises(ConfigError, match=r"c\.toml:2: is not UTF-8"):
        load(path)


def test_lines_inside_values_are_not_keys() -> None:
    """What looks like a key inside a long string or list is none."""
    text = 'a = """\nb = 1\n"""\nc = [\n  "d = 2", # e = 3 ]\n]\n[t."x.y"]\nf.g = { h = 1 }\n'
    lines = key_lines(text)
    assert lines == {
        ("a",): 1, ("c",): 4, ("t", "x.y"): 7, ("t", "x.y", "f"): 8, ("t", "x.y", "f", "g"): 8,
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_garbage_is_refused_with_a_sentence(text: str) -> None:
    """No text makes the loader fall over: it is a configuration or a ConfigError."""
    try:
        config: object = parse(text, "x")
    except ConfigError as error:
        config = str(error)
    assert isinstance(config, Config) or str(config).startswith("x")
