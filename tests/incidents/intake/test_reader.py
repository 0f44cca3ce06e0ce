"""Large mails are read by a child without privileges: the same answer, or the head alone."""

from __future__ import annotations

import os

import pytest

from ipwatchd.incidents.intake.mail import HEAD, parse_mail
from ipwatchd.incidents.intake.reader import SMALL, read_mail
from tests.incidents.intake.test_mail import written


@pytest.mark.parametrize("charset", ["utf-8", "koi8-r", "shift_jis", "cp1252", "klingon"])
def test_a_child_reads_what_we_would(charset: str) -> None:
    """Words, names and files of a large mail are the same, in any encoding."""
    message = written("Привет" if charset == "koi8-r" else "voilà")
    message.add_attachment(os.urandom(100_000), maintype="image", subtype="png", filename="ñ.png")
    data = message.as_bytes().replace(b'charset="utf-8"', b'charset="%s"' % charset.encode())
    assert len(data) > SMALL
    mail = read_mail(data)
    assert mail == parse_mail(data)
    assert mail.files[0].name == "ñ.png"


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_what_takes_too_long_is_read_by_its_head(ends: bytes) -> None:
    """A mail of very many parts: sender and subject are known, and it is said what was not read."""
    head = b"From: Ana <ana@x>\nSubject: parts\nMIME-Version: 1.0\n"
    bomb = head + b"Content-Type: multipart/mixed; boundary=B\n\n" + b"--B\n\nx\n" * 400_000
    mail = read_mail(bomb.replace(b"\n", ends), seconds=1)
    assert (mail.sender, mail.subject, mail.files) == ("ana@x", "parts", ())
    assert mail.notes == ("only its head was read: it takes more than 1 s or 768 MB",)


def test_what_takes_too_much_memory_is_read_by_its_head() -> None:
    """The child has so much and no more; what it could not hold costs us nothing."""
    message = written()
    message.add_attachment(bytes(8 << 20), maintype="a", subtype="b", filename="zeros")
    mail = read_mail(message.as_bytes(), memory=12 << 20)
    assert mail.sender == "ana@client.example"
    assert "12 MB" in mail.notes[0]


def test_a_head_without_end_is_cut() -> None:
    """64 kB of the head are looked at where the rest is too much."""
    data = b"From: ana@x\nSubject: " + b"a" * (2 * HEAD) + b"\nX: " + b"b" * (8 << 20)
    mail = read_mail(data, memory=6 << 20)
    assert mail.sender == "ana@x"
    assert len(mail.subject) == 300
