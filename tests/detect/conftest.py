"""Flows made by hand, flows read from other sensors' logs, and detectors to give them to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.detect.flow_logs import flow_batch, flow_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray


def failed(**row: Any) -> dict[str, Any]:
    """Return a row for a SYN that nobody answered."""
    return {
        "state": "S0", "orig_packets": 1, "orig_bytes": 44, "resp_packets": 0, "resp_bytes": 0,
        "orig_flags": 2, "resp_flags": 0,
    } | row  # fmt: skip


@pytest.fixture
def batch() -> Callable[[Iterable[dict[str, Any]]], NDArray[np.void]]:
    """Make flows from rows."""
    return flow_batch


@pytest.fixture
def syn() -> Callable[..., dict[str, Any]]:
    """Make rows for SYNs without an answer."""
    return failed


@pytest.fixture
def nobody() -> Callable[[Any, Any], NDArray[np.bool_]]:
    """Deny nobody."""
    return lambda hi, lo: np.zeros(len(hi), np.bool_) & (lo == 0)


@pytest.fixture
def read_flow_log() -> Callable[[Path], NDArray[np.void]]:
    """Read Zeek's conn.log (JSON lines or TSV) or an Argus file as flows."""
    return flow_log
