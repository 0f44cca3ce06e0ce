"""The programs under test, started as a person would start them: the daemon and the collector."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.lab.site import MANAGEMENT, ZONES, named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ipwatchd.lab.certificates import KeyPair
    from ipwatchd.lab.netns import Namespace

__all__ = ["PORT", "SITE", "Centre", "Gateway", "Program", "ProgramError"]

SITE: Final = "lab"
PORT: Final = 8470
_STOP_SECONDS: Final = 10.0
_COMMAND_SECONDS: Final = 30.0
_CLI: Final = "ipwatchd.cli"


class ProgramError(Exception):
    """A program failed; the text is what it said."""


class Program:
    """One process in a namespace; what it says goes to a log file."""

    def __init__(self, namespace: Namespace, command: Sequence[str], log: Path) -> None:
        self.log = log
        self._namespace = namespace
        self._command = [sys.executable, "-m", *command]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches it through us alone."""
        with self.log.open("ab") as log:
            self._process = self._namespace.popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    async def stop(self) -> None:
        """Ask it to end and wait; kill it where it doesn't."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            await self.kill()

    async def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def reload(self) -> None:
        """Have it read its configuration again (SIGHUP)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def last_words(self, lines: int = 8) -> str:
        """Return the end of its log."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


async def _output(namespace: Namespace, command: Sequence[str]) -> str:
    """Run one of our commands in a namespace and return what it printed."""
    full = [sys.executable, "-m", *command]
    done = await asyncio.to_thread(
        namespace.run, full, check=False, timeout=_COMMAND_SECONDS, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise ProgramError(f"{' '.join(command)}: {said}")
    return str(done.stdout)


class Centre:
    """The collector on its own host of the internet side."""

    def __init__(
        self, namespace: Namespace, folder: Path, pair: KeyPair, options: Sequence[str] = ()
    ) -> None:
        self._namespace = namespace
        self._state = folder / "state"
        self._state.mkdir(parents=True)
        self.url = f"https://{named('centre').ipv4}:{PORT}"
        self.program = Program(
            namespace,
            [
                f"{_CLI}.central", "run", "--state", str(self._state),
                "--host", named("centre").ipv4, "--port", str(PORT),
                "--certificate", str(pair.certificate), "--key", str(pair.key), *options,
            ],
            folder / "log",
        )  # fmt: skip

    async def token(self) -> str:
        """Enrol the site and return its token."""
        command = [f"{_CLI}.central", "token", "add", SITE, "--state", str(self._state)]
        return (await _output(self._namespace, command)).strip().splitlines()[-1]

    async def incidents(self) -> list[dict[str, Any]]:
        """Return the incidents that its own store holds."""
        return _rows(await self.ctl("incidents", "--json"))

    async def ctl(self, *words: str) -> str:
        """Run ipwatch-central there and return what it printed; ProgramError where it fails."""
        command = [f"{_CLI}.central", *words, "--state", str(self._state)]
        return await _output(self._namespace, command)


def _rows(text: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON array, a page's rows or JSON lines."""
    try:
        value = json.loads(text or "[]")
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(value, dict):
        value = value.get("rows", [value])
    return list(value)


_CONFIG: Final = """\
[site]
name = "{site}"
state_dir = "{state}"

[capture]
# The gateway forwards, so its flows are those of connection tracking ("auto"). Names, and what a
# rule drops, come from here: every packet that crosses the site's border passes once.
source = "auto"
interfaces = ["wan0"]
tcp_attempt_timeout = 2.0
tcp_closed_timeout = 1.0
udp_timeout = 3.0
icmp_timeout = 3.0

[zones]
{zones}

[history]
free_bytes = 1048576
archive_bytes = 134217728
segment_seconds = 10.0

[firewall]
mode = "enforce"
management = {management}

[incidents]
auto_deny = ["port-scan", "password-guessing"]
deny_seconds = 3600.0
{incidents}
[uplink]
url = "{url}"
token_file = "{token}"
ca_file = "{ca}"
retry_seconds = 0.5
poll_seconds = {poll}

[control]
socket = "{socket}"

[logs]
files = {logs}
{more}"""


class Gateway:
    """The daemon on the gateway and the command line that a person uses there."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self.namespace = namespace
        self.socket = folder / "control.sock"
        self.state = folder / "state"
        self.state.mkdir(parents=True)
        self._folder = folder
        self._config = folder / "ipwatchd.toml"
        self.program = Program(
            namespace, [f"{_CLI}.ipwatchd", "run", "--config", str(self._config)], folder / "log"
        )

    def configure(
        self, *, url: str, token: str, authority: Path, logs: Sequence[Path],
        incidents: str = "", more: str = "", poll: float = 2.0,
    ) -> None:  # fmt: skip
        """Write the configuration file and the token.

        `incidents` are more lines of that section, `more` are more sections.
        """
        token_file = self._folder / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(token + "\n", "ascii")
        zones = "\n".join(f"{name} = {json.dumps(nets)}" for name, nets in ZONES.items())
        self._config.write_text(
            _CONFIG.format(
                site=SITE, state=self.state, zones=zones, management=json.dumps(MANAGEMENT),
                url=url, token=token_file, ca=authority, socket=self.socket,
                logs=json.dumps([str(path) for path in logs]), incidents=incidents, more=more,
                poll=poll,
            ),
            "utf-8",
        )  # fmt: skip

    def change(self, old: str, new: str) -> None:
        """Change the configuration file as an editor does, and have it read again."""
        text = self._config.read_text("utf-8")
        self._config.write_text(text.replace(old, new), "utf-8")
        self.program.reload()

    def command(self, *words: str) -> list[str]:
        """Return ipwatchctl's command line, to be run in the gateway."""
        return [f"{_CLI}.ipwatchctl", "--socket", str(self.socket), *words]

    async def ctl(self, *words: str) -> str:
        """Run ipwatchctl on the gateway and return what it printed; ProgramError where it fails."""
        return await _output(self.namespace, self.command(*words))
