"""Reports through every door of the house: held against our records, threaded, bounded."""

from __future__ import annotations

import asyncio
import hashlib
import json
import smtplib
import socket
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from msgspec.structs import replace

from ipwatchd.config import Config, IncidentSettings
from ipwatchd.config.settings import IntakeSettings, SiteSettings
from ipwatchd.control.call import Peer
from ipwatchd.control.house import House
from ipwatchd.control.routes import dispatch
from ipwatchd.desk.desk import Desk
from ipwatchd.desk.maildrop import MailDrop
from ipwatchd.incidents.keep import Keep
from ipwatchd.pipeline import Pipeline
from ipwatchd.records.event import Dns
from ipwatchd.records.finding import Finding
from ipwatchd.records.incident import Report
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ipwatchd.incidents.intake.mail import Mail
    from ipwatchd.lab.netns import Namespace

TOKEN = "0123456789abcdef-bot"


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """Return the stores of a site with a mail drop and a door for bots."""
    maildir = tmp_path / "mail"
    (maildir / "new").mkdir(parents=True)
    (tmp_path / "tokens").write_text(f"# who may\nbot {TOKEN}\nshort x\n")
    config = Config(
        site=SiteSettings(name="manila"),
        intake=IntakeSettings(
            maildir=str(maildir), listen="127.0.0.1:0", tokens_file=str(tmp_path / "tokens")
        ),
    )
    made = await Stores.open(config, tmp_path / "state")
    yield made
    await made.close(2000.0)


@pytest.fixture
async def desk(stores: Stores) -> AsyncIterator[Desk]:
    """Return a front desk that is open."""
    made = Desk(stores.config.intake, stores, lambda: 1000.0)
    await made.start()
    assert made.note == ""
    yield made
    await made.stop()


def arrive(stores: Stores, name: str, text: str, **headers: str) -> None:
    """Let a mail arrive."""
    message = EmailMessage()
    named = {"From": "ana@client.example", "Subject": "odd call", "Message-ID": f"<{name}@x>"}
    for key, value in (
        named | {key.replace("_", "-"): one for key, one in headers.items()}
    ).items():
        message[key] = value
    message.set_content(text)
    path = stores.state_dir.parent / "mail" / "new" / name
    path.write_bytes(message.as_bytes())


async def ask(stores: Stores, method: str, path: str, **body: Any) -> Any:
    """Make a call of the control API as an operator; return its answer."""
    status, data = await dispatch(
        House(stores), Peer("ben", "operator"), method, f"/v1/{path}",
        json.dumps(body).encode() if body else b"", 1500.0,
    )  # fmt: skip
    answer = json.loads(data)
    return answer if status == 200 else (status, answer["error"])


async def test_a_mail_becomes_a_report_and_its_original_is_kept(stores: Stores, desk: Desk) -> None:
    """The .eml is there byte for byte under its hash; delivered twice it is one report."""
    arrive(stores, "1", "they asked for my code")
    raw = (stores.state_dir.parent / "mail" / "new" / "1").read_bytes()
    await desk.tick(1000.0)
    arrive(stores, "1", "they asked for my code")
    await desk.tick(1001.0)
    (incident,) = await stores.incidents.list()
    assert (incident.title, incident.rule) == ("odd call", "report")
    (first, *_) = await stores.incidents.after(0)
    assert first.body["report"]["channel"] == "e-mail"
    digest = first.body["report"]["original"]
    assert digest == hashlib.sha256(raw).hexdigest()
    assert stores.casework.reports.get(digest, ".eml") == raw
    assert not list((stores.state_dir.parent / "mail" / "new").iterdir())


async def test_threads_are_followed_and_forged_ones_are_not(stores: Stores, desk: Desk) -> None:
    """A reply by who wrote before joins the case; a stranger with the same id opens one."""
    arrive(stores, "1", "they asked for my code")
    await desk.tick(1000.0)
    arrive(stores, "2", "they called again", References="<no@x> <1@x>")
    arrive(stores, "3", "let me in", References="<1@x>", From="mallory@evil.example")
    arrive(stores, "4", "nothing known", In_Reply_To="<guess@x>")
    await desk.tick(1001.0)
    rows = await stores.incidents.list()
    assert [len(row.reports) for row in reversed(rows)] == [2, 1, 1]
    assert desk.mail is not None
    assert desk.mail.counters["forged_threads"] == 1


async def test_half_a_character_is_a_report(stores: Stores, desk: Desk) -> None:
    """UTF-7 can spell a lone surrogate, which no database takes: it is read as a question mark."""
    new = stores.state_dir.parent / "mail" / "new"
    head = b"From: ana@client.example\nContent-Type: text/plain; charset=utf-7\n\n"
    (new / "1").write_bytes(head + b"they asked +2AA- for my code")
    await desk.tick(1000.0)
    (opened,) = await stores.incidents.after(0)
    assert opened.body["report"]["text"] == "they asked ? for my code"


async def test_a_mail_that_we_stumble_over_keeps_no_other_back(stores: Stores, desk: Desk) -> None:
    """It stays in `new` and is named; the daemon goes on, and what came behind it is a report."""

    async def stumble(mail: Mail, report: Report, now: float) -> None:
        del report, now
        if mail.subject == "odd":
            raise ValueError("no mail that we know of does this")

    assert desk.mail is not None
    desk.mail.answers = stumble
    arrive(stores, "1", "x", Subject="odd")
    arrive(stores, "2", "they asked for my code")
    for now in (1000.0, 1001.0):
        await desk.tick(now)
        assert "new/1 can't be taken" in desk.note
    assert len(await stores.incidents.list()) == 1
    assert desk.mail.counters["left"] == 1
    new = stores.state_dir.parent / "mail" / "new"
    assert [path.name for path in new.iterdir()] == ["1"]


async def test_hostile_mails_all_become_reports(stores: Stores, desk: Desk) -> None:
    """Garbage, nothing at all, a head without end, a link to elsewhere: none stops the next."""
    new = stores.state_dir.parent / "mail" / "new"
    for name, data in {
        "a": b"", "b": bytes(range(256)) * 50, "c": b"Subject: " + b"x" * 500_000,
        "d": b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n" * 20_000,
    }.items():  # fmt: skip
        (new / name).write_bytes(data)
    (new / "link").symlink_to("/etc/hostname")
    arrive(stores, "z", "a real one")
    await desk.tick(1000.0)
    rows = await stores.incidents.list()
    assert len(rows) == 5
    assert [path.name for path in new.iterdir()] == ["link"]
    assert (await stores.incidents.verify()).first_bad_seq is None


async def test_a_full_store_leaves_mails_where_they_are(stores: Stores, desk: Desk) -> None:
    """At the limit of kept bytes nothing is lost: the mail waits and the note says why."""
    stores.casework.reports._most = 10
    arrive(stores, "1", "hello")
    await desk.tick(1000.0)
    assert "keep_bytes" in desk.note
    assert len(list((stores.state_dir.parent / "mail" / "new").iterdir())) == 1
    stores.casework.reports._most = 1 << 20
    await desk.tick(1001.0)
    assert desk.note == ""
    assert len(await stores.incidents.list()) == 1


async def test_bots_hand_in_reports_with_a_token(stores: Stores, desk: Desk) -> None:
    """A right token gives an incident, an id twice the same; wrong token, kind, size do not."""
    assert desk.web is not None
    url = f"http://127.0.0.1:{desk.web.port}/v1/reports"
    good = {"Authorization": f"Bearer {TOKEN}"}
    said = {"text": "Tumawag ang bangko", "id": "chat-7", "channel": "chat", "language": "tl"}
    async with aiohttp.ClientSession() as session:

        async def post(body: Any, headers: dict[str, str]) -> tuple[int, Any]:
            async with session.post(url, json=body, headers=headers) as answer:
                return answer.status, await answer.json()

        status, one = await post(said, good)
        assert (status, one["incident"]) == (200, "MANILA-000001")
        assert (await post(said, good))[1] == one
        assert (await post(said, {}))[0] == 401
        assert (await post(said, {"Authorization": "Bearer x"}))[0] == 401
        assert (await post(said | {"kind": "nonsense"}, good))[0] == 400
        assert (await post(said | {"kind": "phishing-call"}, good))[0] == 400
        assert (await post({"text": ""}, good))[0] == 400
        assert (await post({"text": "x" * 200_000}, good))[0] == 400
        statuses = [(await post({"text": f"flood {n}"}, good))[0] for n in range(70)]
        assert 429 in statuses
    assert len(await stores.incidents.list(limit=1000)) < 65
    (event, *_) = await stores.incidents.after(0)
    assert event.body["report"]["language"] == "tl"


async def test_what_is_claimed_is_held_against_history(stores: Stores) -> None:
    """An address that we saw is known, another is not; nothing is judged, the facts are noted."""
    stores.history.add_events(
        [Dns(ts=900.0, orig="10.20.0.9", orig_port=5353, resp="10.20.0.1", resp_port=53,
                  name="bank.example")], 900.0,
    )  # fmt: skip
    await stores.history.flush(901.0)
    for number, subject in enumerate(("10.20.0.9", "203.0.113.200", "maria")):
        await stores.casework.take(
            Report(id=f"r{number}", received=1000.0, channel="call", reporter="ana", text="x",
                   subject=subject), 1000.0,
        )  # fmt: skip
    checked = [one for one in await stores.incidents.after(0) if one.kind == "checked"]
    facts = {one.body["facts"][0]["said"]: one.body["facts"][0]["known"] for one in checked}
    assert facts == {"10.20.0.9": True, "203.0.113.200": False, "maria": False}


def scan(subject: str = "203.0.113.7") -> Finding:
    """Return a port scan."""
    return Finding(
        rule="port-scan", subject=subject, key=f"port-scan|{subject}", title=f"{subject} scans",
        first_seen=1000.0, last_seen=1000.0, count=20, severity="medium",
        classification="scanner", score=0.9, value=20.0, threshold=20.0,
    )  # fmt: skip


async def test_evidence_is_taken_when_an_incident_opens_and_exported(stores: Stores) -> None:
    """Taken by itself, hashed, listed; the archive's manifest has every file; a change is named."""
    pipeline = Pipeline(stores)
    await pipeline.settle([scan()], 1000.0)
    await stores.casework.work(1001.0)
    (incident,) = await stores.incidents.list()
    names = {one.name for one in incident.exhibits}
    assert names >= {"lists.json", "place.json"}
    papers, there = await stores.casework.export(incident.id, 1002.0)
    manifest = json.loads(papers["manifest.json"])
    assert [one["name"] for one in manifest["files"]] == [
        "incident.json", "timeline.json", *(one.name for one in there)
    ]  # fmt: skip
    assert manifest["missing"] == {}
    sums = dict(line.split("  ")[::-1] for line in papers["SHA256SUMS"].decode().splitlines())
    for name in ("incident.json", "timeline.json"):
        assert hashlib.sha256(papers[name]).hexdigest() == sums[name]
    for one in there:
        data = await stores.casework.piece(incident.id, one.name, 0, 1 << 20)
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (sums[one.name], one.bytes)
        assert await stores.casework.piece(incident.id, one.name, one.bytes, 1 << 20) == b""
    with pytest.raises(LookupError, match="has no file"):
        await stores.casework.piece(incident.id, "../site.key", 0, 100)
    exhibit = incident.exhibits[0]
    stores.casework.evidence.path(exhibit.sha256, ".json").write_bytes(b"forged")
    papers, after = await stores.casework.export(incident.id, 1003.0)
    assert json.loads(papers["manifest.json"])["missing"]
    assert len(after) == len(there) - 1


async def test_an_archive_has_the_reports_of_what_was_merged(stores: Stores) -> None:
    """The mail of the merged case, and its timeline, lie in the archive of the other."""
    drop = MailDrop(None, stores.casework, stores.incidents)
    first = await drop.take(b"From: jose@x\nSubject: my laptop\n\nIt is gone.", 1000.0)
    second = await drop.take(b"From: grace@x\nSubject: his laptop\n\nIt is gone.", 1001.0)
    await stores.incidents.act(
        second.id, "merge", actor="ben", reason="the same", now=1002.0,
        details={"target": first.id},
    )  # fmt: skip
    papers, there = await stores.casework.export(first.id, 1003.0)
    assert f"merged/{second.id}.json" in papers
    mails = [await stores.casework.piece(first.id, one.name, 0, 1000) for one in there]
    assert [mail.split(b"@")[0] for mail in mails] == [b"From: jose", b"From: grace"]


async def test_a_flood_of_incidents_is_worked_off_by_and_by(stores: Stores) -> None:
    """A thousand openings take a few a tick; what is too much is counted by name."""
    pipeline = Pipeline(stores)
    for number in range(1010):
        incident = await stores.incidents.finding(scan(f"203.0.{number >> 8}.{number & 255}"), 1.0)
        assert incident is not None
        stores.casework.note_opened(incident)
    assert pipeline.shed()["evidence"] == 10
    assert await stores.casework.work(2.0) == 4


async def test_a_response_is_carried_out_has_a_receipt_and_is_undone(stores: Stores) -> None:
    """Proposed, denied for a time, shown; undo releases it; a second undo has nothing to do."""
    await Pipeline(stores).settle([scan()], 1000.0)
    (offer,) = await ask(stores, "GET", "incidents/MANILA-000001/responses")
    assert (offer["kind"], offer["subject"], offer["seconds"]) == ("deny", "203.0.113.7", 14400.0)
    done = await ask(stores, "POST", "incidents/MANILA-000001/respond", kind="deny", seconds=7200.0)
    (receipt,) = done["receipts"]
    assert receipt["expires"] == 1500.0 + 7200.0
    (entry,) = stores.lists.entries("deny", now=1501.0)
    assert (entry.source, entry.ticket) == ("response:port-scan", "MANILA-000001")
    assert await ask(stores, "GET", "incidents/MANILA-000001/responses") == []
    undone = await ask(stores, "POST", "incidents/MANILA-000001/undo", reason="our partner")
    assert undone["receipts"][0]["undone"] == 1500.0
    assert stores.lists.entries("deny", now=1501.0) == []
    assert (await ask(stores, "POST", "incidents/MANILA-000001/undo", reason="x"))[0] == 404
    assert (await ask(stores, "POST", "incidents/MANILA-000001/oblige", reason="x"))[0] == 400


async def test_a_response_without_an_address_says_what_it_can_do(stores: Stores) -> None:
    """Nothing is watched that has no address; that the privacy officer was told is written down."""
    await ask(stores, "POST", "reports", text="a list went to a stranger")
    one = "incidents/MANILA-000001/respond"
    status, problem = await ask(stores, "POST", one, kind="watch")
    assert (status, "no address to watch" in str(problem)) == (400, True)
    told = await ask(stores, "POST", one, kind="notify")
    assert told["receipts"][0]["text"] == "told the privacy officer (nothing was sent)"
    assert told["receipts"][0]["subject"] == "privacy officer"


async def test_old_cases_come_in_closed_where_they_were(stores: Stores) -> None:
    """Rows of a CSV become incidents with their own times; only an admin may."""
    rows = [{"title": "old scan", "opened": 10.0, "closed": True, "resolution": "denied"},
            {"title": "open one", "opened": 20.0}]  # fmt: skip
    body = json.dumps({"rows": rows}).encode()
    status, _ = await dispatch(
        House(stores), Peer("eve", "operator"), "POST", "/v1/cases", body, 1.0
    )
    assert status == 403
    status, data = await dispatch(
        House(stores), Peer("ben", "admin"), "POST", "/v1/cases", body, 1.0
    )
    assert (status, json.loads(data)["imported"]) == (200, 2)
    closed, still = [await stores.incidents.incident(one) for one in json.loads(data)["ids"]]
    assert closed is not None
    assert still is not None
    assert (closed.state, closed.resolution, closed.first_seen) == ("CLOSED", "denied", 10.0)
    assert still.state == "NEW"
    await asyncio.sleep(0)


async def test_what_was_denied_by_itself_has_a_receipt_too(stores: Stores) -> None:
    """An automatic response is taken back like any other, and CONTAINED shows it."""
    settings = replace(stores.config.incidents, auto_deny=("port-scan",))
    stores.config = replace(stores.config, incidents=settings)
    outcome = await Pipeline(stores).settle([scan()], 1000.0)
    assert len(outcome.denied) == 1
    done = await ask(stores, "POST", "incidents/MANILA-000001/undo", reason="a partner")
    assert [one["by"] for one in done["receipts"]] == ["ipwatchd"]
    assert done["receipts"][0]["undone"]
    assert stores.lists.entries("deny", now=1501.0) == []


async def test_a_case_from_the_phone_to_the_archive(stores: Stores) -> None:
    """A report in Spanish with personal data: refused where something is missing, then closed."""
    given = {"when": "hoy", "what": "nombres de 12 personas", "to": "otro cliente"}
    opened = await ask(stores, "POST", "reports", kind="wrong-disclosure", language="es",
                       answers=given, reporter="ana", role="employee")  # fmt: skip
    case = f"incidents/{opened['id']}"
    assert (opened["class"], opened["language"]) == ("data-leak", "es")
    assert [one["language"] for one in opened["sops"]] == ["es"]

    async def act(action: str, **body: Any) -> Any:
        return await ask(stores, "POST", f"{case}/{action}", **({"reason": ""} | body))

    await act("take")
    assert "confidentiality" in (await act("confirm"))[1]
    facts = {"confidentiality": "yes", "integrity": "no", "availability": "no",
             "data": "customer", "subjects": "12", "client": "acme", "countries": "ES",
             "malicious": "no", "ongoing": "no", "spread": "one"}  # fmt: skip
    assessed = await act("assess", answers=facts)
    assert (assessed["priority"], assessed["personal"]) == ("P2", True)
    assert "second person" not in str(await act("reject", reason="a test"))
    assert "second person" in (await act("reject", reason="a test"))[1]
    for action in ("confirm", "contain", "resolve", "review"):
        assert "state" in await act(action, reason="deleted by the receiver")
    status, why = await act("close", reason="done")
    assert (status, "wrong-disclosure/stop" in why, "feedback" in why) == (409, True, True)
    for task in opened["tasks"]:
        await act("tick", step=f"{task['sop']}/{task['step']}")
    await act("feedback", reason="se lo dijimos a ana")
    closed = await act("close", reason="done")
    assert closed["state"] == "CLOSED"
    assert (await act("reopen", reason="again"))["state"] == "TRIAGE"
    assert (await stores.incidents.verify()).first_bad_seq is None


def hand_over(path: Path, *mails: bytes, rcpt: int = 1) -> list[bytes]:
    """Hand mails over as a mail server does, by the standard library's client."""
    answers = []
    with smtplib.LMTP(str(path)) as client:
        for mail in mails:
            client.ehlo_or_helo_if_needed()
            client.mail("ana@client.example")
            for _ in range(rcpt):
                code, _words = client.rcpt("soc@site.example")
            answers.append(b"%d" % code)
            code, words = client.data(mail)
            answers.append(b"%d %s" % (code, words))
    return answers


@pytest.fixture
async def lmtp(stores: Stores, tmp_path: Path) -> AsyncIterator[tuple[Desk, Path]]:
    """Return a desk with a door for the mail server, and its socket."""
    path = tmp_path / "run" / "lmtp"
    made = Desk(replace(stores.config.intake, lmtp=str(path), listen=""), stores, lambda: 1000.0)
    await made.start()
    assert made.note == ""
    yield made, path
    await made.stop()
    assert not path.exists()


async def test_a_mail_by_lmtp_is_an_incident_before_it_is_answered(
    stores: Stores, lmtp: tuple[Desk, Path]
) -> None:
    """The answer names the incident; a second recipient is put off, threads are followed."""
    _, path = lmtp
    first = EmailMessage()
    first["From"], first["Message-ID"] = "ana@client.example", "<1@x>"
    first["Subject"] = "odd call"
    first.set_content("they asked for my code")
    reply = EmailMessage()
    reply["From"], reply["Message-ID"], reply["References"] = "ana@client.example", "<2@x>", "<1@x>"
    reply.set_content("again")
    said = await asyncio.to_thread(hand_over, path, first.as_bytes(), reply.as_bytes())
    (incident,) = await stores.incidents.list()
    assert said == [b"250", b"250 2.0.0 kept as " + incident.id.encode()] * 2
    assert len(incident.reports) == 2
    refused = await asyncio.to_thread(hand_over, path, first.as_bytes(), rcpt=2)
    assert refused[0] == b"452"


async def test_a_mail_that_cant_be_kept_is_put_off(
    stores: Stores, lmtp: tuple[Desk, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is full answers 451, so that the mail server keeps the mail; then it is in."""
    desk, path = lmtp
    mail = b"From: ana@client.example\r\nSubject: odd\r\n\r\nhello\r\n"
    monkeypatch.setattr(stores.casework, "reports", Keep(tmp_path / "full", 10))
    (_, said) = await asyncio.to_thread(hand_over, path, mail)
    assert said.startswith(b"451 4.3.0")
    assert not await stores.incidents.list()
    monkeypatch.undo()
    (_, said) = await asyncio.to_thread(hand_over, path, mail)
    assert said.startswith(b"250")
    assert desk.lmtp is not None
    assert desk.lmtp.counters["lmtp_deferred"] == 1


async def test_what_goes_wrong_inside_puts_a_mail_off(
    stores: Stores, lmtp: tuple[Desk, Path]
) -> None:
    """A log that can't be written, or anything else: the mail server keeps the mail."""
    desk, path = lmtp
    await stores.incidents.close()
    mail = b"From: ana@client.example\r\nSubject: odd\r\n\r\nhello\r\n"
    (_, said) = await asyncio.to_thread(hand_over, path, mail)
    assert said.startswith(b"451 4.3.0")
    assert desk.lmtp is not None
    assert desk.lmtp.counters["lmtp_deferred"] == 1
    assert desk.shed() == {"intake.lmtp_shed": 0, "intake.lmtp_refused": 0}


async def test_a_mail_without_end_is_refused(
    stores: Stores, lmtp: tuple[Desk, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is larger than may be is answered 552 and not kept."""
    _, path = lmtp
    monkeypatch.setattr("ipwatchd.desk.lmtpdrop.LARGEST", 10_000)
    mail = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n"
    (_, said) = await asyncio.to_thread(hand_over, path, mail + (b"y" * 70 + b"\r\n") * 300)
    assert said.startswith(b"552")
    assert not await stores.incidents.list()


async def test_a_socket_that_cant_be_had_is_said(stores: Stores, tmp_path: Path) -> None:
    """A file in its place: the desk goes on without, and `note` names the key."""
    (tmp_path / "lmtp").write_text("not yours")
    settings = replace(stores.config.intake, lmtp=str(tmp_path / "lmtp"), listen="")
    made = Desk(settings, stores, lambda: 1000.0)
    await made.start()
    assert "is no socket" in made.note
    await made.stop()
    assert (tmp_path / "lmtp").read_text() == "not yours"


async def test_headers_of_the_subject_are_evidence(
    tmp_path: Path, namespace: Callable[[str], Namespace]
) -> None:
    """An incident opens: its subject's packets on the wire are in a file of the case, by hash."""
    place = await asyncio.to_thread(namespace, "box")
    config = Config(incidents=IncidentSettings(headers_seconds=30.0))
    stores = await Stores.open(config, tmp_path / "state")
    desk = Desk(config.intake, stores, lambda: 1000.0)
    await desk.start()
    with place.inside():
        made = await stores.casework.take(
            Report(id="r1", received=1.0, channel="call", reporter="ana", text="x",
                   subject="127.0.0.1"), 1000.0,
        )  # fmt: skip
    with place.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"the secret", ("127.0.0.1", 7777))
    assert desk.snippets is not None
    for _ in range(100):
        await asyncio.sleep(0.01)
    await desk.tick(1029.0)
    await desk.tick(1031.0)
    case = await stores.incidents.incident(made.id)
    assert case is not None
    (taken,) = [one for one in case.exhibits if one.name == "headers.pcap"]
    data = stores.casework.evidence.get(taken.sha256, ".pcap")
    assert data is not None
    assert taken.rows >= 1
    assert b"the secret" not in data
    _, there = await stores.casework.export(made.id, 1040.0)
    assert any(one.name.endswith("headers.pcap") for one in there)
    await desk.stop()
    await stores.close(1050.0)
