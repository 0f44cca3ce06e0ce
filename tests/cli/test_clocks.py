"""Clocks and pages from the command line, at a daemon that runs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from ipwatchd.cli import ipwatchctl
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace
    from tests.cli.conftest import Done

CONFIG = """
[capture]
source = "none"
[incidents]
country = "ES"
laws = ["nis2"]
contact = "dpo@example.net"
[escalation]
plan = "PLAN"
"""
PLAN = """
[channels.nowhere]
kind = "syslog"
address = "unix:/nowhere/log"
tries = 1
[people.ana]
contacts = [{ channel = "nowhere" }]
[catch_all]
targets = ["person:ana"]
"""
FACTS = ("confidentiality=yes", "integrity=no", "availability=no", "data=health", "malicious=yes",
         "ongoing=yes", "spread=one", "role=controller", "countries=ES",
         "subjects=40")  # fmt: skip


def test_a_case_under_gdpr_and_nis2_from_the_command_line(
    namespace: Callable[[str], Namespace], tmp_path: Path, ctl: Callable[..., Done]
) -> None:
    """Awareness, clocks, drafts, notices in phases, a request, a page that fails and an answer."""
    (tmp_path / "plan.toml").write_text(PLAN)
    config = CONFIG.replace("PLAN", str(tmp_path / "plan.toml"))
    agent = Agent(namespace("gateway"), tmp_path, config).start()

    def say(*words: object) -> Any:
        done: Done = ctl("--socket", agent.socket, *words)
        assert done.status == 0, done.err
        return done.out

    say("report", "a folder was open to all")
    one = "TESTSITE-000001"
    say("incidents", "classify", one, "data-leak")
    assert "P1" in say("incidents", "assess", one, *FACTS)
    assert "assumed: the opening" in say("incidents", "clocks", one)
    aware = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(days=2)
    stated = say("incidents", "aware", one, "--at", aware.isoformat())
    warning = (aware + dt.timedelta(days=1)).astimezone()
    assert f"next due: nis2.early-warning at {warning:%Y-%m-%d %H:%M:%S}" in stated
    late = say("clocks")
    assert late.index("nis2.early-warning") < late.index("gdpr.authority")
    assert "[MISSING]" in say("incidents", "notice", one, "gdpr.authority")
    sent = say("incidents", "notice", one, "gdpr.authority", "--sent", "--reference", "AEPD-1")
    assert "initial notice" in sent
    assert "still lacks" in sent
    written = ("--set", "consequences=none likely", "--set", "measures=closed", "--set",
               "records=40")  # fmt: skip
    final = say("incidents", "notice", one, "gdpr.authority", *written, "--sent")
    assert "final notice" in final
    assert "still lacks" not in final
    say("incidents", "request", one, "nis2.intermediate")
    assert "agrees" in say(
        "incidents", "waive", one, "gdpr.people", "--reason", "the folder was encrypted"
    )
    assert "not applied before" in say("regimes")
    agent.until(20, "status", has=lambda answer: answer["escalation"]["failed"])
    assert "BAD   channel nowhere: pages don't leave" in say("status")
    assert "ana failed" in say("pages")
    say("incidents", "ack", one)
    assert one not in say("pages")
    say("incidents", "escalate", one, "1", "--reason", "nobody calls back")
    agent.until(20, "pages", has=lambda rows: rows and rows[0]["cause"] == "asked for step 1")
    shown = say("incidents", "show", one)
    assert "duty       gdpr.authority: met, due" in shown
    assert "paged      ana by nowhere" in shown
    assert say("incidents", "verify").startswith(tuple("123456789"))
    assert agent.stop() == 0


def test_a_wrong_time_and_field_are_refused(ctl: Callable[..., Done], tmp_path: Path) -> None:
    """What can't be is said before anything is asked of the daemon."""
    nobody = ("--socket", tmp_path / "none")
    done = ctl(*nobody, "incidents", "aware", "x", "--at", "tomorrow")
    assert done.status == 2
    assert "no time" in done.err
    done = ctl(*nobody, "incidents", "notice", "x", "gdpr.authority", "--set", "consequences")
    assert "FIELD=TEXT" in done.err
    assert ipwatchctl.main(["--socket", str(tmp_path / "none"), "clocks"]) == 3
