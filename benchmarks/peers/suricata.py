"""Suricata over one capture at a time, with rules that the caller brings."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Alert", "Suricata"]

TIMEOUT: Final = 20
"""Seconds for one capture: a capture whose clock jumps by years keeps it busy for minutes."""
CONFIG: Final = """%YAML 1.1
---
vars:
  address-groups: {HOME_NET: any, EXTERNAL_NET: any, HTTP_SERVERS: any, DNS_SERVERS: any,
                   SMTP_SERVERS: any, SQL_SERVERS: any, TELNET_SERVERS: any}
  port-groups: {HTTP_PORTS: "80", SHELLCODE_PORTS: "!80", SSH_PORTS: "22"}
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [alert]}
"""
"""Every network is home and outside at once: no rule is silent for the side a capture was taken."""


class Alert(NamedTuple):
    """What a rule said, of whom; an answer's rule has the attacker as destination."""

    signature: str
    source: str
    destination: str


class Suricata:
    """Reads captures with the rules of some files. `root` is the tree of another Debian, or "".

    Raises OSError where it is missing, RuntimeError where it takes no rule.
    """

    def __init__(self, rules: Sequence[Path], root: str) -> None:
        self._root = root
        self._folder = Path(tempfile.mkdtemp(dir=Path(root, "root") if root else None))
        (self._folder / "suricata.yaml").write_text(CONFIG, encoding="utf-8")
        lines = [line for path in rules for line in path.read_text(encoding="utf-8").splitlines()]
        self.rules = sum(line.startswith("alert ") for line in lines)
        (self._folder / "all.rules").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def alerts(self, capture: Path) -> list[Alert]:
        """Return what it says of a capture."""
        mine = self._folder / "capture.pcap"
        shutil.copyfile(capture, mine)
        log = self._folder / "eve.json"
        log.unlink(missing_ok=True)
        inside = Path("/") / self._folder.relative_to(self._root) if self._root else self._folder
        subprocess.run(
            [
                *(("chroot", self._root) if self._root else ()), "suricata",
                "-c", str(inside / "suricata.yaml"), "-S", str(inside / "all.rules"),
                "-r", str(inside / mine.name), "-l", str(inside), "--runmode", "single",
                "-k", "none",
            ],
            check=True, capture_output=True, timeout=TIMEOUT,
        )  # fmt: skip
        found = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return [
            Alert(one["alert"]["signature"], one.get("src_ip", ""), one.get("dest_ip", ""))
            for one in found
        ]

    def close(self) -> None:
        """Remove its files."""
        shutil.rmtree(self._folder)
