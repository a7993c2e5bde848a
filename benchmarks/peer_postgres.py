"""PostgreSQL: a server for the run, and raw batched inserts of the same rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from backstory.domain.errors import StoreUnavailableError
from backstory.infrastructure.postgres.statements import literal, placeholders, queries
from backstory.infrastructure.sql.statements import split, text_of
from backstory.measuring.samples import Burst
from backstory.testing.postgres import PostgresServer, postgres

ABSENT: Final = "no PostgreSQL: install the extra `bench`, or name a server in BACKSTORY_TEST_POSTGRES"
_QUERIES: Final = queries()
_NEW_STREAMS: Final = """
    INSERT INTO streams (id, branch, name)
    SELECT * FROM unnest(:c0::bigint[], :c1::integer[], :c2::text[])
"""
_NEW_KEYS: Final = """
    INSERT INTO keys (id, stream, kind, name)
    SELECT * FROM unnest(:c0::bigint[], :c1::bigint[], :c2::smallint[], :c3::text[])
"""
_EVENTS: Final = """
    SELECT position, branch, stream, version, event_id, type, key, recorded_us, expires_us,
           correlation, causes, actor, extra, format, cipher_key, data, hash
    FROM events ORDER BY position
"""
_NAMESPACE: Final = sql.Identifier("backstory")
Row = tuple[Any, ...]


class Statement(NamedTuple):
    """One statement with all its rows as array literals, ready to be sent."""

    text: bytes
    params: dict[str, Any]


@contextmanager
def server() -> Iterator[PostgresServer | None]:
    """Give a durable server of this run's own, or None where there is no PostgreSQL."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(postgres())
        except StoreUnavailableError:
            running = None
        yield running


def transactions_of(url: str, size: int) -> list[list[Statement]]:
    """Return a store's rows as prepared transactions of so many events; names come with their first use."""
    with psycopg.connect(url, options="-c search_path=backstory") as connection:
        streams = {row[0]: row for row in connection.execute("SELECT id, branch, name FROM streams").fetchall()}
        keys = {row[0]: row for row in connection.execute("SELECT id, stream, kind, name FROM keys").fetchall()}
        events = connection.execute(_EVENTS).fetchall()
    parts = (events[at : at + size] for at in range(0, len(events), size))
    return [_transaction(part, streams, keys) for part in parts]


def _transaction(events: Sequence[Row], streams: dict[int, Row], keys: dict[int, Row]) -> list[Statement]:
    state = {(event[2], event[6]): (event[2], event[6], event[0], event[8]) for event in events}
    names = (
        (_NEW_STREAMS, [streams.pop(event[2]) for event in events if event[2] in streams]),
        (_NEW_KEYS, [keys.pop(event[6]) for event in events if event[6] in keys]),
    )
    rows = ((_QUERIES["insert_event"], events), (_QUERIES["upsert_state"], list(state.values())))
    return [_statement(text, wanted) for text, wanted in (*names, *rows) if wanted]


def _statement(text: str, rows: Sequence[Row]) -> Statement:
    columns = zip(*rows, strict=True)
    params = {f"c{index}": _array(column) for index, column in enumerate(columns)}
    return Statement(placeholders(text).encode(), params)


def _array(column: Sequence[Any]) -> Any:
    return list(column) if isinstance(column[0], str) else literal(column)


def make_schema(url: str) -> None:
    """Make our tables and indexes in an empty database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(_NAMESPACE))
        connection.execute(sql.SQL("SET search_path TO {}").format(_NAMESPACE))
        for statement in split(text_of("backstory.infrastructure.postgres", "schema.sql")):
            connection.execute(statement.encode())


def insert(url: str, transactions: Sequence[Sequence[Statement]]) -> float:
    """Send prepared transactions, each in one round and durable; return how many seconds they took."""
    make_schema(url)
    with psycopg.connect(url, autocommit=True, options="-c search_path=backstory") as connection:
        begun = time.perf_counter()
        for statements in transactions:
            with connection.pipeline():
                connection.execute(b"BEGIN")
                for text, params in statements:
                    connection.execute(text, params, prepare=True)
                connection.execute(b"COMMIT")
        return time.perf_counter() - begun


def by_hand(url: str, transactions: Sequence[Sequence[Statement]], *, events: int) -> Burst:
    """Return the rate of `insert`."""
    return Burst(events, insert(url, transactions))
