"""Row 11: the room that values of 200 bytes take on disk, indexes included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import backstory
from backstory.measuring import writing
from backstory.measuring.disk import size_of
from backstory.measuring.workload import PAYLOAD_BYTES
from backstory.testing.postgres import PostgresServer
from benchmarks import peer_eventsourcing, peer_postgres
from benchmarks.contest import Claim, Measure, Result, Run, Table, below

_METRIC: Final = "bytes a byte"


def on_disk(run: Run) -> Result:
    """Row 11: bytes on disk a byte of payload, in SQLite and in PostgreSQL."""
    events = 20_000 if run.size == "quick" else 100_000
    contenders: dict[str, Measure] = {
        "ours, SQLite, set_many": lambda folder: in_sqlite(folder, events),
        "ours, SQLite, single sets": lambda folder: one_by_one(folder, events // 10),
        "eventsourcing, SQLite": lambda folder: its_own(folder, events),
    }
    with peer_postgres.server() as server:
        if server is not None:
            contenders["ours, PostgreSQL, set_many"] = lambda _: in_postgres(server, events)
        table = Run(run.folder, run.size, 1, run.fsyncs, run.tell).contest("row 11", contenders, warm_up=False)
    notes = () if server is not None else (peer_postgres.ABSENT,)
    return Result(11, f"Room for {events:,} values of {PAYLOAD_BYTES} bytes", table.figures, _claims(table), notes)


def _claims(table: Table) -> tuple[Claim, ...]:
    ours = [figure for figure in table.figures if figure.who.startswith("ours")]
    return tuple(below(f"{figure.who}, {_METRIC}", figure.samples, 3, "x") for figure in ours)


def in_sqlite(folder: Path, events: int) -> Mapping[str, float]:
    """Return what a closed store's files take."""
    with backstory.open(f"sqlite:///{folder / 'store.db'}") as store:
        writing.fill(store, events=events, keys=events // 10)
    return {_METRIC: size_of(folder) / (events * PAYLOAD_BYTES)}


def one_by_one(folder: Path, events: int) -> Mapping[str, float]:
    """Return the same for values written one at a time by 64 sessions."""
    burst = writing.by_tasks_at(f"sqlite:///{folder / 'store.db'}", callers=64, each=events // 64)
    return {_METRIC: size_of(folder) / (burst.count * PAYLOAD_BYTES)}


def in_postgres(server: PostgresServer, events: int) -> Mapping[str, float]:
    """Return what the tables and indexes of a store's schema take."""
    with server.database() as url, backstory.open(url) as store:
        writing.fill(store, events=events, keys=events // 10)
        return {_METRIC: store.metrics().bytes / (events * PAYLOAD_BYTES)}


def its_own(folder: Path, events: int) -> Mapping[str, float]:
    """Return what eventsourcing's recorder takes: one index, no ids, no hashes, no metadata."""
    peer_eventsourcing.in_batches(peer_eventsourcing.on_sqlite(folder), batches=events // 1000, size=1000)
    return {_METRIC: size_of(folder) / (events * PAYLOAD_BYTES)}
