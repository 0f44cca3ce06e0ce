"""`ipwatch-central run`: what can't be used is named before anything listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipwatchd.cli import central

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_a_file_of_tls_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    """The admin reads which of the two it is."""
    paths = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key")}
    for name, path in paths.items():
        if name != missing:
            path.write_text("there")
    words = [f"--{name}={path}" for name, path in paths.items()]
    assert central.main(["run", "--state", str(tmp_path / "state"), *words]) == 2
    assert str(paths[missing]) in capsys.readouterr().err
