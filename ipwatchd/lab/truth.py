"""What truly happened: every actor notes what it did, as JSON lines, whatever was seen of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Deed", "Truth"]


class Deed(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One thing one actor did. `outcome` is open, refused, timeout or, of a login, its result."""

    ts: float
    actor: str
    action: str
    proto: str
    orig: str
    orig_port: int
    resp: str
    resp_port: int
    outcome: str
    name: str = ""

    @property
    def connection(self) -> tuple[str, str, int, str, int]:
        """Return protocol and both ends: what flows are compared by."""
        return (self.proto, self.orig, self.orig_port, self.resp, self.resp_port)


class Truth:
    """The deeds so far, in memory and in a file that is written through line by line."""

    def __init__(self, path: Path) -> None:
        self.deeds: list[Deed] = []
        self._file = path.open("ab", buffering=0)

    def note(
        self, actor: str, action: str, proto: str, orig: tuple[str, int], resp: tuple[str, int],
        outcome: str, name: str = "",
    ) -> None:  # fmt: skip
        """Note a deed that has just been done."""
        deed = Deed(
            ts=time.time(), actor=actor, action=action, proto=proto, orig=orig[0],
            orig_port=orig[1], resp=resp[0], resp_port=resp[1], outcome=outcome, name=name,
        )  # fmt: skip
        self.deeds.append(deed)
        self._file.write(msgspec.json.encode(deed) + b"\n")

    def of(self, *actions: str, actor: str = "", outcome: str = "") -> list[Deed]:
        """Return the deeds of these actions, of one actor or with one outcome where asked."""
        return [
            deed
            for deed in self.deeds
            if deed.action in actions
            and actor in {"", deed.actor}
            and outcome in {"", deed.outcome}
        ]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
