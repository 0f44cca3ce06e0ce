"""CrowdSec over one log at a time, as its package ships it: no service, nothing from the network.

The package brings an offline copy of the hub. All its parsers and scenarios run, without its white
lists: those pass private addresses, which recorded logs are full of. Look-ups of names and GeoIP
databases are left out.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CrowdSec"]

PORT: Final = 18_080
"""Of its own API on loopback, to which the agent reports."""
TIMEOUT: Final = 120
"""Seconds for one log."""
RENAMED: Final = {"http_path_traversal.txt": "path_traversal.txt",
                  "rdns_seo_bots.regex": "rnds_seo_bots.regex"}  # fmt: skip
"""Names that scenarios ask for → names under which Debian ships them."""
CONFIG: Final = """
common: {{daemonize: false, log_media: stdout, log_level: info, working_dir: .}}
config_paths:
  config_dir: {folder}/cfg
  data_dir: {folder}/data
  simulation_path: {folder}/cfg/simulation.yaml
  hub_dir: {folder}/hub
  index_path: {folder}/hub/.index.json
  notification_dir: {folder}/cfg/notifications
  plugin_dir: {folder}/cfg/notifications
crowdsec_service: {{acquisition_path: "", parser_routines: 1}}
cscli: {{output: json}}
db_config: {{type: sqlite, db_path: {folder}/data/crowdsec.db}}
api:
  client: {{credentials_path: {folder}/cfg/credentials.yaml}}
  server: {{listen_uri: "127.0.0.1:{port}", profiles_path: {folder}/cfg/profiles.yaml}}
prometheus: {{enabled: false}}
"""


class CrowdSec:
    """Replays of logs by the package unpacked in `package`, with its state in `folder`.

    Raises OSError or subprocess.CalledProcessError where the package is not what it should be.
    """

    def __init__(self, package: Path, folder: Path) -> None:
        self._programs = package / "usr/bin"
        self._folder = folder
        hub, cfg = package / "usr/share/crowdsec/hub", folder / "cfg"
        shutil.copytree(hub, folder / "hub")
        shutil.copytree(package / "usr/share/crowdsec/data", folder / "data")
        shutil.copytree(package / "etc/crowdsec/patterns", cfg / "patterns")
        for name in ("scenarios", "postoverflows", "collections", "notifications"):
            (cfg / name).mkdir()
        for name in ("profiles.yaml", "simulation.yaml"):
            shutil.copy(package / "etc/crowdsec" / name, cfg)
        for path in (hub / "parsers").glob("*/*/*.yaml"):
            stage = cfg / "parsers" / path.parent.parent.name
            stage.mkdir(parents=True, exist_ok=True)
            if path.name != "whitelists.yaml":
                shutil.copy(path, stage)
        for path in (hub / "scenarios").glob("*/*.yaml"):
            shutil.copy(path, cfg / "scenarios")
        for name, shipped in RENAMED.items():
            if (folder / "data" / shipped).exists() and not (folder / "data" / name).exists():
                shutil.copy(folder / "data" / shipped, folder / "data" / name)
        self._config = cfg / "config.yaml"
        self._config.write_text(CONFIG.format(folder=folder, port=PORT), encoding="utf-8")
        (cfg / "credentials.yaml").touch()
        machine = ["machines", "add", "-a", "benchmark", "-f", str(cfg / "credentials.yaml")]
        self._run("cscli", *machine)

    def version(self) -> str:
        """Return its version as it says it."""
        words = self._run("crowdsec", "-version").stderr.split()
        return next((word for word in words if word.startswith("v1.")), "unknown")

    def alerts(self, log: Path, kind: str) -> set[tuple[str, str]]:
        """Return (scenario, source) of each bucket that overflowed over a log of a kind."""
        out = self._folder / "out"
        out.mkdir(exist_ok=True)
        dump = out / "bucket-dump.yaml"
        dump.unlink(missing_ok=True)
        self._run("crowdsec", "-type", kind, "-dsn", f"file://{log}", "-dump-data", str(out))
        return set(_overflows(dump.read_text(encoding="utf-8")))

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._programs / program), "-c", str(self._config), *arguments],
            check=True, capture_output=True, text=True, timeout=TIMEOUT,
        )  # fmt: skip


def _overflows(dump: str) -> Iterator[tuple[str, str]]:
    """Yield scenario and source of a dump of buckets (YAML, always indented the same way)."""
    scenario, source = "", False
    for line in dump.splitlines():
        if line.startswith("      scenario: "):
            scenario = line.partition(": ")[2]
        elif line.startswith("      source:"):
            source = True
        elif source and line.startswith("        value: "):
            source = False
            yield scenario, line.partition(": ")[2].strip("\"'")
