"""Stands for the lab inside its shelter: mounts, starts processes, waits for the leash's end."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from ipwatchd.lab.shelter import tmpfs


def main() -> int:
    """Do so; the file's presence says when we are ready."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--leash", type=int, required=True)
    parser.add_argument("--exit", type=int)
    parser.add_argument("ready", type=Path, nargs="?")
    args = parser.parse_args()
    if args.exit is not None:
        return int(args.exit)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    (tmpfs() / "state").write_text("here")
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    args.ready.touch()
    while True:
        with contextlib.suppress(InterruptedError):
            if os.read(args.leash, 1) == b"":
                break
    Path(f"{args.ready}.cleaned").touch()
    del sleeper  # left running: the end of the namespace is what ends it
    return 0


if __name__ == "__main__":
    sys.exit(main())
