"""A real daemon in a namespace, for tests: started, asked, signalled, killed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, Self

from ipwatchd.cli import ipwatchctl

if TYPE_CHECKING:
    import signal
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace

START_SECONDS = 60.0


class Agent:
    """`ipwatchd run` on a state folder of its own; `config` is TOML put behind the defaults."""

    def __init__(self, namespace: Namespace, folder: Path, config: str) -> None:
        self.namespace = namespace
        self.folder = folder
        self.state = folder / "state"
        self.socket = folder / "control.sock"
        self.path = folder / "ipwatchd.toml"
        self.write(config)
        self.prefix: list[str] = []
        """Command that runs the daemon's: another user, a mount of its own."""
        self.process: subprocess.Popen[str] | None = None
        self.log = folder / "narration.txt"

    def write(self, config: str) -> None:
        """Write the configuration file."""
        head = f'[site]\nname = "testsite"\nstate_dir = "{self.state}"\n'
        head += f'[control]\nsocket = "{self.socket}"\n'
        self.path.write_text(head + config, encoding="utf-8")

    def start(self) -> Self:
        """Start and wait until the control socket answers."""
        with self.log.open("a") as log:
            self.process = self.namespace.popen(self.command(), stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended: {self.narration()}")
            if self.socket.exists() and self._command("status")[0] == 0:
                return self
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"the daemon does not answer: {self.narration()}")

    def command(self) -> list[str]:
        """Return what starts the daemon."""
        run = [sys.executable, "-m", "ipwatchd.cli.ipwatchd", "run", "--config", str(self.path)]
        return [*self.prefix, *run]

    def refused(self) -> subprocess.CompletedProcess[str]:
        """Start a daemon that is expected to end by itself; return how it did."""
        return self.namespace.run(self.command(), check=False)

    def narration(self) -> str:
        """Return what the daemon has said so far."""
        return self.log.read_text(encoding="utf-8")

    def ctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ipwatchctl against the socket."""
        command = [sys.executable, "-m", "ipwatchd.cli.ipwatchctl", "--socket", str(self.socket)]
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{words}: {done.returncode} {done.stderr}{self.narration()}")
        return done

    def ask(self, *words: str) -> Any:
        """Run ipwatchctl in this process, which is sooner, and return its JSON."""
        status, out, said = self._command("--json", *words)
        if status:
            raise AssertionError(f"{words}: {status} {said}{self.narration()}")
        return json.loads(out)

    def _command(self, *words: str) -> tuple[int, str, str]:
        out, said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        with redirect_stdout(out), redirect_stderr(said):
            status = ipwatchctl.main(["--socket", str(self.socket), *words])
        out.seek(0)
        return status, out.read(), said.getvalue()

    def until(self, seconds: float, *words: str, has: Any) -> Any:
        """Ask again until `has(answer)` is true; return that answer."""
        end = time.monotonic() + seconds
        while True:
            answer = self.ask(*words)
            if has(answer):
                return answer
            assert time.monotonic() < end, f"{words}: still {answer}\n{self.narration()}"
            time.sleep(0.2)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as the out-of-memory killer would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """End it in order and return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)
