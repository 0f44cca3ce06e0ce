"""Reading a mail where it can do no harm: large ones in a child without privileges.

The parser of mails is Python, recurses, and takes half a minute and half a gigabyte for a mail that
is made for it. A small mail can't cost much; any other is read by a process of its own that has no
network, no files, and so much memory and time. What is too much for it is read by its head alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec

from ipwatchd.incidents.intake.mail import HEAD, Mail, parse_mail

__all__ = ["MEMORY", "SECONDS", "SMALL", "read_mail"]

SMALL: Final = 64 << 10
"""Bytes of a mail that is read here: no more parts and heads fit into it than cost a blink."""
SECONDS: Final = 10
"""Seconds of CPU for one mail. Stops a million parts, or mails in mails."""
MEMORY: Final = 768 << 20
"""Bytes for reading one mail: one of 40 MB takes half of it."""
WAIT: Final = 60.0
_ROOT: Final = Path(__file__).parents[3]
_EMPTY_LINE: Final = re.compile(rb"\r?\n\r?\n")
_ONE: Final = threading.Lock()
"""One large mail is read at a time: a flood of them can't fill the memory."""


def read_mail(data: bytes, seconds: int = SECONDS, memory: int = MEMORY) -> Mail:
    """Return what is in a mail; never raises on any bytes. Waits: call it in a thread."""
    if len(data) <= SMALL:
        return parse_mail(data)
    limits = (str(seconds), str(memory))
    command = [sys.executable, "-P", "-m", "ipwatchd.incidents.intake.reader", *limits]
    why = f"it takes more than {seconds} s or {memory >> 20} MB"
    with _ONE:
        try:
            done = subprocess.run(
                command, input=data, capture_output=True, timeout=WAIT, check=False, cwd=_ROOT
            )
            return msgspec.msgpack.decode(done.stdout, type=Mail)
        except msgspec.MsgspecError:
            pass
        except (OSError, subprocess.TimeoutExpired) as error:
            why = f"{type(error).__name__}"
    head = parse_mail(_EMPTY_LINE.split(data[:HEAD], 1)[0] + b"\n\n")
    return head._replace(files=(), notes=(*head.notes, f"only its head was read: {why}"))


def main(words: list[str]) -> int:
    """Give up every privilege, then read the mail on standard input: SECONDS MEMORY."""
    from ipwatchd.confine import confine, isolate

    isolate()
    _rehearse()
    sys.meta_path.clear()  # an encoding that is none is then unknown, and no file that can't be had
    confine(memory=int(words[1]), seconds=int(words[0]))
    mail = parse_mail(sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgspec.msgpack.encode(mail))
    return 0


def _rehearse() -> None:
    """Load what the parser would load later, when no file can be opened any more."""
    import codecs
    import contextlib
    import encodings.aliases
    from email import base64mime, quoprimime  # noqa: F401 - loaded is all

    for name in set(encodings.aliases.aliases.values()):
        with contextlib.suppress(LookupError):
            codecs.lookup(name)
    parse_mail(b"Subject: =?utf-8?B?YQ==?=\nContent-Type: text/html; charset=utf-8\n\n<p>a")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
