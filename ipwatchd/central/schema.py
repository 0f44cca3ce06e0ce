"""The centre's tables, by numbered migrations (ipwatchd.sqlite)."""

from __future__ import annotations

from typing import Final

__all__ = ["MIGRATIONS"]

MIGRATIONS: Final = (
    """
    CREATE TABLE tokens (
        digest TEXT PRIMARY KEY, site TEXT NOT NULL, created REAL NOT NULL, revoked REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE sites (
        site TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        hash TEXT NOT NULL,
        first_contact REAL NOT NULL,
        last_contact REAL NOT NULL,
        announced INTEGER NOT NULL DEFAULT 0,
        drift REAL NOT NULL DEFAULT 0,
        unreadable INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE events (
        site TEXT NOT NULL,
        seq INTEGER NOT NULL,
        time REAL NOT NULL,
        incident TEXT NOT NULL,
        actor TEXT NOT NULL,
        kind TEXT NOT NULL,
        body BLOB NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL,
        UNIQUE (site, seq)
    );
    CREATE TABLE incidents (
        site TEXT NOT NULL,
        id TEXT NOT NULL,
        state TEXT NOT NULL,
        open INTEGER NOT NULL,
        priority TEXT NOT NULL,
        opened REAL NOT NULL,
        doc BLOB NOT NULL,
        UNIQUE (site, id)
    );
    CREATE INDEX incidents_open ON incidents (site, open);
    CREATE INDEX incidents_opened ON incidents (opened);
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        site TEXT NOT NULL,
        list TEXT NOT NULL,
        network TEXT NOT NULL,
        reason TEXT NOT NULL,
        author TEXT NOT NULL,
        created REAL NOT NULL,
        expires REAL NOT NULL,
        ticket TEXT NOT NULL,
        UNIQUE (site, list, network)
    );
    CREATE TABLE conflicts (
        site TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        held TEXT NOT NULL,
        offered TEXT NOT NULL,
        first REAL NOT NULL,
        newest REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE events ADD COLUMN signature TEXT NOT NULL DEFAULT '';
    ALTER TABLE sites ADD COLUMN public_key TEXT NOT NULL DEFAULT '';
    ALTER TABLE sites ADD COLUMN other_key TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE sites ADD COLUMN lease REAL NOT NULL DEFAULT 0;
    ALTER TABLE sites ADD COLUMN hand_over INTEGER NOT NULL DEFAULT 0;
    """,
)
