"""Mails of strangers: whatever comes in, a report comes out and nothing is run."""

from __future__ import annotations

import base64
from email.message import EmailMessage

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.incidents.intake.mail import FILES, MAX_MAIL, PARTS, TEXT, parse_mail


def written(text: str = "Recibí un correo raro", **headers: str) -> EmailMessage:
    """Return a plain mail."""
    message = EmailMessage()
    named = {"From": "Ana López <ana@client.example>", "Subject": "¿Es esto phishing?"}
    for name, value in (
        named | {key.replace("_", "-"): one for key, one in headers.items()}
    ).items():
        message[name] = value
    message.set_content(text)
    return message


def test_a_plain_mail() -> None:
    """Sender, subject, text, ids of the thread, attachments; in any language."""
    message = written(Message_ID="<a1@client.example>", References="<x@a> <y@b>",
                      In_Reply_To="<y@b>")  # fmt: skip
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="../../shot.png")
    mail = parse_mail(message.as_bytes())
    assert (mail.sender, mail.name) == ("ana@client.example", "Ana López")
    assert (mail.subject, mail.text) == ("¿Es esto phishing?", "Recibí un correo raro")
    assert (mail.message_id, mail.references) == ("<a1@client.example>", ("<y@b>", "<x@a>"))
    assert [(one.name, one.type, one.data) for one in mail.files] == [
        ("shot.png", "image/png", b"\x89PNG")
    ]
    assert mail.notes == ()


def test_html_leaves_its_scripts_behind() -> None:
    """Of HTML its words are kept, not scripts, styles or hidden heads."""
    message = EmailMessage()
    message.set_content(
        "<html><head><title>t</title></head><body><script>steal()</script><style>p{}</style>"
        "<p>Hello<br>world</p><img src=http://203.0.113.1/pixel></body></html>", subtype="html",
    )  # fmt: skip
    assert parse_mail(message.as_bytes()).text == "Hello\nworld"


def test_wrong_encodings_are_read_as_well_as_can_be() -> None:
    """A charset that does not exist or does not fit loses no mail."""
    for charset in (b"klingon", b"ascii", b"utf-8", b"utf-16"):
        raw = b"Subject: =?x-none?Q?=FF?=\nContent-Type: text/plain; charset=" + charset
        mail = parse_mail(raw + b"\n\ncaf\xe9 al \xff\xfe")
        assert mail.text
        assert mail.subject


def test_thirty_megabytes_and_more() -> None:
    """A 30 MB mail is read, its text bounded; over the limit only the head is, and it says so."""
    raw = with_files("x" * 100, base64.encodebytes(bytes(22 << 20)))
    assert len(raw) > 30_000_000
    mail = parse_mail(raw)
    assert len(mail.files[0].data) == 22 << 20
    huge = parse_mail(b"Subject: huge\n\n" + b"y" * MAX_MAIL)
    assert huge.subject == "huge"
    assert len(huge.text) <= TEXT
    assert "only its head" in huge.notes[0]


def with_files(text: str, *files: bytes) -> bytes:
    """Return a mail with files that are in base64 already."""
    parts = (
        b"--B\nContent-Type: application/zip; name=big.zip\n"
        b"Content-Transfer-Encoding: base64\n\n" + one + b"\n"
        for one in files
    )
    head = b"From: ana@client.example\nContent-Type: multipart/mixed; boundary=B\n\n"
    return head + b"--B\n\n" + text.encode() + b"\n" + b"".join(parts) + b"--B--\n"


def test_an_attachment_bomb_is_cut_and_said() -> None:
    """Thousands of parts, parts in parts, files without end: bounded each, named in the notes."""
    many = written()
    for number in range(FILES + 5):
        many.add_attachment(b"x", maintype="a", subtype="b", filename=f"{number}")
    mail = parse_mail(many.as_bytes())
    assert len(mail.files) == FILES
    assert "attachments" in mail.notes[0]
    flat = b"Content-Type: multipart/mixed; boundary=B\n\n" + b"--B\n\n\n" * (PARTS + 50) + b"--B--"
    assert any("parts" in note for note in parse_mail(flat).notes)
    deep = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level)
        for level in range(5000)
    )
    assert parse_mail(deep).notes
    # In one line each: what is cut is cut by its bytes, and the parser need not look at a million.
    large = parse_mail(with_files("x", *[base64.b64encode(bytes(14 << 20))] * 2))
    assert [len(one.data) for one in large.files] == [14 << 20]
    assert "too large" in large.notes[0]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000), st.booleans())
def test_no_bytes_make_it_raise(data: bytes, head: bool) -> None:
    """Random bytes, also under a multipart head, give a mail within its bounds."""
    prefix = b"From: a\nSubject: =?utf-8?B?" if head else b""
    mail = parse_mail(prefix + data)
    assert len(mail.text) <= TEXT
    assert len(mail.subject) <= 300
    mail.text.encode()
    mail.subject.encode()


_PART = st.sampled_from(
    ["message/delivery-status", "message/rfc822", "text/rfc822-headers", "text/plain",
     "multipart/report", "message/partial"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_PART, st.binary(max_size=300)), max_size=5))
def test_no_report_of_a_delivery_makes_it_raise(parts: list[tuple[str, bytes]]) -> None:
    """What claims to be a mail that came back, of any parts in any order, is read or left."""
    head = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    body = b"".join(b"--b\r\nContent-Type: %s\r\n\r\n%s\r\n" % (kind.encode(), data)
                    for kind, data in parts)  # fmt: skip
    assert isinstance(parse_mail(head + body + b"--b--\r\n").bounced, str)


def test_what_a_program_wrote_is_known_by_its_headers() -> None:
    """RFC 3834's header, "no" excepted, and what older programs write; a person's mail has none."""
    assert parse_mail(written().as_bytes()).automatic == ""
    for headers, said in (
        ({"Auto_Submitted": "no"}, ""),
        ({"Auto_Submitted": "auto-replied (vacation)"}, "Auto-Submitted: auto-replied (vacation)"),
        ({"Auto_Submitted": "AUTO-NOTIFIED; x=y"}, "Auto-Submitted: auto-notified"),
        ({"Precedence": "Bulk"}, "Precedence: bulk"),
        ({"Return_Path": "<>"}, "Return-Path: <>"),
        ({"X_Autorespond": "away"}, "X-Autorespond"),
    ):
        assert parse_mail(written(**headers).as_bytes()).automatic == said
