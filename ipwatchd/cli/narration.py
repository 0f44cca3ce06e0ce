"""The daemon's narration on standard error: a line a fact, for people or for the journal."""

from __future__ import annotations

import logging
import os
import sys

import structlog

__all__ = ["narrate"]


def narrate() -> None:
    """Set up structlog: coloured on a terminal, key=value elsewhere; no time under systemd."""
    journal = "JOURNAL_STREAM" in os.environ
    steps: list[structlog.typing.Processor] = [structlog.processors.add_log_level]
    if not journal:
        steps.append(structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False))
    if sys.stderr.isatty():
        steps.append(structlog.dev.ConsoleRenderer())
    else:
        steps.append(structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]))
    structlog.configure(
        processors=steps,
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
