"""Files of text with TOML before it, between two lines `+++`. Pure."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

__all__ = ["split"]

FENCE: Final = "+++"
_Front = TypeVar("_Front", bound=msgspec.Struct)


def split(data: bytes, kind: type[_Front], where: str) -> tuple[_Front, str]:
    """Return the front matter as `kind` and the text; ValueError says what is wrong in `where`."""
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: is no UTF-8: {error}") from error
    marks = [number for number, line in enumerate(lines) if line.strip() == FENCE][:2]
    if len(marks) != 2 or marks[0] != 0:
        raise ValueError(f"{where}: begins with no front matter between two lines {FENCE}")
    try:
        front = msgspec.toml.decode("\n".join(lines[1 : marks[1]]), type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{where}: {error}") from error
    return front, "\n".join(lines[marks[1] + 1 :]).strip()
