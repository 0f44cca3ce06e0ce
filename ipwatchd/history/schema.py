"""The schema of history.db, as numbered migrations: append a script, never edit one.

Addresses are 16 bytes, big-endian, IPv4 mapped (records.address): a network is one BETWEEN. `hour`
and `minute` are epoch seconds of the bucket's start, other times epoch seconds. Roll-ups are keyed
by time first: the current hour stays hot, retention drops a range, and one address over a month is
720 look-ups. `rollup`, `rollup_day`, `session` and `incoming` hold an address by its number
(address.id).
"""

from __future__ import annotations

from typing import Final

__all__ = ["MIGRATIONS"]

_FIRST: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE address (
    address BLOB PRIMARY KEY, zone TEXT NOT NULL, country TEXT NOT NULL DEFAULT '',
    asn INTEGER NOT NULL DEFAULT 0, first_seen REAL NOT NULL, last_seen REAL NOT NULL,
    flows INTEGER NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE rollup (
    hour INTEGER NOT NULL, address BLOB NOT NULL, direction TEXT NOT NULL, zone TEXT NOT NULL,
    service TEXT NOT NULL, flows INTEGER NOT NULL, packets_in INTEGER NOT NULL,
    packets_out INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
    PRIMARY KEY (hour, address, direction, zone, service)
) WITHOUT ROWID;

CREATE TABLE minute (
    minute INTEGER PRIMARY KEY, flows INTEGER NOT NULL, packets INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);

CREATE TABLE session (
    id INTEGER PRIMARY KEY, address BLOB NOT NULL, start REAL NOT NULL, "end" REAL NOT NULL,
    flows INTEGER NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL,
    services TEXT NOT NULL, mask INTEGER NOT NULL, open INTEGER NOT NULL
);
CREATE INDEX session_address ON session (address, start);
CREATE INDEX session_open ON session (open) WHERE open = 1;

CREATE TABLE incoming (
    source BLOB NOT NULL, target BLOB NOT NULL, proto INTEGER NOT NULL, port INTEGER NOT NULL,
    service TEXT NOT NULL, first_seen REAL NOT NULL, last_seen REAL NOT NULL,
    count INTEGER NOT NULL, answered INTEGER NOT NULL, bytes INTEGER NOT NULL,
    denied INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (source, target, proto, port)
) WITHOUT ROWID;
CREATE INDEX incoming_last ON incoming (last_seen);

CREATE TABLE geo (
    address BLOB NOT NULL, country TEXT NOT NULL, city TEXT NOT NULL, asn INTEGER NOT NULL,
    operator TEXT NOT NULL, time_zone TEXT NOT NULL, built INTEGER NOT NULL,
    first_seen REAL NOT NULL, last_seen REAL NOT NULL,
    PRIMARY KEY (address, country, city, asn)
) WITHOUT ROWID;
CREATE INDEX geo_last ON geo (last_seen);

CREATE TABLE api (
    address BLOB NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL, status INTEGER NOT NULL,
    key TEXT NOT NULL, count INTEGER NOT NULL, first_seen REAL NOT NULL, last_seen REAL NOT NULL,
    PRIMARY KEY (address, name, method, status, key)
) WITHOUT ROWID;
CREATE INDEX api_last ON api (last_seen);

CREATE TABLE name (
    address BLOB NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, count INTEGER NOT NULL,
    first_seen REAL NOT NULL, last_seen REAL NOT NULL, PRIMARY KEY (address, name, source)
) WITHOUT ROWID;
CREATE INDEX name_name ON name (name);
CREATE INDEX name_last ON name (last_seen);

CREATE TABLE agent (
    agent TEXT NOT NULL, address BLOB NOT NULL, source TEXT NOT NULL, count INTEGER NOT NULL,
    first_seen REAL NOT NULL, last_seen REAL NOT NULL, PRIMARY KEY (agent, address, source)
) WITHOUT ROWID;
CREATE INDEX agent_address ON agent (address);
CREATE INDEX agent_last ON agent (last_seen);

CREATE TABLE device (
    address BLOB NOT NULL, mac TEXT NOT NULL, hostname TEXT NOT NULL, count INTEGER NOT NULL,
    first_seen REAL NOT NULL, last_seen REAL NOT NULL, PRIMARY KEY (address, mac)
) WITHOUT ROWID;
CREATE INDEX device_last ON device (last_seen);

CREATE TABLE blocked (
    hour INTEGER NOT NULL, orig BLOB NOT NULL, resp BLOB NOT NULL, action TEXT NOT NULL,
    count INTEGER NOT NULL, PRIMARY KEY (hour, orig, resp, action)
) WITHOUT ROWID;

CREATE INDEX blocked_orig ON blocked (orig);
CREATE INDEX blocked_resp ON blocked (resp);

CREATE TABLE list_change (
    id INTEGER PRIMARY KEY, ts REAL NOT NULL, list TEXT NOT NULL, network TEXT NOT NULL,
    first BLOB NOT NULL, last BLOB NOT NULL, action TEXT NOT NULL, author TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX list_change_ts ON list_change (ts);
CREATE INDEX list_change_network ON list_change (list, network, id);

CREATE TABLE event (
    id INTEGER PRIMARY KEY, ts REAL NOT NULL, kind TEXT NOT NULL, orig BLOB NOT NULL,
    resp BLOB NOT NULL, resp_port INTEGER NOT NULL, proto INTEGER NOT NULL, name TEXT NOT NULL,
    user TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX event_ts ON event (ts);
CREATE INDEX event_orig ON event (orig, ts);
CREATE INDEX event_resp ON event (resp, ts);
CREATE INDEX event_name ON event (name, ts) WHERE name <> '';

CREATE TABLE segment (
    name TEXT PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    first REAL NOT NULL, last REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX segment_first ON segment (first);
"""

_MERGES: Final = """
CREATE TABLE replaced (name TEXT PRIMARY KEY, by TEXT NOT NULL) WITHOUT ROWID;
"""

# Numbers for addresses and for what traffic was (direction, zone, service): a roll-up's row is a
# third of what it was. `spoken` has the words for a session's mask of services.
_NUMBERS: Final = """
ALTER TABLE address RENAME TO old_address;
CREATE TABLE address (
    id INTEGER PRIMARY KEY AUTOINCREMENT, address BLOB NOT NULL UNIQUE, zone TEXT NOT NULL,
    country TEXT NOT NULL DEFAULT '', asn INTEGER NOT NULL DEFAULT 0, first_seen REAL NOT NULL,
    last_seen REAL NOT NULL, flows INTEGER NOT NULL, packets INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
INSERT INTO address (address, zone, country, asn, first_seen, last_seen, flows, packets, bytes)
SELECT address, zone, country, asn, first_seen, last_seen, flows, packets, bytes FROM old_address;
DROP TABLE old_address;
INSERT OR IGNORE INTO address (address, zone, first_seen, last_seen, flows, packets, bytes)
SELECT address, '', min(first_seen), max(last_seen), 0, 0, 0 FROM (
    SELECT source AS address, first_seen, last_seen FROM incoming
    UNION ALL SELECT target, first_seen, last_seen FROM incoming
    UNION ALL SELECT address, start, "end" FROM session
    UNION ALL SELECT address, hour, hour FROM rollup
) GROUP BY address;

CREATE TABLE traffic (
    id INTEGER PRIMARY KEY, direction TEXT NOT NULL, zone TEXT NOT NULL, service TEXT NOT NULL,
    UNIQUE (direction, zone, service)
);
INSERT INTO traffic (direction, zone, service)
SELECT DISTINCT direction, zone, service FROM rollup;

ALTER TABLE rollup RENAME TO old_rollup;
CREATE TABLE rollup (
    hour INTEGER NOT NULL, address INTEGER NOT NULL, traffic INTEGER NOT NULL,
    flows INTEGER NOT NULL, packets_in INTEGER NOT NULL, packets_out INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, PRIMARY KEY (hour, address, traffic)
) WITHOUT ROWID;
INSERT INTO rollup SELECT o.hour, a.id, t.id, o.flows, o.packets_in, o.packets_out, o.bytes_in,
    o.bytes_out FROM old_rollup o JOIN address a ON a.address = o.address
    JOIN traffic t USING (direction, zone, service);
DROP TABLE old_rollup;
CREATE TABLE rollup_day (
    day INTEGER NOT NULL, address INTEGER NOT NULL, traffic INTEGER NOT NULL,
    flows INTEGER NOT NULL, packets_in INTEGER NOT NULL, packets_out INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, PRIMARY KEY (day, address, traffic)
) WITHOUT ROWID;

CREATE TABLE spoken (mask INTEGER PRIMARY KEY, services TEXT NOT NULL);
INSERT OR IGNORE INTO spoken SELECT DISTINCT mask, services FROM session;
ALTER TABLE session RENAME TO old_session;
DROP INDEX session_address;
DROP INDEX session_open;
CREATE TABLE session (
    id INTEGER PRIMARY KEY, address INTEGER NOT NULL, start REAL NOT NULL, "end" REAL NOT NULL,
    flows INTEGER NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL,
    mask INTEGER NOT NULL, open INTEGER NOT NULL
);
INSERT INTO session SELECT s.id, a.id, s.start, s."end", s.flows, s.packets, s.bytes, s.mask, s.open
    FROM old_session s JOIN address a ON a.address = s.address;
DROP TABLE old_session;
CREATE INDEX session_address ON session (address);
CREATE INDEX session_open ON session (open) WHERE open = 1;

ALTER TABLE incoming RENAME TO old_incoming;
DROP INDEX incoming_last;
CREATE TABLE incoming (
    source INTEGER NOT NULL, target INTEGER NOT NULL, proto INTEGER NOT NULL,
    port INTEGER NOT NULL, service TEXT NOT NULL, first_seen REAL NOT NULL,
    last_seen REAL NOT NULL, count INTEGER NOT NULL, answered INTEGER NOT NULL,
    bytes INTEGER NOT NULL, denied INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, target, proto, port)
) WITHOUT ROWID;
INSERT INTO incoming SELECT s.id, t.id, i.proto, i.port, i.service, i.first_seen, i.last_seen,
    i.count, i.answered, i.bytes, i.denied FROM old_incoming i
    JOIN address s ON s.address = i.source JOIN address t ON t.address = i.target;
DROP TABLE old_incoming;
CREATE INDEX incoming_last ON incoming (last_seen);
"""

MIGRATIONS: Final = (_FIRST, _MERGES, _NUMBERS)
