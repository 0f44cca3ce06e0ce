"""The verdicts on the day of cases: a faultless day has no cross, each fault is named."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.lab.analysts import Refusal
from ipwatchd.lab.case_expect import PAPERS, Story, judge_cases, raised
from ipwatchd.lab.casebook import ANSWERS, DETECTED, REPORTED
from ipwatchd.lab.expect import pending
from ipwatchd.lab.post import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = {one.name: f"LAB-{number}" for number, one in enumerate((*DETECTED, *REPORTED), 1)}


def _event(kind: str, time: float = 1.0, **body: Any) -> dict[str, Any]:
    return {"kind": kind, "time": time, "body": body}


def _page(time: float, way: str, to: str, name: str, subject: str = "P1") -> Receipt:
    return Receipt(time, way, to, IDS.get(name, name), subject, "por qué ahora: x")


def _update() -> Receipt:
    body = "está confirmado: datos de contacto, 240 personas\n-- in English --\nit is"
    subject = "[TLP:AMBER] Incidente"
    return Receipt(13.0, "mail", "privacy@acme.example", IDS["leak"], subject, body)


def _timelines() -> dict[str, list[dict[str, Any]]]:
    report = {"language": "es", "answers": dict(enumerate(ANSWERS)), "original": "ab" * 32}
    urgent = _event("assessed", 10.0, priority="P1")
    told = [_event("updated", audience=one) for one in ("reporter", "client")]
    return {name: [] for name in IDS} | {
        "phishing": [_event("opened", report=report),
                     _event("checked", facts=[{"claim": "address", "known": True}])],
        "laptop": [_event("opened", report=report)],
        "again": [_event("suggested", duplicates=[{"id": IDS["laptop"]}])],
        "visitor": [_event("state", action="reject", second="ana")],
        "leak": [urgent, *told], "inside": [urgent],
        "card": [urgent, _event("acked", via="centre")],
    }  # fmt: skip


def _incidents() -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {
        one.name: {"id": IDS[one.name], "state": one.ends, "priority": "P4", "obligations": []}
        for one in (*DETECTED, *REPORTED)
    }
    rows["laptop"]["reports"] = ["mail-1", "call-1"]
    rows["visitor"]["paging"] = {"pages": [
        {"channel": "mail", "state": "failed"},
        {"channel": "hook", "state": "delivered", "instead": 1},
    ]}  # fmt: skip
    duties: list[dict[str, Any]] = [
        {"id": name, "state": "met", "done": 200.0, "due": 100.0 + 6 * 3600}
        for name in ("cert-in.report", "gdpr.controller", "client-acme.first-call")
    ]
    duties[1]["notices"] = [{"stage": "initial"}, {"stage": "final"}]
    letters = [{"person": "dina", "state": "delivered"}, {"person": "", "state": "delivered"}]
    rows["leak"] |= {"aware": 100.0, "obligations": duties, "letters": letters}
    return rows


def _story() -> Story:
    """Return what a faultless day would have been."""
    rows = _incidents()
    return Story(
        ids=dict(IDS), incidents=rows, timelines=_timelines(),
        texts={
            "phishing": "¿Qué pidió, con sus palabras? …",
            "card": f"401 -\n200 {IDS['card']}\n200 {IDS['card']}",
            "link": "200 True 200 Acknowledged",
            "clocks": "cert-in.report gdpr.controller client-acme.first-call",
            "draft": "measures\n  [MISSING]\nmissing: measures  (--set FIELD=TEXT)",
            "update": "Subject: [TLP:AMBER] x\nestá confirmado: datos de contacto, 240 personas",
            "verify": "258 events hold together\n12 incidents and 9 files are what the log says",
            "verify at the centre": '[{"site":"lab","first_bad_seq":null}]',
            "sums": "5 files are as the manifest says",
            "trends": "all  11  0", "trends at the centre": "all  11  0",
        },
        acked={"leak": 10.2, "inside": 14.0}, papers=dict(PAPERS), all=list(IDS.values()),
        central=[{"id": row["id"], "state": row["state"]} for row in rows.values()],
        refusals=[Refusal("rejecting a P1 alone", "second person", "needs a second person", 1)],
        mails=[_page(10.1, "mail", "ana@x", "leak"), _page(10.1, "mail", "ana@x", "inside"),
               _page(13.1, "mail", "ben@x", "inside"), _page(10.1, "mail", "ana@x", "card")],
        hooks=[_page(20.0, "hook", "", "visitor")],
        letters=[_page(12.0, "mail", "dina@x", "leak", "told"), _update()],
        far_mails=[_page(30.0, "mail", "ana@y", "CENTRE-1", "site lab is silent"),
                   _page(40.0, "mail", "ana@y", "CENTRE-2", f"{IDS['card']}: a note"),
                   _page(50.0, "mail", "ana@y", "CENTRE-3", f"{IDS['night']}: a scan")],
        cut_off=True, killed=35.0, forged=9, commands=100,
    )  # fmt: skip


def test_a_faultless_day_has_no_cross() -> None:
    """Everything that was expected was seen."""
    assert pending(judge_cases(_story())) == []


def _late(story: Story) -> None:
    story.mails = [one._replace(time=11.2) for one in story.mails]


def _paged_on(story: Story) -> None:
    story.hooks = [*story.hooks, _page(19.0, "hook", "", "leak")]


def _done(story: Story) -> None:
    story.refusals = [Refusal("closing it", "needs", "it was done: LAB-1 is CLOSED", 0)]


def _lost(story: Story) -> None:
    story.central = story.central[1:]


def _elsewhere(story: Story) -> None:
    story.central = [dict(one, state="NEW") for one in story.central]


def _overdue(story: Story) -> None:
    story.incidents["leak"]["obligations"][1]["done"] = 1e9


def _undecided(story: Story) -> None:
    story.incidents["scan"]["obligations"] = [{"id": "a.b", "state": "possible"}]


def _unmerged(story: Story) -> None:
    story.incidents["again"]["state"] = "NEW"


def _no_hook(story: Story) -> None:
    story.incidents["visitor"]["paging"] = {"pages": [{"channel": "mail", "state": "failed"}]}


def _silence(story: Story) -> None:
    story.far_mails = story.far_mails[1:]


def _not_taken_over(story: Story) -> None:
    story.killed = 50.0


def _not_handed_over(story: Story) -> None:
    story.mails = [*story.mails, _page(50.0, "mail", "ana@x", "night")]


def _one_step(story: Story) -> None:
    story.mails = [one for one in story.mails if not one.to.startswith("ben")]


def _accused(story: Story) -> None:
    story.all = [*story.all, "LAB-99"]


def _broken(story: Story) -> None:
    story.texts["verify"] = "event 3 does not hold"


def _no_page(story: Story) -> None:
    story.papers["week.pdf"] = 10


def _untold(story: Story) -> None:
    story.letters = story.letters[1:]


def _told_in_vain(story: Story) -> None:
    story.incidents["leak"]["letters"][0]["state"] = "failed"


def _unsent(story: Story) -> None:
    story.letters = story.letters[:1]


def _unasked(story: Story) -> None:
    story.texts["phishing"] = "What did the caller ask for?"


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_late, "in 1 s"), (_paged_on, "answered by the link"), (_done, "refused: closing it"),
        (_lost, "every incident is at the centre"), (_elsewhere, "in the state that it has"),
        (_overdue, "met in time"), (_undecided, "met in time"), (_unmerged, "the same laptop"),
        (_no_hook, "by the web hook"), (_silence, "the site is silent"),
        (_not_taken_over, "in its place"), (_one_step, "the next step"),
        (_not_handed_over, "handed over"), (_accused, "nothing else"),
        (_broken, "the site's log"), (_no_page, "week.pdf"),
        (_unasked, "asked in Spanish"), (_untold, "privacy officer"),
        (_told_in_vain, "privacy officer"), (_unsent, "the English words beneath"),
    ],
)  # fmt: skip
def test_each_fault_is_named(spoil: Callable[[Story], None], named: str) -> None:
    """One thing is not as it should be, and a line of the summary says so."""
    story = copy.deepcopy(_story())
    spoil(story)
    crosses = pending(judge_cases(story))
    assert any(named in one for one in crosses), crosses


def test_a_pdf_that_can_not_be_made_here_is_said_and_is_no_cross() -> None:
    """WeasyPrint is no part of what the lab needs; without the words it is a cross."""
    story = _story()
    story.papers.pop("week.pdf")
    story.texts["failed week.pdf"] = "PDF can't be made here (No module): pip install …"
    assert pending(judge_cases(story)) == []
    story.texts["failed week.pdf"] = "the disk is full"
    assert pending(judge_cases(story)) == ["week.pdf is written"]


def test_a_priority_counts_from_when_it_first_became_a_p1() -> None:
    """Lower ones before do not; later ones change nothing."""
    assert raised([]) == 0.0
    told = (("opened", 1.0, "P3"), ("note", 2.0, "P1"), ("prioritised", 3.0, "P1"),
            ("assessed", 4.0, "P1"))  # fmt: skip
    events = [_event(kind, time, priority=priority) for kind, time, priority in told]
    assert raised(events) == 3.0
