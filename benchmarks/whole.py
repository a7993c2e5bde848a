"""Row 6: the whole state at a point, beside the SQL that fetches the same values."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import apsw
import orjson

import backstory
from backstory.measuring import reading
from backstory.measuring.samples import Burst, Figure
from backstory.store import StateStore
from benchmarks.contest import Claim, Measure, Result, Run, at_most
from benchmarks.filled import filled

_NAMED: Final = """
    SELECT s.name, k.name, e.data
    FROM (SELECT key, max(position) AS position FROM events
          WHERE key IS NOT NULL AND position <= ? GROUP BY key) l
    JOIN events e ON e.position = l.position
    JOIN keys k ON k.id = e.key
    JOIN streams s ON s.id = e.stream
"""
_BARE: Final = """
    SELECT e.key, e.data
    FROM (SELECT key, max(position) AS position FROM events
          WHERE key IS NOT NULL AND position <= ? GROUP BY key) l
    JOIN events e ON e.position = l.position
"""


def whole_state(run: Run) -> Result:
    """Row 6: a snapshot half way, and at the head."""
    events = 100_000 if run.size == "quick" else 1_000_000
    path = filled(run, events)
    figures: list[Figure] = []
    claims: list[Claim] = []
    for when, position in (("half way", events // 2), ("head", events)):
        with backstory.open(f"sqlite:///{path}", read_only=True) as store:
            table = run.contest(f"row 6, {when}", _contenders(store, path, position, when))
        figures += table.figures
        claims.append(at_most(table, f"ours, snapshot, {when}", f"raw GROUP BY and join, {when}", "ms", 2))
    title = f"SQLite, the whole state of {events // 10:,} keys in {events:,} events"
    return Result(6, title, tuple(figures), tuple(claims))


def _contenders(store: StateStore, path: Path, position: int, when: str) -> dict[str, Measure]:
    return {
        f"ours, snapshot, {when}": lambda _: in_ms(reading.whole(store, position)),
        f"raw GROUP BY and join, {when}": lambda _: in_ms(raw(path, _BARE, position)),
        f"the same with names and values decoded, {when}": lambda _: in_ms(raw(path, _NAMED, position, decode=True)),
    }


def in_ms(burst: Burst) -> dict[str, float]:
    """Return how long it took, milliseconds."""
    return {"ms": burst.seconds * 1000}


def raw(path: Path, sql: str, position: int, *, decode: bool = False) -> Burst:
    """Fetch the last value of every key: bytes, or with `decode` what a program of one's own would go on with."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        begun = time.perf_counter()
        rows: list[Any] = connection.execute(sql, (position,)).fetchall()
        if decode:
            state: dict[str, dict[str, Any]] = {}
            for scope, key, data in rows:
                state.setdefault(scope, {})[key] = orjson.loads(data)["value"]
        return Burst(len(rows), time.perf_counter() - begun)
    finally:
        connection.close()
