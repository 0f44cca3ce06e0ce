"""What detectors learned, kept in one file across restarts (state folder, baselines.bin)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ipwatchd.detect.detector import Detector

__all__ = ["load_baselines", "save_baselines", "unlearn", "unlearn_file"]

_VERSION: Final = 1
_MOST: Final = 512 << 20
"""Bytes of the file; tables are bounded, so that a larger one is not ours."""


class _File(msgspec.Struct):
    version: int
    learned: dict[str, Any]


def save_baselines(path: Path, detectors: Sequence[Detector]) -> None:
    """Write what was learned in one step (rename(2)). Raises OSError."""
    _write(path, {one.rule: state for one in detectors if (state := one.remember()) is not None})


def unlearn(old: Sequence[Detector], new: Sequence[Detector], without: Callable[[Any], Any]) -> int:
    """Hand fresh detectors what the old learned, `without` somebody; return how many knew them."""
    changed = 0
    fresh = {one.rule: one for one in new}
    for detector in old:
        state = detector.remember()
        if state is None or detector.rule not in fresh:
            continue
        kept = without(state)
        changed += _packed(kept) != _packed(state)
        fresh[detector.rule].recall(kept)
    return changed


def unlearn_file(path: Path, without: Callable[[Any], Any]) -> int:
    """Take somebody out of the file; return how many detectors knew them. Raises OSError.

    A file that can't be read is removed: detectors would not take it either.
    """
    try:
        stored = msgspec.msgpack.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return 0
    except (msgspec.MsgspecError, UnicodeDecodeError):
        path.unlink()
        return 0
    kept = {rule: without(state) for rule, state in stored.learned.items()}
    changed = sum(_packed(kept[rule]) != _packed(state) for rule, state in stored.learned.items())
    if changed:
        _write(path, kept)
    return changed


def _packed(state: Any) -> bytes:
    return msgspec.msgpack.encode(state)


def _write(path: Path, learned: dict[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(msgspec.msgpack.encode(_File(_VERSION, learned)))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def load_baselines(path: Path, detectors: Sequence[Detector]) -> str:
    """Give detectors back what they learned; return a sentence where that can't be, else ""."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
        stored = msgspec.msgpack.decode(data, type=_File)
    except FileNotFoundError:
        return ""
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        return f"{path} can't be read, detectors learn anew: {error}"
    if stored.version != _VERSION:
        return f"{path} is of another version, detectors learn anew"
    for detector in detectors:
        learned = stored.learned.get(detector.rule)
        if learned is None:
            continue
        try:
            detector.recall(learned)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return f"{path}: what {detector.rule} learned is damaged, it learns anew: {error}"
    return ""
