"""Rotation of a log that is written and followed meanwhile, by logrotate(8), with kills.

Debian package: logrotate. A writer appends numbered logins, logrotate renames, copies, truncates
and compresses, the follower is killed and started again. Told: what was lost, and what was
repeated. A kill may repeat the lines since the poll before it, and with copytruncate logrotate
itself loses what is written between its copy and its cut where nobody read that in time.
"""

from __future__ import annotations

import argparse
import gzip
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

MODES: Final = {
    "create": "create",
    "create, compress": "create\ncompress",
    "create, delaycompress": "create\ncompress\ndelaycompress",
    "dateext": "create\ndateext\ndateformat -%Y%m%d-%s",
    "copytruncate": "copytruncate",
    "copytruncate, compress": "copytruncate\ncompress",
}
WRITER: Final = """
import os, signal, sys, time
path, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
again = [True]
signal.signal(signal.SIGHUP, lambda *_: again.__setitem__(0, True))
number, file, begun = 0, -1, time.monotonic()
while time.monotonic() - begun < seconds:
    if again[0]:
        again[0] = False
        if file >= 0:
            os.close(file)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for _ in range(rate // 100):
        os.write(file, b"Nov 21 19:00:01 gw sshd[1]: Failed password for u%d from 192.0.2.1 port 9 ssh2\\n" % number)
        number += 1
    time.sleep(0.01)
print(number)
"""  # noqa: E501 - a log line
FOLLOWER: Final = """
import os, sys, time
from pathlib import Path
from ipwatchd.logs import Follower
follower = Follower([sys.argv[1]], state=Path(sys.argv[2]))
out = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
while True:
    users = "".join(f"{event.user[1:]}\\n" for event in follower.read(time.time()))
    if users:
        os.write(out, users.encode())
    time.sleep(0.05)
"""


def run(mode: str, seconds: float, rate: int, *, kills: bool, folder: Path) -> dict[str, int]:
    """Return lines written, lost and repeated, and how often the follower was killed."""
    log, state, out = (folder / name for name in ("app.log", "logs.json", "out"))
    pid = folder / "pid"
    rules = folder / "logrotate.conf"
    rules.write_text(
        f"{log} {{\nrotate 60\nsize 1\nmissingok\n{mode}\n"
        f"postrotate\nkill -HUP $(cat {pid})\nendscript\n}}\n"
    )
    rules.chmod(0o644)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(log), str(rate), str(seconds)], stdout=subprocess.PIPE
    )
    pid.write_text(str(writer.pid))
    chance = random.Random(7)
    command = [sys.executable, "-c", FOLLOWER, str(log), str(state), str(out)]
    follower = subprocess.Popen(command)
    killed = 0
    # A file never seen is read from its start: what was rotated before that is not asked for.
    while not state.exists():
        time.sleep(0.05)
    while writer.poll() is None:
        time.sleep(chance.uniform(0.2, 0.9))
        subprocess.run(
            ["logrotate", "-s", str(folder / "status"), str(rules)],
            check=False,
            capture_output=True,
        )
        if kills and chance.random() < 0.4:
            follower.send_signal(signal.SIGKILL)
            follower.wait()
            killed += 1
            time.sleep(chance.uniform(0, 1.5))
            follower = subprocess.Popen(command)
    written = int(writer.communicate()[0])
    size = -1
    while size != (size := out.stat().st_size):
        time.sleep(10)
    follower.kill()
    follower.wait()
    seen = Counter(map(int, out.read_text().split()))
    kept = {number for file in folder.glob("app.log*") for number in numbers(file)}
    return {
        "lines": written, "kills": killed, "files": len(list(folder.glob("app.log*"))),
        "lost": len(kept - set(seen)), "repeated": sum(seen.values()) - len(seen),
        "lost by logrotate": written - len(kept | set(seen)),
    }  # fmt: skip


def numbers(file: Path) -> list[int]:
    """Return the numbers of the lines of a log, packed or not."""
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [int(line.partition(b" for u")[2].partition(b" ")[0]) for line in data.splitlines()]


def main() -> None:
    """Rotate in every way and print what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rate", type=int, default=5000)
    options = parser.parse_args()
    for kills in (False, True):
        for name, mode in MODES.items():
            with tempfile.TemporaryDirectory() as folder:
                found = run(mode, options.seconds, options.rate, kills=kills, folder=Path(folder))
            print(f"{name:24} {found}", flush=True)


if __name__ == "__main__":
    main()
