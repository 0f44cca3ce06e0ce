"""`ipwatchctl`: look at and steer a running agent, or a state folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipwatchd.cli.ctl_parser import SOCKET, parser_for
from ipwatchd.cli.table import say
from ipwatchd.control.client import (
    Client,
    RefusedError,
    SocketTransport,
    Transport,
    UnreachableError,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

PATIENCE: Final = 30.0
"""Seconds until an answer, where a command asks for no more."""


def _transport(arguments: argparse.Namespace) -> Transport:
    if arguments.state:
        from ipwatchd.control.offline import StateTransport

        return StateTransport(arguments.state)
    path = arguments.socket or Path(os.environ.get("IPWATCHD_SOCKET", SOCKET))
    return SocketTransport(path, timeout=getattr(arguments, "patience", PATIENCE))


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - a status each
    """Run a command; every refusal is one sentence on standard error."""
    words = sys.argv[1:] if arguments is None else arguments
    parsed = parser_for(words).parse_args(words)
    if not hasattr(parsed, "action"):
        print("ipwatchctl: say what to do: ipwatchctl COMMAND --help", file=sys.stderr)
        return 2
    try:
        return _serve(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UnreachableError as error:
        return _refuse(str(error), 3)
    except RefusedError as error:
        return _refuse(str(error), error.exit)
    except (ValueError, OSError) as error:
        from ipwatchd.cli.refusal import refusal

        return _refuse(*refusal(error))


class _Patient:
    """A transport whose caller sees, on a terminal, that an answer takes its time."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.close = inner.close

    def call(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """Carry one call."""
        if not sys.stderr.isatty():
            return self._inner.call(method, target, body)
        from ipwatchd.cli.progress import Waiting  # threads are a terminal's alone

        with Waiting():
            return self._inner.call(method, target, body)


def _serve(parsed: argparse.Namespace) -> int:
    quiet = getattr(parsed, "terminal", False)  # the UI has it to itself
    client = Client(_transport(parsed) if quiet else _Patient(_transport(parsed)))
    try:
        status: int = parsed.action(client, parsed)
        sys.stdout.flush()
    finally:
        client.close()
    return status


def _refuse(text: str, status: int) -> int:
    say(f"ipwatchctl: {text}", sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
