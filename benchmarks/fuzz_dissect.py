"""Hostile bytes into every dissector for a bounded time; what crashes it is written down.

python benchmarks/fuzz_dissect.py [--seconds N] [--json] [--crash FILE]

With atheris (Google's coverage-guided fuzzer, `pip install atheris`) the inputs follow the branches
that they reach; without it they are seeds with bytes turned, cut, repeated and joined. A run that
raises, hangs (10 s an input) or grows (2 GiB) ends with status 1 and the input in FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MEMORY: Final = 2 << 30
HANG: Final = 10
_NTLM: Final = b"NTLMSSP\0\3\0\0\0" + bytes(64)
SEEDS: Final = {
    "dns": b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0\3www\7example\3com\0\0\1\0\1"
    b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4",
    "dhcp": b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63\x35\1\3\x34\1\3\x0c\2pc\xff",
    "arp": bytes.fromhex("0001080006040001020000000001c0000201000000000000c0000202"),
    "sip": b'INVITE sip:b@x SIP/2.0\r\nf: "A" <sip:a@x>\r\nt: <sip:b@x>\r\nl: 3\r\n\r\nabc',
    "tls": b"\x16\3\1\0\x3b\1\0\0\x37\3\3"
    + bytes(33)
    + b"\0\2\x13\1\1\0\0\x0c\0\0\0\x08\0\6\0\0\3a.b",
    "http": b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM TlRMTVNTUAADAAAA\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n"
    b"\0\0\0\x0c\x0a\x14\0\0\0\0\0\0\0\0\0\0"
    b"\0\0\0\x0c\x0a\x15" + bytes(10 + 44),
    "quic": b"\xc0\0\0\0\1\x08abcdefgh\0\0\x40\x40" + bytes(64),
    "ndp": b"\x87\0\0\0\0\0\0\0\xfe\x80" + bytes(14) + b"\1\1\2\0\0\0\0\1",
    "kerberos": b"\0\0\0\x0c\x7e\x0a\x30\x08\xa0\3\2\1\5\xa1\1\0",
    "ldap": b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0",
    "smb": b"\0\0\0\x8c\xfeSMB" + bytes(60) + _NTLM,
    "rdp": b"\3\0\0\x23\x1e\xe0" + bytes(5) + b"Cookie: mstshash=maria\r\n",
    "ike": bytes(4) + b"initiate" + bytes(8) + b"\x21\x20\x22\x08\0\0\0\0\0\0\0\x1c",
    "openvpn": b"\0\x0e\x38sessions\0" + bytes(4),
    "wireguard": b"\1".ljust(148, b"\0"),
    "frames": b"\6\0\x40\x20" + bytes(32) + b"\2\1\0\1\0\0\0\x1c",
    "radius": b"\1\1\0\x1e" + bytes(16) + b"\1\4ab\x08\6\x0a\0\0\1",
    "lldp": b"\2\7\4\0\1\2\3\4\5\4\4\5eth\6\2\0\x78\x0a\2sw\0\0",
    "rich-ntlm": _NTLM,
    "rich-ldap": b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0",
    "rich-kerberos": b"\x7e\x0a\x30\x08\xa0\3\2\1\5\xa1\1\0",
}


def _target() -> Callable[[bytes], None]:
    """Return what one input does: kind, segment size and direction, then the bytes."""
    import msgspec
    import numpy as np

    from ipwatchd.capture.dissect import Dissector
    from ipwatchd.capture.dissect.quic import crypto_frames
    from ipwatchd.capture.rich.child.protocols import PROTOCOLS
    from ipwatchd.capture.rich.child.serve import dissect
    from ipwatchd.capture.tap import KINDS, TAP, Taps

    names = list(SEEDS)
    encoder = msgspec.json.Encoder()

    def one(data: bytes) -> None:
        if len(data) < 4:
            return
        name, rest = names[data[0] % len(names)], data[3:]
        if name == "frames":
            crypto_frames(rest)
            return
        rich = name.removeprefix("rich-")
        if rich != name or name in {"radius", "lldp"}:
            encoder.encode(dissect(PROTOCOLS[rich], rest))
            return
        size = data[1] * 8 or len(rest)
        parts = [rest[at : at + size] for at in range(0, len(rest), size)][:64]
        index = np.zeros(len(parts), TAP)
        place = 0
        for row, part in zip(index, parts, strict=True):
            row["ts"], row["kind"], row["from_orig"] = 10**18, KINDS.index(name), data[2] & 1
            row["proto"] = 6 if data[2] & 2 else 17
            row["whole"] = name == "tls" and data[2] & 6 == 6
            row["seq"] = row["offset"] = place
            row["length"] = len(part)
            place += len(part)
        dissector = Dissector()
        memory = np.frombuffer(b"".join(parts), np.uint8)
        events = dissector.feed(Taps(index, memory)) + dissector.finish()
        encoder.encode(events)

    return one


def _mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(3, len(data) + 1) if len(data) > 3 else len(data)
        what = chance.randrange(5)
        if what == 0 and at < len(data):
            data[at] = chance.choice((0, 0xFF, 0x7F, 0xC0, chance.randrange(256)))
        elif what == 1:
            del data[at:]
        elif what == 2:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
        elif what == 3:
            data[at:at] = bytes(data[at : at + 16]) * chance.randrange(1, 40)
        else:
            data += chance.choice(seeds)[3:]
    data[1:3] = chance.randbytes(2)
    return bytes(data[:4096])


def _seeds() -> list[bytes]:
    return [
        bytes([number, size, flags]) + data
        for number, data in enumerate(SEEDS.values())
        for size in (0, 2)
        for flags in (1, 3, 2)
    ]


def _plain(seconds: float, crash: Path) -> int:
    """Run without atheris; returns how many inputs were survived, raises on the first bad one."""
    one, chance, seeds = _target(), random.Random(1), _seeds()
    until = time.monotonic() + seconds
    runs = 0
    while time.monotonic() < until:
        data = _mutated(chance, seeds)
        signal.alarm(HANG)
        try:
            one(data)
        except BaseException:
            crash.write_bytes(data)
            raise
        runs += 1
    signal.alarm(0)
    return runs


def _guided(seconds: float, crash: Path) -> None:
    """Run with atheris, which ends the process itself and says on standard error what it did."""
    import tempfile

    import atheris

    with atheris.instrument_imports(include=["ipwatchd.capture.dissect", "ipwatchd.capture.rich"]):
        one = _target()
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number, seed in enumerate(_seeds()):
        (corpus / str(number)).write_bytes(seed)
    options = [
        "fuzz", str(corpus), f"-max_total_time={int(seconds)}", f"-timeout={HANG}",
        f"-rss_limit_mb={MEMORY >> 20}", "-print_final_stats=1", "-max_len=4096",
        f"-exact_artifact_path={crash}",
    ]  # fmt: skip
    atheris.Setup(options, one)
    atheris.Fuzz()


def _worker(seconds: float, crash: Path) -> None:
    import warnings

    warnings.simplefilter("ignore")
    try:
        import atheris  # noqa: F401 - only whether it is there
    except ImportError:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        sys.stderr.write(
            f"engine plain\nstat::number_of_executed_units: {_plain(seconds, crash)}\n"
        )
    else:
        sys.stderr.write("engine atheris\n")
        _guided(seconds, crash)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""


def main() -> int:
    """Run a worker, and tell what it survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--crash", type=Path, default=Path("fuzz-crash.bin"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _worker(options.seconds, options.crash)
        return 0
    command = [sys.executable, __file__, "--worker", "--seconds", str(options.seconds)]
    done = subprocess.run(
        [*command, "--crash", str(options.crash)], capture_output=True, text=True, check=False,
        env=os.environ,
    )  # fmt: skip
    result: dict[str, Any] = {
        "engine": _found(r"engine (\w+)", done.stderr),
        "seconds": options.seconds,
        "executions": int(_found(r"number_of_executed_units:\s*(\d+)", done.stderr) or 0),
        "survived": done.returncode == 0,
    }
    if done.returncode:
        sys.stderr.write(done.stderr[-3000:])
    print(json.dumps(result) if options.json else f"fuzz: {result}")
    return 0 if done.returncode == 0 and result["executions"] else 1


if __name__ == "__main__":
    sys.exit(main())
