"""`ipwatchd flows` and `ipwatchd events`: captured files as records on stdout or in OUT."""

from __future__ import annotations

import contextlib
import sys
from typing import IO, TYPE_CHECKING

import msgspec

from ipwatchd.capture import read_files
from ipwatchd.cli.flow_formats import FORMATS
from ipwatchd.cli.progress import Progress
from ipwatchd.cli.table import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ipwatchd.capture import FileReport
    from ipwatchd.config import CaptureSettings

__all__ = ["run_events", "run_flows"]


def run_flows(
    files: Sequence[Path], settings: CaptureSettings, kind: str, output: Path | None
) -> int:
    """Write the flows of `files`; `kind` is one of FORMATS. Returns the exit status.

    Raises CaptureFileError for what is no capture, OSError where OUT can't be written,
    BrokenPipeError where the reader has had enough.
    """
    with _out(output) as out, contextlib.closing(Progress("flows")) as progress:
        source = read_files(files, settings, progress=progress.update, dissect=False)
        writer = FORMATS[kind](out, source.interfaces)
        for capture in source:
            if len(capture.flows):
                writer.write(capture.flows)
        writer.close()
        out.flush()
    _report(source.report)
    return 0


def run_events(files: Sequence[Path], settings: CaptureSettings, output: Path | None) -> int:
    """Write the wire events of `files` as JSON lines; as `run_flows`."""
    encoder = msgspec.json.Encoder()
    with _out(output) as out, contextlib.closing(Progress("events")) as progress:
        source = read_files(files, settings, progress=progress.update)
        for capture in source:
            if capture.events:
                out.write(encoder.encode_lines(capture.events))
        out.flush()
    _report(source.report)
    return 0


@contextlib.contextmanager
def _out(output: Path | None) -> Iterator[IO[bytes]]:
    try:
        if output is None:
            yield sys.stdout.buffer
            return
        with output.open("wb") as file:
            yield file
    except OSError as error:
        if error.filename is None:  # a write does not know what it writes to
            error.filename = output or "standard output"
        raise


def _report(report: FileReport) -> None:
    """Say on standard error what was left out."""
    for warning in report.warnings:
        say(f"warning: {warning}", sys.stderr)
    for name, what in (
        ("malformed", "packets with an IP header that can't be"),
        ("flows_shed", "packets that found no room in the flow table: raise [capture] flows"),
        ("events_shed", "payloads that found no room for dissection"),
    ):
        if count := getattr(report, name):
            print(f"warning: {count} {what}", file=sys.stderr)
