-- Today's schema of a SQLite store, version 2. One file is one log.
-- Streams, keys and types are numbers in events: a number stands for (branch, stream) or
-- (branch, stream, key), so every index begins with them and stays small.

CREATE TABLE store (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE branches (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    parent INTEGER REFERENCES branches (id),
    position INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    dropped INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    branch INTEGER NOT NULL REFERENCES branches (id),
    name TEXT NOT NULL,
    UNIQUE (branch, name)
) STRICT;

-- kind 0: keys of state events; 1: keys of all other events.
CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams (id),
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (stream, kind, name)
) STRICT;

CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    branch INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    type INTEGER NOT NULL,
    key INTEGER,
    recorded_us INTEGER NOT NULL,
    expires_us INTEGER,
    correlation BLOB,
    causes BLOB,
    actor BLOB,
    extra BLOB,
    format INTEGER NOT NULL,
    cipher_key INTEGER NOT NULL,
    data BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_stream ON events (stream, version);
CREATE UNIQUE INDEX events_id ON events (event_id);
-- The point-in-time store: a key as of any position is one seek (position is the row id).
CREATE INDEX events_key ON events (key) WHERE key IS NOT NULL;
CREATE INDEX events_correlation ON events (correlation) WHERE correlation IS NOT NULL;
CREATE INDEX events_expiring ON events (expires_us) WHERE expires_us IS NOT NULL;
-- The sequence of another library's events.
CREATE INDEX events_foreign ON events (position) WHERE format = 1;

CREATE TABLE clears (
    stream INTEGER NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    recorded_us INTEGER NOT NULL,
    PRIMARY KEY (stream, position)
) STRICT, WITHOUT ROWID;

-- The reverse of what events name as their causes, positions both. Disposable.
CREATE TABLE causes (
    cause INTEGER NOT NULL,
    effect INTEGER NOT NULL,
    PRIMARY KEY (cause, effect)
) STRICT, WITHOUT ROWID;

-- The current-state projection: where the live value of each key stands. Disposable.
CREATE TABLE state (
    stream INTEGER NOT NULL,
    key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    expires_us INTEGER,
    PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX state_expiring ON state (expires_us) WHERE expires_us IS NOT NULL;

CREATE TABLE projections (name TEXT PRIMARY KEY, kept INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE tracking (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Processes that have written and not yet closed; a dead one among them means: look closely.
CREATE TABLE writers (
    id TEXT PRIMARY KEY, pid INTEGER NOT NULL, boot TEXT NOT NULL, started TEXT NOT NULL, since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO branches (id, name, parent, position, created_us) VALUES (0, 'main', NULL, 0, 0);
INSERT INTO projections (name, kept) VALUES ('state', 1);
INSERT INTO types (id, name) VALUES
    (1, 'state.set'), (2, 'state.deleted'), (3, 'scope.cleared'), (4, 'state.expired');
