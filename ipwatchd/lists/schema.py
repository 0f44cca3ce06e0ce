"""The SQL of lists.db: the entries in force, and every change there ever was."""

from __future__ import annotations

from typing import Final

__all__ = ["COLUMNS", "MIGRATIONS"]

COLUMNS: Final = (
    "id", "list", "network", "scope", "source", "reason", "author", "created", "expires", "ticket",
)  # fmt: skip

# A change is never edited, and not deleted while what it speaks of is in force; retention may
# forget the older ones.
MIGRATIONS: Final = (
    """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    list TEXT NOT NULL CHECK (list IN ('allow', 'deny')),
    network TEXT NOT NULL,
    first BLOB NOT NULL CHECK (length(first) = 16),
    last BLOB NOT NULL CHECK (length(last) = 16),
    scope TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL NOT NULL,
    ticket TEXT NOT NULL,
    UNIQUE (network, list, scope, source)
);
CREATE INDEX entries_source ON entries (source);
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('add', 'renew', 'remove', 'expire')),
    entry INTEGER NOT NULL,
    list TEXT NOT NULL,
    network TEXT NOT NULL,
    scope TEXT NOT NULL,
    source TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    ticket TEXT NOT NULL,
    expires REAL NOT NULL
);
CREATE INDEX changes_network ON changes (network);
CREATE INDEX changes_entry ON changes (entry);
CREATE TRIGGER changes_stand BEFORE UPDATE ON changes
BEGIN SELECT RAISE(ABORT, 'the history of the lists is never edited'); END;
CREATE TRIGGER changes_explain BEFORE DELETE ON changes
WHEN EXISTS (SELECT 1 FROM entries WHERE id = OLD.entry)
BEGIN SELECT RAISE(ABORT, 'a change of an entry in force is not forgotten'); END
""",
    # Feeds in columns (block.py). Their rows as entries go; each feed is fetched anew.
    """
CREATE TABLE blocks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    list TEXT NOT NULL CHECK (list IN ('allow', 'deny')),
    time REAL NOT NULL,
    whole INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX blocks_source ON blocks (source);
DELETE FROM entries WHERE source LIKE 'feed:%'
""",
)
