"""What was expected of the day of cases against what was seen: pure, a verdict a line."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.lab.casebook import ANSWERS, DETECTED, REPORTED
from ipwatchd.lab.expect import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ipwatchd.lab.analysts import Refusal
    from ipwatchd.lab.post import Receipt

__all__ = ["PAPERS", "Story", "judge_cases", "raised"]

_SECOND: Final = 1.0
_SPANISH: Final = ("[TLP:AMBER]", "datos de contacto", "240 personas", "está confirmado")
_RAISES: Final = frozenset({"opened", "assessed", "prioritised", "grown"})
PAPERS: Final = {
    "case.html": 4000, "case.pdf": 8000, "week.html": 4000, "week.pdf": 8000, "case.zip": 1000,
    "week.csv": 1000, "week.stix": 1000, "week.ocsf": 1000, "pages.txt": 1000,
    "all-sites.html": 4000,
}  # fmt: skip
"""The day's papers and the bytes that each has at least."""


@dataclasses.dataclass
class Story:
    """What was seen of the day. Names are those of the casebook."""

    ids: dict[str, str] = dataclasses.field(default_factory=dict)
    incidents: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    timelines: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    acked: dict[str, float] = dataclasses.field(default_factory=dict)
    papers: dict[str, int] = dataclasses.field(default_factory=dict)
    all: Sequence[str] = ()
    central: Sequence[dict[str, Any]] = ()
    refusals: Sequence[Refusal] = ()
    mails: Sequence[Receipt] = ()
    hooks: Sequence[Receipt] = ()
    letters: Sequence[Receipt] = ()
    far_mails: Sequence[Receipt] = ()
    cut_off: bool = False
    killed: float = 0.0
    forged: int = 0
    commands: int = 0


def judge_cases(story: Story) -> dict[str, list[Verdict]]:
    """Return the verdicts on the day, by what they are about."""
    return {
        "intake": _intake(story),
        "pages": _pages(story),
        "guards": _guards(story),
        "duties": _duties(story),
        "the centre": _centre(story),
        "endings": _endings(story),
        "proof": _proof(story),
    }


def raised(timeline: Iterable[dict[str, Any]]) -> float:
    """Return when an incident first became a P1 by its log, 0 where it never did."""
    for event in timeline:
        body = event["body"]
        if event["kind"] in _RAISES and body.get("priority") == "P1":
            return float(event["time"])
    return 0.0


def _bodies(story: Story, name: str, kind: str) -> list[dict[str, Any]]:
    return [one["body"] for one in story.timelines.get(name, ()) if one["kind"] == kind]


def _intake(story: Story) -> list[Verdict]:
    verdicts = [
        Verdict(f"detected: {one.text}", _named(story, one.name), one.name in story.ids)
        for one in DETECTED
    ]
    verdicts += [
        Verdict(f"reported: {one.text}", _named(story, one.name), one.name in story.ids)
        for one in REPORTED
    ]
    report = _report(story, "phishing")
    kept = sorted(report.get("answers", {}).values()) == sorted(ANSWERS)
    asked = "¿Qué pidió, con sus palabras?" in story.texts.get("phishing", "")
    verdicts.append(Verdict(
        "the script asked in Spanish, and the answers are kept in Spanish",
        report.get("language", "none"), kept and asked and report.get("language") == "es",
    ))  # fmt: skip
    original = str(_report(story, "laptop").get("original", ""))
    verdicts.append(Verdict("the mail is kept whole, by its hash", original[:16] or "none",
                            len(original) == 64))  # fmt: skip
    alike = [one["id"] for body in _bodies(story, "again", "suggested")
             for one in body["duplicates"]]  # fmt: skip
    verdicts.append(Verdict("the duplicate is suggested", ", ".join(alike) or "nothing",
                            story.ids.get("laptop") in alike))  # fmt: skip
    door = story.texts.get("card", "").splitlines()
    card = story.ids.get("card", "")
    verdicts.append(Verdict(
        "the HTTP door takes a report once, and none without its token", "; ".join(door),
        door == ["401 -", f"200 {card}", f"200 {card}"],
    ))  # fmt: skip
    claims = [one for body in _bodies(story, "phishing", "checked") for one in body["facts"]]
    known = [one["claim"] for one in claims if one.get("known")]
    verdicts.append(Verdict("the address that maria named is known to our records",
                            ", ".join(known) or "none", "address" in known))  # fmt: skip
    return verdicts


def _named(story: Story, name: str) -> str:
    row = story.incidents.get(name, {})
    return f"{story.ids.get(name, 'none')} {row.get('subject') or ''}".strip()


def _report(story: Story, name: str) -> dict[str, Any]:
    bodies = _bodies(story, name, "opened")
    return dict(bodies[0].get("report") or {}) if bodies else {}


def _pages(story: Story) -> list[Verdict]:
    verdicts = []
    for name in ("leak", "inside", "card"):
        first = _first(story.mails, story.ids.get(name, "-"))
        late = first.time - raised(story.timelines.get(name, ())) if first else -1.0
        verdicts.append(Verdict(
            f"{story.ids.get(name)} ({name}): from the P1 in the log to the mail server in 1 s",
            f"{late * 1000:.0f} ms" if first else "no page", first is not None and late < _SECOND,
        ))  # fmt: skip
    words = story.texts.get("link", "nobody pressed it").split(" ", 3)
    verdicts.append(Verdict("a look at the link answers nothing, its button does",
                            " ".join(words[:3]), words[:3] == ["200", "True", "200"]))  # fmt: skip
    for name, way in (("leak", "link"), ("inside", "command line")):
        after = [
            one.to for one in (*story.mails, *story.hooks)
            if one.incident == story.ids.get(name) and one.time > story.acked.get(name, 0.0) + 0.5
        ]  # fmt: skip
        verdicts.append(Verdict(f"answered by the {way}: nobody else is paged of {name}",
                                ", ".join(after) or "nobody", not after))  # fmt: skip
    verdicts += [_climbed(story), _failed(story), _notified(story)]
    secret = [one.to for one in story.hooks]
    verdicts.append(Verdict("the web hooks are signed", f"{len(secret)} taken",
                            bool(secret) and not any(secret)))  # fmt: skip
    spanish = next((one.subject for one in story.mails
                    if one.to.startswith("ben@") and "por qué ahora" in one.body), "")  # fmt: skip
    verdicts.append(Verdict("who reads Spanish is paged in Spanish", spanish or "none",
                            bool(spanish)))  # fmt: skip
    return verdicts


def _first(receipts: Iterable[Receipt], identity: str) -> Receipt | None:
    return next((one for one in receipts if one.incident == identity), None)


def _climbed(story: Story) -> Verdict:
    mine = [one for one in story.mails if one.incident == story.ids.get("inside")]
    order = [one.to.partition("@")[0] for one in mine]
    gap = mine[1].time - mine[0].time if len(mine) > 1 else 0.0
    return Verdict("nobody answers: the next step is paged after its 3 s",
                   f"{', '.join(order)}; {gap:.1f} s", order[:2] == ["ana", "ben"])  # fmt: skip


def _failed(story: Story) -> Verdict:
    """Judge the page that met a mail server that was down."""
    paging = story.incidents.get("visitor", {}).get("paging") or {}
    pages = paging.get("pages", [])
    failed = [one for one in pages if one.get("state") == "failed" and one["channel"] == "mail"]
    instead = [one for one in pages if one.get("instead") and one.get("state") == "delivered"]
    seen = f"{len(failed)} failed, {len(instead)} by {instead[0]['channel']}" if instead else "none"
    arrived = _first(story.hooks, story.ids.get("visitor", "-")) is not None
    return Verdict("the mail server is down: the page goes by the web hook, by itself", seen,
                   bool(failed and instead and arrived))  # fmt: skip


def _notified(story: Story) -> Verdict:
    """Judge the notice to the privacy officer: at the mail server, and delivered by the log."""
    there = [one for one in story.letters if one.to.startswith("dina@")]
    held = story.incidents.get("leak", {}).get("letters", [])
    states = [one.get("state", "") for one in held if one.get("person") == "dina"]
    return Verdict(
        "the privacy officer is told of the leak by mail, which asks for no answer",
        there[0].subject if there else "no mail",
        [one.incident for one in there] == [story.ids.get("leak")] and states == ["delivered"],
    )


def _guards(story: Story) -> list[Verdict]:
    return [
        Verdict(
            f"refused: {one.what}",
            f"exit {one.status}: {_short(one.said)}",
            one.wanted in one.said and one.status in {1, 2},
        )
        for one in story.refusals
    ]


def _short(text: str) -> str:
    line = " ".join(text.split()).removeprefix("ipwatchctl: ")
    return line if len(line) <= 110 else f"{line[:109]}…"


def _duties(story: Story) -> list[Verdict]:
    leak = story.incidents.get("leak", {})
    duties = {one["id"]: one for one in leak.get("obligations", ())}
    texts = story.texts
    verdicts = []
    for name, what in (
        ("cert-in.report", "CERT-In's 6 hours run"),
        ("gdpr.controller", "GDPR asks to tell the client"),
        ("client-acme.first-call", "the client's contract asks for a call in 4 hours"),
    ):
        one = duties.get(name, {})
        verdicts.append(Verdict(what, f"{name} {one.get('state', 'is not there')}",
                                name in duties and name in texts.get("clocks", "")))  # fmt: skip
    awoke = leak.get("aware", 0.0)
    due = duties.get("cert-in.report", {}).get("due", 0.0)
    verdicts.append(Verdict("they count from when we became aware, not from the confirmation",
                            f"{(due - awoke) / 3600:.2f} h", due - awoke == 6 * 3600))  # fmt: skip
    draft = texts.get("draft", "")
    lacks = next((line for line in draft.splitlines() if line.startswith("missing:")), "")
    verdicts.append(Verdict("the draft of a notice says what it lacks", lacks or "nothing",
                            "measures" in lacks and "[MISSING]" in draft))  # fmt: skip
    notices = duties.get("gdpr.controller", {}).get("notices", [])
    stages = [one["stage"] for one in notices]
    verdicts.append(Verdict("a first notice goes out though it lacks something, then the rest",
                            ", ".join(stages), stages == ["initial", "final"]))  # fmt: skip
    update = texts.get("update", "")
    verdicts.append(Verdict("the client's update is Spanish, under its marking",
                            update.splitlines()[0] if update else "none",
                            all(one in update for one in _SPANISH)))  # fmt: skip
    sent = [one for one in story.letters if one.to == "privacy@acme.example"]
    words = "".join(f"{one.subject}\n{one.body}" for one in sent)
    both = all(one in words for one in (*_SPANISH, "-- in English --"))
    verdicts.append(Verdict("it is at the mail server, the English words beneath",
                            sent[0].subject if sent else "no mail", both))  # fmt: skip
    told = [body["audience"] for body in _bodies(story, "leak", "updated")]
    verdicts.append(Verdict("who was told stands in the timeline", ", ".join(told) or "nobody",
                            told == ["reporter", "client"]))  # fmt: skip
    late = [
        f"{name} {one['id']}" for name, row in story.incidents.items()
        for one in row.get("obligations", ())
        if one.get("done", 0.0) > one.get("due", 0.0) > 0
        or (not one.get("done") and one.get("state", "") in {"", "possible"})
    ]  # fmt: skip
    every = sum(len(row.get("obligations", ())) for row in story.incidents.values())
    verdicts.append(Verdict(f"all {every} duties of the day were met in time",
                            ", ".join(late) or "none is late", every > 0 and not late))  # fmt: skip
    return verdicts


def _centre(story: Story) -> list[Verdict]:
    card = story.ids.get("card", "-")
    alone = _first(story.mails, card)
    subjects = [one.subject for one in story.far_mails]
    silent = [one for one in subjects if "is silent" in one]
    taken = [one for one in story.far_mails if card in one.subject and one.time > story.killed]
    held = sorted(str(row["id"]) for row in story.central)
    states = {str(row["id"]): row["state"] for row in story.central}
    same = all(states.get(str(r["id"])) == r["state"] for r in story.incidents.values())
    acks = _bodies(story, "card", "acked")
    night = story.ids.get("night", "-")
    by_centre = [one.to for one in story.far_mails if night in one.subject]
    by_site = [one.to for one in (*story.mails, *story.hooks) if one.incident == night]
    return [
        Verdict("cut off from the centre, the site pages by itself",
                f"{alone.to}: {alone.subject}" if alone else "no page",
                alone is not None and story.cut_off),
        Verdict("the centre pages that the site is silent", silent[0] if silent else "no page",
                bool(silent)),
        Verdict("the daemon killed: the centre pages in its place",
                f"{taken[0].subject}, {taken[0].time - story.killed:.1f} s after" if taken
                else "no page", bool(taken)),
        Verdict("answered at the centre: the site knows, and goes on quietly",
                ", ".join(str(one.get("via")) for one in acks) or "not answered",
                any(one.get("via") == "centre" for one in acks)),
        Verdict("handed over: the centre pages of the night's scan, and the site does not",
                f"centre: {', '.join(by_centre) or 'nobody'}; site: {len(by_site)}",
                bool(by_centre) and not by_site),
        Verdict("every incident is at the centre, in the state that it has at the site",
                f"{len(held)} of {len(story.all)}", same and held == sorted(story.all)),
    ]  # fmt: skip


def _endings(story: Story) -> list[Verdict]:
    verdicts = []
    for one in (*DETECTED, *REPORTED):
        row = story.incidents.get(one.name, {})
        state = str(row.get("state", "none"))
        events = len(story.timelines.get(one.name, ()))
        verdicts.append(Verdict(f"{story.ids.get(one.name, one.name)} {one.text}",
                                f"{state}, {row.get('priority', '-')}, {events} events",
                                state == one.ends))  # fmt: skip
    others = sorted(set(story.all) - set(story.ids.values()))
    verdicts.append(Verdict("nothing else became an incident", ", ".join(others) or "nothing",
                            not others))  # fmt: skip
    laptop = story.incidents.get("laptop", {}).get("reports", [])
    verdicts.append(Verdict("merged: both reports of the laptop are kept", f"{len(laptop)} reports",
                            len(laptop) == 2))  # fmt: skip
    second = [body.get("second") for body in _bodies(story, "visitor", "state")
              if body.get("action") == "reject"]  # fmt: skip
    verdicts.append(Verdict("the rejection of a P1 names both people", f"ben and {second[-1:]}",
                            second == ["ana"]))  # fmt: skip
    return verdicts


def _proof(story: Story) -> list[Verdict]:
    texts = story.texts
    sites = texts.get("verify at the centre", "")
    verdicts = [
        Verdict("the site's log holds together, and all that hangs on it",
                "; ".join(texts.get("verify", "none").splitlines()),
                "hold together" in texts.get("verify", "")
                and "are what the log says" in texts.get("verify", "")),
        Verdict("so it does at the centre", _short(sites),
                '"first_bad_seq":null' in sites and '"site":"lab"' in sites),
    ]  # fmt: skip
    verdicts += [_written(story, name, least) for name, least in PAPERS.items()]
    sums = texts.get("sums", "none")
    verdicts.append(Verdict("sha256sum takes the sums of the case's archive", sums,
                            sums.endswith("files are as the manifest says")))  # fmt: skip
    for name in ("trends", "trends at the centre"):
        total = [line.split()[:2] for line in texts.get(name, "").splitlines()]
        every = str(len(story.all) - 1)  # what was merged counts with the other
        verdicts.append(
            Verdict(f"{name}: every case of the day is counted", f"{every} in all",
                    ["all", every] in total)
        )  # fmt: skip
    return verdicts


def _written(story: Story, name: str, least: int) -> Verdict:
    """Judge one paper; PDF needs a library that the lab can do without, and then it is said."""
    why = story.texts.get(f"failed {name}", "")
    if name.endswith(".pdf") and "PDF can't be made here" in why:
        return Verdict(f"{name} is written, or it is said what that needs", _short(why), ok=True)
    size = story.papers.get(name, 0)
    return Verdict(f"{name} is written", _short(why) or f"{size:,} bytes", size >= least)
