"""The page on lists: what it tells to type does what it says."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ipwatchd.cli import ipwatchctl
from ipwatchd.config import Config
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/lists.md"


async def _made(folder: Path, config: Config) -> None:
    stores = await Stores.open(config, folder)
    await stores.close(1.0)


def test_the_example_of_the_portal_is_typed_as_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Countries and two partners may use the portal, and why says so as the page shows it."""
    text = PAGE.read_text(encoding="utf-8")
    part = text.partition("## Services")[2].partition("\n## ")[0]
    toml = re.search(r"```toml\n(.*?)```", part, re.DOTALL)
    assert toml is not None
    asyncio.run(_made(tmp_path, msgspec.toml.decode(toml[1], type=Config)))
    commands = [line.strip() for line in part.splitlines() if line.startswith("    ipwatchctl ")]
    assert len(commands) == 6
    for command in commands:
        words = shlex.split(command)[1:]
        assert ipwatchctl.main(["--state", str(tmp_path), *words]) == 0, command
    said = capsys.readouterr().out
    assert "country:PH stands for nobody yet" in said  # no [geo] here
    assert "203.0.113.10 passes: 203.0.113.0/28 is allowed vpn" in said
    shown = text.partition("203.0.113.10 passes:")[2].partition("\nThe table")[0]
    rules = [line.strip() for line in shown.splitlines() if re.match(r" +\d\. ", line)]
    assert len(rules) == 7
    words = said.replace("partner beta", "partner")
    assert [rule for rule in rules if rule not in words] == []
    assert ipwatchctl.main(["--state", str(tmp_path), "deny", "why", "8.8.8.8", "vpn"]) == 0
    assert "8.8.8.8 is denied vpn: no entry allows it" in capsys.readouterr().out
