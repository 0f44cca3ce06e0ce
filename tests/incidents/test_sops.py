"""SOPs and intake scripts: those that are shipped, and the right ones for a case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ipwatchd.incidents.fold import fold
from ipwatchd.incidents.intake.duplicates import duplicates
from ipwatchd.incidents.intake.scripts import check_scripts, claims, parse_script
from ipwatchd.incidents.policy import load_policy, shipped
from ipwatchd.incidents.sops import check_sops, matching, parse_sop
from ipwatchd.records.incident import Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ipwatchd.incidents import Incidents
    from ipwatchd.records.finding import Finding

    Open = Callable[..., AbstractAsyncContextManager[Incidents]]

POLICY = load_policy()
ON_THE_PHONE = {
    "phishing-call", "lost-device", "wrong-disclosure", "account-sharing", "ransomware-note",
}  # fmt: skip


def test_what_is_shipped() -> None:
    """At least 12; those of the phone in English, Spanish, Tagalog; every detector has one."""
    by_language: dict[str, set[str]] = {}
    for sop in POLICY.sops:
        by_language.setdefault(sop.language, set()).add(sop.id)
        assert any(step.mandatory for step in sop.steps)
        assert sop.text
    assert len(by_language["en"]) >= 12
    assert by_language["es"] == by_language["tl"] == ON_THE_PHONE
    raised = {rule for sop in POLICY.sops for rule in sop.rules}
    assert raised >= {"port-scan", "password-guessing", "denied-contact", "firewall-tampered"}
    kinds = {script.kind for script in POLICY.scripts}
    assert {kind for sop in POLICY.sops for kind in sop.kinds} <= kinds
    assert all(script.title.keys() >= {"en", "es", "tl"} for script in POLICY.scripts)


@pytest.mark.parametrize(
    ("rule", "kind", "classification", "language", "expected"),
    [("port-scan", "", "scanner", "", [("port-scan", "en")]),
     ("report", "phishing-call", "phishing", "es-MX", [("phishing-call", "es")]),
     ("report", "lost-device", "data-loss", "de", [("lost-device", "en")]),
     ("report", "phishing-mail", "infected-system", "tl",
      [("phishing-mail", "en"), ("infected-system", "en")]),
     ("report", "", "undetermined", "en", [])],
)  # fmt: skip
def test_a_case_gets_the_right_ones(
    rule: str, kind: str, classification: str, language: str, expected: list[tuple[str, str]]
) -> None:
    """By rule, script and class; in the reporter's language where there is one, else English."""
    found = matching(
        POLICY.sops, rule=rule, kind=kind, classification=classification, language=language
    )
    assert [(sop.id, sop.language) for sop in found] == expected


async def test_reclassifying_brings_the_steps_and_keeps_those_begun(opened: Open) -> None:
    """A new class adds its SOP; one that nobody began goes, one with a tick or signature stays."""
    report = Report(
        id="r", received=1.0, channel="call", reporter="ana", text="x", kind="phishing-call"
    )
    async with opened() as incidents:
        first = await incidents.report(report, 1.0)
        assert first.classification == "phishing"

        async def act(action: str, reason: str = "", **details: str) -> None:
            await incidents.act(
                first.id, action, actor="ben", reason=reason, now=2.0, details=details
            )

        await act("classify", "infected-system: it ran")
        await act("read", sop="infected-system")
        await act("tick", "called him", step="phishing-call/what-was-said")
        await act("classify", "burglary")
        now = await incidents.incident(first.id)
        assert now is not None
        assert [one.id for one in now.sops] == ["phishing-call", "infected-system", "visitor"]
        assert now.sops[1].read == {"ben": 2.0}
        ticked = [one for one in now.tasks if one.done]
        assert [(one.step, one.by, one.note) for one in ticked] == [
            ("what-was-said", "ben", "called him")
        ]
        assert fold(await incidents.after(0)) == {first.id: now}


async def test_merging_keeps_all_reports_and_what_goes_on(
    opened: Open, finding: Callable[..., Finding]
) -> None:
    """Reports of both are in the one that stays; the merged attack grows it, restart or not."""
    call = Report(id="r1", received=1.0, channel="call", reporter="ana", text="they scan us")
    async with opened() as incidents:
        scan = await incidents.finding(finding(), 1000.0)
        told = await incidents.report(call, 1001.0)
        assert scan is not None
        with pytest.raises(ValueError, match="itself"):
            await incidents.act(told.id, "merge", actor="b", now=1.0, details={"target": told.id})
        merged = await incidents.act(
            scan.id, "merge", actor="ben", reason="same", now=1002.0, details={"target": told.id}
        )
        assert (merged.state, merged.merged_into) == ("MERGED", told.id)
        await incidents.finding(finding(count=90, at=1003.0), 1003.0)
    async with opened() as incidents:
        await incidents.finding(finding(count=10, at=9000.0), 9000.0)
        await incidents.flush(9010.0)
        (stays,) = await incidents.list()
        assert stays.id == told.id
        assert stays.count == 1 + 20 + 90 + 10
        assert stays.reports == ("r1",)
        assert (await incidents.of_report("r1")) == stays
        with pytest.raises(ValueError, match="MERGED"):
            await incidents.act(
                told.id, "merge", actor="b", reason="", now=1.0, details={"target": scan.id}
            )


async def test_duplicates_are_told_by_subject_kind_time_and_text(opened: Open) -> None:
    """The second call about the same thing names the first; another matter does not."""

    def told(number: int, text: str, **more: str) -> Report:
        return Report(
            id=f"r{number}", received=1000.0 + number, channel="call", reporter="ana", text=text,
            **more,  # type: ignore[arg-type]
        )  # fmt: skip

    async with opened() as incidents:
        first = await incidents.report(
            told(1, "A caller from the bank asked for my password", kind="phishing-call"), 1.0
        )
        other = await incidents.report(told(2, "The lift is broken"), 2.0)
        again = await incidents.report(
            told(3, "Caller said he is from the bank, asked for my password", kind="phishing-call"),
            3.0,
        )
        found = duplicates(again, [first, other, again])
    assert [one.id for one in found] == [first.id]
    assert "same kind" in found[0].why


async def test_a_number_that_both_name_makes_a_mail_and_a_call_alike(opened: Open) -> None:
    """The same laptop by mail and by telephone, in other words; a date alone is no such number."""

    def told(number: int, channel: str, text: str) -> Report:
        return Report(
            id=f"r{number}", received=1000.0 + number, channel=channel, reporter="jose", text=text
        )

    async with opened() as incidents:
        mail = await incidents.report(told(1, "e-mail", "Lost: my machine lt-0342"), 1.0)
        call = await incidents.report(told(2, "call", "Jose left LT-0342 in a taxi"), 2.0)
        day = await incidents.report(told(3, "call", "Noise on 2026-11-21"), 3.0)
        also = await incidents.report(told(4, "call", "The lift stands since 2026-11-21"), 4.0)
        found = duplicates(call, [mail, call, day, also])
        none = duplicates(also, [mail, call, day])
    assert [(one.id, "both name LT-0342" in one.why) for one in found] == [(mail.id, True)]
    assert none == []


SOP = (shipped() / "sops" / "phishing-call.es.md").read_text()
SCRIPT = (shipped() / "intake" / "phishing-call.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [("+++", "---", "front matter"), ('id = "sign-out"', 'id = "Sign out"', "no id"),
     ('id = "sign-out"', 'id = "what-was-said"', "id of its own"), ("mandatory", "must", "must"),
     ('language = "es"', 'language = "en"', "twice in en"),
     ('version = "1"', 'version = "2"', "alike"),
     ('id = "sign-out"', 'id = "sign"', "alike"), ('"phishing", ', '"fishing", ', "phishing")],
)  # fmt: skip
def test_a_bad_sop_is_refused_when_loaded(old: str, new: str, says: str) -> None:
    """A step that is missing in a translation is found at the start, not in the emergency."""
    others = [sop for sop in POLICY.sops if (sop.id, sop.language) != ("phishing-call", "es")]
    assert old in SOP
    with pytest.raises(ValueError, match=says):
        check_sops([*others, parse_sop(SOP.replace(old, new, 1).encode(), "x")],
                   POLICY.taxonomy, "config/sops")  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [('claim = "time"', 'claim = "date"', "date"), (', es = "', ', fr = "', "languages"),
     ('classification = "phishing"', 'classification = "trick"', "trick"),
     ('id = "number"', 'id = "when"', "of its own")],
)  # fmt: skip
def test_a_bad_script_is_refused_when_loaded(old: str, new: str, says: str) -> None:
    """A question without a translation, or a class that is none, is found at the start."""
    with pytest.raises(ValueError, match=says):
        check_scripts(
            [parse_script(SCRIPT.replace(old, new, 1).encode(), "x")], POLICY.taxonomy, "x"
        )


def test_answers_are_kept_as_given_and_must_be_whole() -> None:
    """What is required is asked for by name; claims are those our records may know."""
    script = POLICY.script("phishing-call")
    assert script is not None
    with pytest.raises(ValueError, match="when, asked, given"):
        script.answers({"number": "+34"})
    with pytest.raises(ValueError, match="no question"):
        script.answers({"colour": "red"})
    given = {"when": "hoy", "asked": " contraseña ", "given": "nada", "agent": "maria"}
    assert script.answers(given) == given
    assert claims(script, given) == [("time", "hoy"), ("agent", "maria")]


def test_a_site_may_have_its_own(tmp_path: Path) -> None:
    """Files of the site's folder stand in for the shipped ones of the same name."""
    (tmp_path / "sops").mkdir()
    text = (shipped() / "sops" / "visitor.en.md").read_text()
    own = re.sub('title = ".*"', 'title = "Ours"', text)
    (tmp_path / "sops" / "visitor.en.md").write_text(own)
    titles = {sop.id: sop.title for sop in load_policy(str(tmp_path)).sops if sop.language == "en"}
    assert titles["visitor"] == "Ours"
    assert titles["port-scan"] != "Ours"
    with pytest.raises(ValueError, match="no folder"):
        load_policy(str(tmp_path / "none"))
