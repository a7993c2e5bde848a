"""LangGraph: its SQLite checkpointer and store, with the same payload."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from langgraph.checkpoint.base import CheckpointMetadata, empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.sqlite import SqliteStore  # type: ignore[import-untyped]

from backstory.measuring.samples import Burst
from backstory.measuring.workload import key, value, values

_METADATA: Final[CheckpointMetadata] = {"source": "loop", "step": 1, "parents": {}}


def _config(thread: int) -> Any:
    return {"configurable": {"thread_id": f"run-{thread}", "checkpoint_ns": ""}}


def _checkpoint(number: int) -> Any:
    return {**empty_checkpoint(), "channel_values": {"state": value(number)}, "channel_versions": {"state": number}}


def saver(folder: Path, *, count: int) -> Burst:
    """Put one checkpoint at a time with the blocking saver, which sets WAL itself."""
    with SqliteSaver.from_conn_string(str(folder / "saver.db")) as its:
        its.setup()
        prepared = [_checkpoint(number) for number in range(count)]
        return _one_by_one(count, lambda number: its.put(_config(0), prepared[number], _METADATA, {}))


def async_saver(folder: Path, *, callers: int, each: int) -> Burst:
    """Let so many tasks put one checkpoint at a time, each to a thread of its own."""

    async def measured() -> Burst:
        async with AsyncSqliteSaver.from_conn_string(str(folder / "saver.db")) as its:
            await its.setup()
            prepared = [_checkpoint(number) for number in range(each)]

            async def write(caller: int) -> None:
                for checkpoint in prepared:
                    await its.aput(_config(caller), checkpoint, _METADATA, {})

            begun = time.perf_counter()
            await asyncio.gather(*(write(caller) for caller in range(callers)))
            return Burst(callers * each, time.perf_counter() - begun)

    return asyncio.run(measured())


def store(folder: Path, *, count: int, tuned: bool) -> Burst:
    """Put one value at a time into the key-value store, as it comes or with WAL and FULL set by the user."""
    path = folder / "store.db"
    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as connection:
        if tuned:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            connection.execute("PRAGMA synchronous=FULL")
        its = SqliteStore(connection)
        its.setup()
        payload = values()
        return _one_by_one(count, lambda number: its.put(("run",), key(number % 16), payload[number % len(payload)]))


def _one_by_one(count: int, put: Callable[[int], object]) -> Burst:
    calls: list[int] = []
    begun = time.perf_counter()
    for number in range(count):
        started = time.perf_counter_ns()
        put(number)
        calls.append(time.perf_counter_ns() - started)
    return Burst(count, time.perf_counter() - begun, calls)
