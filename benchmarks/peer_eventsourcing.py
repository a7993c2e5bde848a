"""eventsourcing: its own recorders, through its own factory, with the same payload."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment

from backstory.measuring.samples import Burst
from backstory.measuring.workload import PAYLOAD_BYTES
from backstory.measuring.writing import in_threads

_STATE: Final = b"x" * PAYLOAD_BYTES
_TOPIC: Final = "benchmarks.sessions:Session.Written"


@contextmanager
def recorder(settings: Mapping[str, str]) -> Iterator[ApplicationRecorder]:
    """Give the application recorder that these settings name."""
    factory = InfrastructureFactory.construct(Environment(name="", env=dict(settings)))
    try:
        yield factory.application_recorder()
    finally:
        factory.close()


def on_sqlite(folder: Path) -> dict[str, str]:
    """Return its settings for a SQLite file; a connection a thread, for nobody waits for a pool."""
    return {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / "events.db"),
        "SQLITE_LOCK_TIMEOUT": "60",
        "SQLITE_POOL_SIZE": "32",
        "SQLITE_POOL_TIMEOUT": "60",
    }


def stored(originator: UUID, first: int, count: int) -> list[StoredEvent]:
    """Return events of one aggregate with these versions, already encoded."""
    return [
        StoredEvent(originator_id=originator, originator_version=version, topic=_TOPIC, state=_STATE)
        for version in range(first, first + count)
    ]


def by_threads(settings: Mapping[str, str], *, callers: int, each: int) -> Burst:
    """Let so many threads insert one event at a time, each into an aggregate of its own."""
    with recorder(settings) as its:
        prepared = [stored(uuid4(), 1, each) for _ in range(callers)]

        def write(caller: int) -> list[int]:
            calls: list[int] = []
            for event in prepared[caller]:
                started = time.perf_counter_ns()
                its.insert_events([event])
                calls.append(time.perf_counter_ns() - started)
            return calls

        return in_threads(write, callers=callers, each=each)


def by_one(settings: Mapping[str, str], *, count: int) -> Burst:
    """Let one caller insert one event at a time."""
    with recorder(settings) as its:
        prepared = stored(uuid4(), 1, count)
        calls: list[int] = []
        begun = time.perf_counter()
        for event in prepared:
            started = time.perf_counter_ns()
            its.insert_events([event])
            calls.append(time.perf_counter_ns() - started)
        return Burst(count, time.perf_counter() - begun, calls)


def in_batches(settings: Mapping[str, str], *, batches: int, size: int) -> Burst:
    """Let one caller insert so many events in each transaction."""
    with recorder(settings) as its:
        prepared = [stored(uuid4(), 1, size) for _ in range(batches)]
        begun = time.perf_counter()
        for events in prepared:
            its.insert_events(events)
        return Burst(batches * size, time.perf_counter() - begun)
