"""A typed door to numba: the packet loop's functions are compiled once and kept on disk.

Numba does no bounds checks, so compiled functions read packets through `octets` alone. The same
code runs as plain Python with NUMBA_DISABLE_JIT=1 and checked with NUMBA_BOUNDSCHECK=1.

Numba notices a change of a function's own file but not of those it calls. The cache's folder
therefore carries a digest of all sources that are compiled or frozen into compiled code.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CACHE_ROOT", "cache_folder", "compiled", "i64", "inlined", "u64"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

i64: Callable[[Any], int] = cast("Callable[[Any], int]", np.int64)
"""Widen to a signed 64-bit number. mypy sees an int, numba and plain Python see numpy's scalar."""

u64: Callable[[Any], int] = cast("Callable[[Any], int]", np.uint64)
"""Widen to an unsigned 64-bit number. Never mix with signed ones: numba makes floats of that."""

_CONSTANTS: Final = frozenset({"conntrack_entry.py", "packet.py", "ports.py", "tap.py"})
"""Files without compiled code whose numbers are frozen into it."""

CACHE_ROOT: Final = Path(__file__).resolve().parent / "__pycache__"


def cache_folder() -> Path:
    """Return where this version's machine code is kept."""
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).resolve().parent.glob("*.py")):
        text = source.read_bytes()
        if b"@compiled" in text or b"@inlined" in text or source.name in _CONSTANTS:
            digest.update(text)
    checked = "-checked" if numba.config.BOUNDSCHECK else ""
    return CACHE_ROOT / f"loop-{digest.hexdigest()[:16]}{checked}"


def _user_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - may be no home
    return Path(given) / "ipwatchd"


def _may_write(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _use_cache_folder() -> bool:
    """Point numba at a folder of ours that can be written; False where there is none.

    Never a shared one like /tmp: whoever can write there could give us code to run.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return _may_write(Path(os.environ["NUMBA_CACHE_DIR"]))
    ours = cache_folder()
    for folder in (ours, _user_cache() / ours.name):
        if _may_write(folder):
            numba.config.CACHE_DIR = str(folder)
            return True
    return False


_KEPT: Final = _use_cache_folder()
_OPTIONS: Final = {"nogil": True, "error_model": "numpy", "_nrt": False}


def compiled(function: _Function) -> _Function:
    """Compile on first use; the code releases the GIL and never raises ZeroDivisionError.

    Without numba's reference counting (`_nrt`, as numba's own array code is compiled): the arrays
    belong to the caller for the whole call, and counting them took two thirds of a packet's time.
    Compiled code can therefore make no arrays, lists or strings.
    """
    return cast("_Function", numba.njit(cache=_KEPT, **_OPTIONS)(function))


def inlined(function: _Function) -> _Function:
    """Compile into every caller: for what each packet passes through.

    A call that takes the table passes 77 words on the stack, which is dearer than what it does.
    """
    return cast("_Function", numba.njit(forceinline=True, **_OPTIONS)(function))
