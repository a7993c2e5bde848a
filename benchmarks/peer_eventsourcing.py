"""eventsourcing: its own recorders, through its own factory, with the same payload."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict

from backstory.measuring.samples import Burst
from backstory.measuring.workload import PAYLOAD_BYTES, values
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


def on_postgres(url: str) -> dict[str, str]:
    """Return its settings for a PostgreSQL database, from a libpq URL."""
    parts = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts.get("host", "")),
        "POSTGRES_PORT": str(parts.get("port", "")),
        "POSTGRES_USER": str(parts.get("user", "")),
        "POSTGRES_PASSWORD": str(parts.get("password") or "none"),
        "POSTGRES_POOL_SIZE": "32",
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


class Run(Aggregate):
    """An aggregate with one event, written as its documentation teaches."""

    @event("Written")
    def write(self, value: dict[str, Any]) -> None:
        """Keep the last value."""
        self.value = value


def by_saving(settings: Mapping[str, str], *, count: int) -> Burst:
    """Let one caller save an aggregate with one new event at a time; only the save is timed."""
    application: Application[UUID] = Application(dict(settings))
    payload = values()
    try:
        run = Run()
        application.save(run)
        calls: list[int] = []
        for number in range(count):
            run.write(payload[number % len(payload)])
            started = time.perf_counter_ns()
            application.save(run)
            calls.append(time.perf_counter_ns() - started)
        return Burst(count, sum(calls) / 1e9, calls)
    finally:
        application.close()


def in_batches(settings: Mapping[str, str], *, batches: int, size: int) -> Burst:
    """Let one caller insert so many events in each transaction."""
    with recorder(settings) as its:
        prepared = [stored(uuid4(), 1, size) for _ in range(batches)]
        begun = time.perf_counter()
        for events in prepared:
            its.insert_events(events)
        return Burst(batches * size, time.perf_counter() - begun)
