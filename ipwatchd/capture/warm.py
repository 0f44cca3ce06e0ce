"""Compile the packet loop once, so that the next start finds it in the cache.

Run by tools/setup: python -m ipwatchd.capture.warm. Machine code of older versions is removed.
"""

from __future__ import annotations

import shutil
import sys
import time

from ipwatchd.capture.ahead import load_all
from ipwatchd.capture.jit import CACHE_ROOT, cache_folder

__all__ = ["main"]


def main() -> int:
    """Compile, and say how long it took."""
    start = time.monotonic()
    load_all()
    current = cache_folder()
    for folder in CACHE_ROOT.glob("loop-*"):
        if folder.name.removesuffix("-checked") != current.name:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stderr.write(f"packet loop ready after {time.monotonic() - start:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
