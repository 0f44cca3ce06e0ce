"""Published captures: the same packets and bytes per connection as other tools count."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from ipwatchd.capture import CaptureFileError, read_files
from ipwatchd.config import CaptureSettings


@pytest.fixture(scope="module")
def tool() -> Any:
    """Return the comparison tool beside this file."""
    path = Path(__file__).with_name("compare_expected.py")
    spec = importlib.util.spec_from_file_location("compare_expected", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compare_expected"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", ["pcap/encap/", "pcap/flows/nDPI__t", "pcap/flows/zeek"])
def test_confirmed_rows(tool: Any, shared: Path, folder: str) -> None:
    """Every row that a second source confirms is counted the same."""
    results = list(tool.compare_all(shared, folder))
    assert len(results) > 3
    assert [one.file for one in results if one.confirmed_differing] == []


def test_malformed(shared: Path) -> None:
    """Every crafted capture is read to its end or refused in a sentence."""
    read = refused = 0
    for path in sorted((shared / "pcap" / "malformed").iterdir()):
        if path.suffix == ".json":
            continue
        try:
            for _ in read_files([path], CaptureSettings(flows=1024)):
                pass
            read += 1
        except CaptureFileError:
            refused += 1
    assert read > 150
    assert read + refused == 220
