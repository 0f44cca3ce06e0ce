"""Bearer tokens: 256 random bits, of which the centre keeps only the SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

__all__ = ["SITE", "bearer", "digest", "new_token"]

SITE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_BEARER: Final = re.compile(r"Bearer ([\x21-\x7e]{1,200})", re.IGNORECASE)  # RFC 6750, 2.1


def new_token() -> str:
    """Return a new token."""
    return f"ipw_{secrets.token_urlsafe(32)}"


def digest(token: str) -> str:
    """Return what is stored of a token. Its 256 bits can't be guessed, so no salt or stretching."""
    return hashlib.sha256(token.encode()).hexdigest()


def bearer(header: str) -> str:
    """Return the token of an Authorization header, "" where it holds none."""
    found = _BEARER.fullmatch(header.strip())
    return found[1] if found else ""
