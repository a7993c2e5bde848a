"""Rows 2 and 4 on PostgreSQL: appending, beside raw batched inserts and eventsourcing."""

from __future__ import annotations

from collections.abc import Callable

import backstory
from backstory.measuring import writing
from backstory.measuring.samples import Burst
from backstory.store import StateStore
from backstory.testing.postgres import PostgresServer
from benchmarks import peer_eventsourcing, peer_postgres
from benchmarks.appending import BATCH, CALLERS, ITS_CALLERS
from benchmarks.contest import Measure, Result, Run, at_least


def many_callers(run: Run) -> Result:
    """Row 2: 64 callers, one `set` each at a time, durable, on PostgreSQL."""
    title = "PostgreSQL, 64 callers, one durable `set` each at a time"
    with peer_postgres.server() as server:
        if server is None:
            return Result(2, title, (), notes=(peer_postgres.ABSENT,))
        return _many_callers(run, server, title)


def _many_callers(run: Run, server: PostgresServer, title: str) -> Result:
    each = run.scaled(150)

    def by_tasks(url: str) -> Burst:
        return writing.by_tasks_at(url, callers=CALLERS, each=each)

    def eventsourcing(url: str) -> Burst:
        settings = peer_eventsourcing.on_postgres(url)
        return peer_eventsourcing.by_threads(settings, callers=ITS_CALLERS, each=max(10, each // 4))

    with server.database() as url:
        by_tasks(url)
        prepared = peer_postgres.transactions_of(url, CALLERS)
    raw = "raw unnest, batches of 64"
    table = run.contest(
        "row 2",
        {
            "ours, 64 tasks": _on(server, by_tasks),
            "ours, 64 threads": _on(
                server, lambda url: _opened(url, lambda store: writing.by_threads(store, callers=CALLERS, each=each))
            ),
            raw: _on(server, lambda url: peer_postgres.by_hand(url, prepared, events=CALLERS * each)),
            "eventsourcing, 32 threads": _on(server, eventsourcing),
        },
    )
    ours = ("ours, 64 tasks", "ours, 64 threads")
    claims = [at_least(table, who, raw, "events/s", 0.4) for who in ours]
    claims += [at_least(table, who, "eventsourcing, 32 threads", "events/s", 20) for who in ours]
    return Result(2, title, table.figures, tuple(claims))


def batches(run: Run) -> Result:
    """Row 4 on PostgreSQL: 1000 values in one commit."""
    title = "PostgreSQL, 1000 values in one durable commit"
    with peer_postgres.server() as server:
        if server is None:
            return Result(4, title, (), notes=(peer_postgres.ABSENT,))
        return _batches(run, server, title)


def _batches(run: Run, server: PostgresServer, title: str) -> Result:
    count = run.scaled(25)

    def set_many(url: str) -> Burst:
        return _opened(url, lambda store: writing.in_batches(store, batches=count, size=BATCH))

    def transactions(url: str) -> Burst:
        return _opened(url, lambda store: writing.in_transactions(store, batches=count, size=BATCH))

    def eventsourcing(url: str) -> Burst:
        return peer_eventsourcing.in_batches(peer_eventsourcing.on_postgres(url), batches=count, size=BATCH)

    with server.database() as url:
        set_many(url)
        prepared = peer_postgres.transactions_of(url, BATCH)
    raw = f"raw unnest of {BATCH}"
    table = run.contest(
        "row 4, PostgreSQL",
        {
            "ours, set_many": _on(server, set_many),
            "ours, transaction": _on(server, transactions),
            raw: _on(server, lambda url: peer_postgres.by_hand(url, prepared, events=count * BATCH)),
            "eventsourcing, recorder": _on(server, eventsourcing),
        },
    )
    claims = tuple(at_least(table, f"ours, {how}", raw, "events/s", 0.5) for how in ("set_many", "transaction"))
    return Result(4, title, table.figures, claims)


def _on(server: PostgresServer, work: Callable[[str], Burst]) -> Measure:
    """Return a measurement that gives its work an empty database."""

    def measure(_: object) -> dict[str, float]:
        with server.database() as url:
            return work(url).figures()

    return measure


def _opened(url: str, work: Callable[[StateStore], Burst]) -> Burst:
    with backstory.open(url) as store:
        return work(store)
