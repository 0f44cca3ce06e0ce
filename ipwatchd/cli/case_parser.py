"""The command line of incidents and reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli import actions, cases, reviews, updates
from ipwatchd.cli.clocks import add_duties
from ipwatchd.cli.commands import LONG

if TYPE_CHECKING:
    import argparse

    from ipwatchd.cli.commands import Commands

__all__ = ["add_incidents", "add_report"]

_MOVES: Final = {
    "take": ("take it on: NEW becomes TRIAGE", ""),
    "ack": ("you know, and are on it: paging stops while you work", ""),
    "confirm": ("it is real; needs class and impact facts", ""),
    "contain": ("it can't spread any more", "--reason 'account locked, PC off the network'"),
    "resolve": ("it is over", "--reason 'machine rebuilt'"),
    "review": ("look back on it", ""),
    "close": ("close it; needs mandatory steps, obligations, feedback", "--reason 'rebuilt'"),
    "reject": ("it is nothing; P1, P2 and personal data need two people", "--reason 'a test'"),
    "reopen": ("back to TRIAGE from CLOSED or REJECTED", "--reason 'it came back'"),
    "hold": ("it waits; no legal clock stops", "--reason 'the client answers tomorrow'"),
    "resume": ("it waits no longer", ""),
    "note": ("write something down", "--reason 'asked the agent'"),
    "response": ("write down what was done against it", "--reason 'password reset'"),
    "feedback": (
        "write down what the reporter was told; on a detector's finding begin with its verdict",
        "--reason 'true-positive: told the team lead'",
    ),
}


def add_incidents(inner: Commands) -> None:
    """Add `incidents …`."""
    listed = inner.add(
        "list", "list incidents, newest first", "incidents list --state open", actions.incidents
    )
    listed.add_argument(
        "--state", dest="in_state", default="open", help="open, all, or a state (default: open)"
    )
    listed.add_argument("--limit", type=int, default=100)
    show = inner.add("show", "show one with its timeline", "incidents show site-000001", cases.show)
    show.add_argument("id")
    text = "check chain and signatures of the log; status 1 where a link does not hold"
    verify = inner.add("verify", text, "incidents verify --whole", cases.verify)
    verify.add_argument(
        "--whole", action="store_true",
        help="also hold incidents, mails, attachments and evidence against the log (reads it all)",
    )  # fmt: skip
    verify.set_defaults(patience=LONG)
    for name, (text, example) in _MOVES.items():
        _on_one(inner, name, text, f"incidents {name} site-000001 {example}".strip(), cases.act)
    _add_judging(inner)
    _add_steps(inner)
    _add_responses(inner)
    _add_reviews(inner)
    _add_updates(inner)
    add_duties(inner)


def _add_updates(inner: Commands) -> None:
    text = "draft an update to those concerned; --send sends it, --way notes that it was given"
    update = inner.add(
        "update", text, "incidents update site-000001 client --lang es --send",
        updates.update,
    )  # fmt: skip
    update.add_argument("id")
    update.add_argument("audience", help="reporter, client, management or regulator")
    update.add_argument("--lang", default="", metavar="CODE", help="default: the report's")
    update.add_argument("--send", action="store_true", help="send it to who is on file")
    update.add_argument("--way", choices=updates.WAYS, help="how it was given")
    update.add_argument(
        "--to", default="", help="who was told; with --send a name or address of [stakeholders]"
    )
    update.add_argument("--text", default="", help="what was really said; - reads standard input")
    mark = _on_one(
        inner, "mark", "set who may be told of it (TLP 2.0)",
        "incidents mark site-000001 TLP:AMBER+STRICT", cases.act,
    )  # fmt: skip
    mark.add_argument("tlp", metavar="TLP")
    translate = _on_one(
        inner, "translate", "keep a translation of a report beside its own words",
        "incidents translate site-000001 4f1c… --into en --reason 'they asked for the password'",
        cases.act,
    )  # fmt: skip
    translate.add_argument("report", help="the report's id, as incidents show names it")
    translate.add_argument("--into", dest="language", required=True, metavar="CODE")


def _add_reviews(inner: Commands) -> None:
    text = "how many, how fast, how often wrong: median and 90th percentile of a period"
    found = inner.add("trends", text, "incidents trends --since 30d --by rule", reviews.trends)
    found.add_argument("--by", default="class", choices=reviews.DIVISIONS, help="default: class")
    text = "write the report of a case or, without one, of a period, as HTML or PDF"
    report = inner.add("report", text, "incidents report site-000001 -o case.pdf", reviews.report)
    text = "write a case as an archive with a manifest, or incidents for other systems"
    export = inner.add("export", text, "incidents export --since 7d -o week.csv", reviews.export)
    export.add_argument(
        "--format", dest="form", choices=reviews.FORMATS, help="default: by the file's ending"
    )
    for one in (report, export):
        one.add_argument("id", nargs="?", default="", help="none: those of the period")
        one.add_argument("-o", dest="output", type=Path, metavar="FILE")
        one.add_argument("--tlp", default="TLP:AMBER", help="who may read it (TLP 2.0)")
    for one in (found, report, export):
        one.add_argument("--since", default="30d", metavar="SPAN", help="default: 30d")
        one.add_argument("--until", default="", metavar="SPAN", help="default: now")


def _add_judging(inner: Commands) -> None:
    classify = _on_one(
        inner, "classify", "name its class (RSIT)",
        "incidents classify site-000001 phishing --reason 'asked for a password'", cases.classify,
    )  # fmt: skip
    classify.add_argument("type", help="an RSIT type; `incidents classes` lists them")
    assess = _on_one(
        inner, "assess", "answer questions of fact: priority follows from them",
        "incidents assess site-000001 confidentiality=yes data=contact,health subjects=10-200",
        cases.assess,
    )  # fmt: skip
    assess.add_argument("answers", nargs="*", metavar="QUESTION=ANSWER", help="none: you are asked")
    _language(assess)
    override = _on_one(
        inner, "prioritise", "set the priority by hand, or give it back to the facts",
        "incidents prioritise site-000001 P1 --reason 'the client called'", cases.act,
    )  # fmt: skip
    override.add_argument("priority", help="P1 to P5, or auto")
    merge = _on_one(
        inner, "merge", "merge it into another; all reports are kept",
        "incidents merge site-000002 site-000001 --reason 'the same caller'", cases.act,
    )  # fmt: skip
    merge.add_argument("target", help="the incident that stays")
    inner.add("classes", "list the classes of incidents", "incidents classes", cases.classes)
    _language(
        inner.add(
            "questions", "list the questions of fact", "incidents questions --lang es",
            cases.questions,
        )
    )  # fmt: skip


def _add_steps(inner: Commands) -> None:
    page = _on_one(
        inner, "escalate", "page a step of its policy now, answered or not",
        "incidents escalate site-000001 2 --reason 'nobody calls back'", cases.act,
    )  # fmt: skip
    page.add_argument("step", help="from 1; past the last one the catch-all")
    sops = inner.add(
        "sops", "list the SOPs, or show one or an incident's", "incidents sops site-000001",
        cases.sops,
    )  # fmt: skip
    sops.add_argument("name", nargs="?", default="", metavar="SOP|ID")
    sops.add_argument("--lang", default="", metavar="CODE")
    for name, text in (("tick", "a step of its SOPs is done"), ("untick", "a step is not done")):
        step = _on_one(
            inner, name, text, f"incidents {name} site-000001 phishing-call/reset", cases.act
        )
        step.add_argument("step", help="SOP/STEP")
    read = _on_one(
        inner, "read", "sign that you have read an SOP",
        "incidents read site-000001 phishing-call", cases.act,
    )  # fmt: skip
    read.add_argument("sop")


def _add_responses(inner: Commands) -> None:
    respond = _on_one(
        inner, "respond", "carry a response out, or (without one) list those that fit",
        "incidents respond site-000001 deny --for 24h", cases.respond,
    )  # fmt: skip
    respond.add_argument("kind", nargs="?", default="", choices=("", "deny", "watch", "notify"))
    respond.add_argument("--for", dest="span", default="", metavar="SPAN", help="default: 1h")
    respond.add_argument(
        "--subject", default="",
        help="default: the incident's; of notify who is told: a name of the plan or person:NAME",
    )  # fmt: skip
    undo = _on_one(
        inner, "undo", "take the newest response back, or the one named",
        "incidents undo site-000001", cases.undo,
    )  # fmt: skip
    undo.add_argument("receipt", nargs="?", default="")
    taken = inner.add(
        "import", "put old cases in from CSV: title,opened[,text,subject,state,resolution …]",
        "incidents import old.csv", cases.import_cases,
    )  # fmt: skip
    taken.add_argument("file", type=Path)


def add_report(commands: Commands) -> None:
    """Add `report`."""
    report = commands.add(
        "report", "hand in what a person told us",
        "report --kind phishing-call --lang es --from maria", cases.report,
    )  # fmt: skip
    report.add_argument(
        "text", nargs="?", default="", help="in the reporter's words; - reads standard input"
    )
    report.add_argument(
        "--kind", default="", help="the script that leads you through the questions"
    )
    report.add_argument(
        "--answer", action="append", default=[], metavar="QUESTION=TEXT", help="instead of asking"
    )
    report.add_argument("--attach", action="append", default=[], metavar="FILE")
    report.add_argument("--subject", default="", help="address, agent or system it is about")
    report.add_argument("--from", dest="reporter", default="", metavar="WHO")
    report.add_argument("--role", choices=("customer", "employee", "client", "system"), default="")
    report.add_argument(
        "--channel", choices=("call", "e-mail", "chat", "web", "api"), default="call"
    )
    report.add_argument(
        "--lang", "--language", dest="language", default="", metavar="CODE", help="en, es, tl"
    )


def _on_one(
    inner: Commands, name: str, text: str, example: str, action: Any
) -> argparse.ArgumentParser:
    """Add a command on one incident."""
    parser = inner.add(name, text, example, action)
    parser.add_argument("id")
    parser.add_argument("--reason", default="", metavar="TEXT")
    parser.set_defaults(act=name)
    return parser


def _language(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lang", default="en", metavar="CODE", help="en, es, tl (default: en)")
