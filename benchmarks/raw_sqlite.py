"""Raw SQLite: the same rows into the same tables and indexes, prepared beforehand, and nothing else.

The rows are taken from a store that ours has written; the schema and the statements are ours.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from backstory.infrastructure.sql.statements import load, text_of
from backstory.measuring.samples import Burst

_PACKAGE: Final = "backstory.infrastructure.sqlite"
QUERIES: Final = load("backstory.infrastructure.sql", "queries.sql") | load(_PACKAGE, "queries.sql")
NEW_STREAM: Final = "INSERT INTO streams (id, branch, name) VALUES (?, ?, ?)"
NEW_KEY: Final = "INSERT INTO keys (id, stream, kind, name) VALUES (?, ?, ?, ?)"
_EVENTS: Final = """
    SELECT position, branch, stream, version, event_id, type, key, recorded_us, expires_us,
           correlation, causes, actor, extra, format, cipher_key, data, hash
    FROM events ORDER BY position
"""
Row = tuple[Any, ...]


class Group(NamedTuple):
    """The rows of one transaction."""

    streams: Sequence[Row]
    keys: Sequence[Row]
    events: Sequence[Row]
    state: Sequence[Row]


def groups_of(path: Path, size: int) -> list[Group]:
    """Return the rows of a store's file in transactions of so many events; names come with their first use."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        streams = {row[0]: row for row in connection.execute("SELECT id, branch, name FROM streams")}
        keys = {row[0]: row for row in connection.execute("SELECT id, stream, kind, name FROM keys")}
        events = connection.execute(_EVENTS).fetchall()
    finally:
        connection.close()
    return [_group(part, streams, keys) for part in _parts(events, size)]


def _parts(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for at in range(0, len(rows), size):
        yield rows[at : at + size]


def _group(events: Sequence[Row], streams: dict[int, Row], keys: dict[int, Row]) -> Group:
    """Return one group, taking the names that it is the first to use."""
    state = {(event[2], event[6]): (event[2], event[6], event[0], event[8]) for event in events}
    return Group(
        _taken(streams, (event[2] for event in events)),
        _taken(keys, (event[6] for event in events)),
        events,
        list(state.values()),
    )


def _taken(names: dict[int, Row], used: Iterable[int]) -> list[Row]:
    return [names.pop(number) for number in dict.fromkeys(used) if number in names]


def opened(path: Path) -> apsw.Connection:
    """Return a connection to a fresh file with our schema, as durable as ours."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", 2)
    connection.pragma("foreign_keys", 1)
    for _ in connection.execute(text_of(_PACKAGE, "schema.sql")):
        pass
    return connection


def insert(path: Path, groups: Sequence[Group]) -> Burst:
    """Insert groups of rows, each in one durable transaction."""
    connection = opened(path)
    calls: list[int] = []
    try:
        begun = time.perf_counter()
        for group in groups:
            started = time.perf_counter_ns()
            _insert(connection, group)
            calls.append(time.perf_counter_ns() - started)
        seconds = time.perf_counter() - begun
    finally:
        connection.close()
    return Burst(sum(len(group.events) for group in groups), seconds, calls)


def _insert(connection: apsw.Connection, group: Group) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if group.streams:
        connection.executemany(NEW_STREAM, group.streams)
    if group.keys:
        connection.executemany(NEW_KEY, group.keys)
    connection.executemany(QUERIES["insert_event"], group.events)
    connection.executemany(QUERIES["upsert_state"], group.state)
    connection.execute("COMMIT")
