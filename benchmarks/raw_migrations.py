"""A floor for row 9: a plain table of JSON text, changed by one durable statement: nothing kept, nothing checked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import apsw
import psycopg

_TABLE: Final = "CREATE TABLE items (number integer PRIMARY KEY, value text NOT NULL)"
_SQLITE: Final = """
    UPDATE items SET value = json_set(
        json_remove(value, '$.mail', '$.age'),
        '$.email', json_extract(value, '$.mail'),
        '$.status', 'active',
        '$.profile', json_object('age', json_extract(value, '$.age')),
        '$.created_at', strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
    )
"""
_POSTGRES: Final = """
    UPDATE items SET value = (
        (value::jsonb - 'mail' - 'age') || jsonb_build_object(
            'email', value::jsonb -> 'mail',
            'status', 'active',
            'profile', jsonb_build_object('age', value::jsonb -> 'age'),
            'created_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
        )
    )::text
"""


def on_sqlite(folder: Path, *, items: int) -> dict[str, float]:
    """Return what an item takes in SQLite, in WAL mode with `synchronous=FULL`."""
    connection = apsw.Connection(str(folder / "raw.db"))
    try:
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", 2)
        connection.execute(_TABLE)
        with connection:
            connection.executemany("INSERT INTO items VALUES (?, ?)", _rows(items))
        seconds = _timed(lambda: connection.execute(_SQLITE))
        _check(connection.execute("SELECT number, value FROM items"))
    finally:
        connection.close()
    return {"us an item": seconds / items * 1e6}


def on_postgres(url: str, *, items: int) -> dict[str, float]:
    """Return what an item takes in PostgreSQL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLE)
        with connection.transaction():
            connection.cursor().executemany("INSERT INTO items VALUES (%s, %s)", _rows(items))
        seconds = _timed(lambda: connection.execute(_POSTGRES))
        _check(connection.execute("SELECT number, value FROM items").fetchall())
        connection.execute("DROP TABLE items")
    return {"us an item": seconds / items * 1e6}


def _rows(items: int) -> list[tuple[int, str]]:
    from benchmarks.migrations import value  # noqa: PLC0415 - which imports this

    return [(number, json.dumps(value(number), separators=(",", ":"))) for number in range(items)]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _check(rows: Iterable[Any]) -> None:
    from benchmarks.migrations import check  # noqa: PLC0415 - which imports this

    for number, text in rows:
        check(number, json.loads(text))
