"""The site's key: every incident event is signed with it (Ed25519, RFC 8032).

site.key (0600) holds the private key, site.pub the public one and the event from which on all are
signed. Whoever edits the database without the key can't make it hold together again.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "PRIVATE", "PUBLIC", "PublicKey", "Signer", "fingerprint", "is_signed", "key_of",
    "load_public",
]  # fmt: skip

PRIVATE: Final = "site.key"
PUBLIC: Final = "site.pub"
_CONTEXT: Final = b"ipwatchd incident event 1\n"
"""Put before what is signed: a signature made for something else is none of an event."""
_HEX: Final = 64
"""Digits of a key: 32 bytes."""


class PublicKey(NamedTuple):
    """A site's public key (hex), and the first event that was signed with it."""

    key: str
    since: int


def fingerprint(public: str) -> str:
    """Return what people compare of a public key: 32 digits of its SHA-256 in groups of four."""
    digits = hashlib.sha256(bytes.fromhex(public)).hexdigest()[:32]
    return ":".join(digits[place : place + 4] for place in range(0, 32, 4))


def is_signed(public: str, hash_: str, signature: str) -> bool:
    """Tell whether a signature is this key's over an event's hash."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        given = bytes.fromhex(signature)
        key.verify(given, _CONTEXT + hash_.encode())
    except (InvalidSignature, ValueError):
        return False
    # Capitals are the same number and another byte.
    return given.hex() == signature


class Signer:
    """Signs what this site writes."""

    def __init__(self, key: Ed25519PrivateKey, public: PublicKey) -> None:
        self._key = key
        self.public = public

    def sign(self, hash_: str) -> str:
        """Return the signature over an event's hash, as hex digits."""
        return self._key.sign(_CONTEXT + hash_.encode()).hex()

    @classmethod
    def open(cls, folder: Path, last_seq: int) -> Signer:
        """Return the signer of a state folder; its key is made at the first start.

        Raises OSError where the key can't be read or written, or is none.
        """
        path = folder / PRIVATE
        if not path.exists():
            _write(path, os.urandom(_HEX // 2).hex(), 0o600)
        key = _private(path)
        digits = key.public_key().public_bytes_raw().hex()
        public = load_public(folder)
        if public is None or public.key != digits:
            public = PublicKey(digits, last_seq + 1)
            _write(folder / PUBLIC, f"{public.key} {public.since}", 0o644)
        return cls(key, public)


def key_of(folder: Path) -> str:
    """Return the public half (hex) of the key that a state folder signs with, "" without one.

    Raises OSError where the key is there and can't be read, or is none.
    """
    path = folder / PRIVATE
    return _private(path).public_key().public_bytes_raw().hex() if path.exists() else ""


def _private(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))
    except ValueError:
        raise OSError(
            f"{path} holds no key: put it back from a backup, or move it and {PUBLIC} aside (the "
            "centre must then be told the new key)"
        ) from None


def load_public(folder: Path) -> PublicKey | None:
    """Return the public key of a state folder, None where it never signed."""
    try:
        key, _, since = (folder / PUBLIC).read_text().strip().partition(" ")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        key = since = ""
    if len(key) != _HEX or not since.isdecimal() or int(since) < 1:
        raise OSError(f"{folder / PUBLIC} holds no public key: start the daemon once")
    return PublicKey(key, int(since))


def _write(path: Path, text: str, mode: int) -> None:
    """Write a small file whole or not at all, readable to whom `mode` says from the start."""
    temporary = path.with_suffix(path.suffix + ".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
