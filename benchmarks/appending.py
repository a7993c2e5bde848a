"""Rows 1 to 4: appending to SQLite, beside raw SQLite and eventsourcing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import backstory
from backstory.measuring import writing
from backstory.measuring.samples import Burst
from backstory.store import StateStore
from benchmarks import peer_eventsourcing, raw_sqlite
from benchmarks.contest import Measure, Result, Run, at_least, at_most

CALLERS: Final = 64
ITS_CALLERS: Final = 32
BATCH: Final = 1000


def url_in(folder: Path) -> str:
    """Return the URL of a store in a folder."""
    return f"sqlite:///{folder / 'store.db'}"


def written(folder: Path, work: Callable[[StateStore], Burst]) -> Burst:
    """Measure some work on a fresh store."""
    with backstory.open(url_in(folder)) as store:
        return work(store)


def rows_written(run: Run, work: Callable[[Path], object], size: int) -> list[raw_sqlite.Group]:
    """Return what some work on a store writes, as raw transactions of so many events."""
    folder = run.folder / "model"
    folder.mkdir(exist_ok=True)
    work(folder)
    groups = raw_sqlite.groups_of(folder / "store.db", size)
    for path in folder.iterdir():
        path.unlink()
    return groups


def many_callers(run: Run) -> Result:
    """Row 1: 64 callers, one `set` each at a time, durable."""
    each = run.scaled(300)

    def by_tasks(folder: Path) -> Burst:
        return writing.by_tasks_at(url_in(folder), callers=CALLERS, each=each)

    def by_threads(folder: Path) -> Burst:
        return written(folder, lambda store: writing.by_threads(store, callers=CALLERS, each=each))

    def eventsourcing(folder: Path) -> Mapping[str, float]:
        settings = peer_eventsourcing.on_sqlite(folder)
        return peer_eventsourcing.by_threads(settings, callers=ITS_CALLERS, each=each // 4).figures()

    groups = rows_written(run, by_tasks, CALLERS)
    contenders: dict[str, Measure] = {
        "ours, 64 tasks": lambda folder: by_tasks(folder).figures(),
        "ours, 64 threads": lambda folder: by_threads(folder).figures(),
        "raw, batches of 64": lambda folder: {"events/s": raw_rate(folder, groups)},
        "eventsourcing, 32 threads": eventsourcing,
    }
    if has_langgraph():
        from benchmarks.peer_langgraph import async_saver  # noqa: PLC0415 - it may not be installed

        contenders["LangGraph AsyncSqliteSaver, 32 tasks"] = lambda folder: async_saver(
            folder, callers=ITS_CALLERS, each=each // 4
        ).figures()
    table = run.contest("row 1", contenders)
    ours = ("ours, 64 tasks", "ours, 64 threads")
    claims = [at_least(table, who, "raw, batches of 64", "events/s", 0.6) for who in ours]
    claims += [at_least(table, who, "eventsourcing, 32 threads", "events/s", 6) for who in ours]
    title = "SQLite, 64 callers, one durable `set` each at a time"
    return Result(1, title, table.figures, tuple(claims), notes_of_peers())


def raw_rate(folder: Path, groups: list[raw_sqlite.Group]) -> float:
    """Return the events a second of raw transactions."""
    burst = raw_sqlite.insert(folder / "raw.db", groups)
    return burst.count / burst.seconds


def one_caller(run: Run) -> Result:
    """Row 3: one caller, one `set` at a time, durable."""
    count = run.scaled(5000)

    def ours(folder: Path) -> Burst:
        return written(folder, lambda store: writing.by_one(store, count=count))

    groups = rows_written(run, ours, 1)
    table = run.contest("row 3", _one_caller(count, groups, ours))
    claims = [at_most(table, "ours", "raw, one insert", "p50 us", 2.2)]
    claims.append(at_most(table, "ours", "eventsourcing, save", "p50 us", 1))
    return Result(3, "SQLite, one caller, one durable write at a time", table.figures, tuple(claims), notes_of_peers())


def _one_caller(count: int, groups: list[raw_sqlite.Group], ours: Callable[[Path], Burst]) -> dict[str, Measure]:
    def recorder(folder: Path) -> Burst:
        return peer_eventsourcing.by_one(peer_eventsourcing.on_sqlite(folder), count=count)

    def save(folder: Path) -> Burst:
        return peer_eventsourcing.by_saving(peer_eventsourcing.on_sqlite(folder), count=count)

    contenders: dict[str, Measure] = {
        "ours": lambda folder: ours(folder).figures(),
        "raw, one insert": lambda folder: raw_sqlite.insert(folder / "raw.db", groups).figures(),
        "eventsourcing, save": lambda folder: save(folder).figures(),
        "eventsourcing, recorder alone": lambda folder: recorder(folder).figures(),
    }
    return contenders | _langgraph(count)


def _langgraph(count: int) -> dict[str, Measure]:
    """Return LangGraph's contenders, if it is installed."""
    if not has_langgraph():
        return {}
    from benchmarks import peer_langgraph as its  # noqa: PLC0415 - it may not be installed

    few = max(1, count // 10)
    return {
        "LangGraph SqliteSaver.put": lambda folder: its.saver(folder, count=count).figures(),
        "LangGraph SqliteStore.put": lambda folder: its.store(folder, count=few, tuned=False).figures(),
        "LangGraph SqliteStore.put, WAL set": lambda folder: its.store(folder, count=count, tuned=True).figures(),
    }


def has_langgraph() -> bool:
    """Return whether LangGraph's SQLite package is installed."""
    return find_spec("langgraph") is not None and find_spec("langgraph.checkpoint.sqlite") is not None


def notes_of_peers() -> tuple[str, ...]:
    """Return what is to be said of peers that are not installed."""
    return () if has_langgraph() else ("LangGraph is not installed: `pip install backstory[bench]`",)


def batches(run: Run) -> Result:
    """Row 4: 1000 values in one commit."""
    count = run.scaled(25)

    def set_many(folder: Path) -> Burst:
        return written(folder, lambda store: writing.in_batches(store, batches=count, size=BATCH))

    def transactions(folder: Path) -> Burst:
        return written(folder, lambda store: writing.in_transactions(store, batches=count, size=BATCH))

    def eventsourcing(folder: Path) -> Mapping[str, float]:
        settings = peer_eventsourcing.on_sqlite(folder)
        return peer_eventsourcing.in_batches(settings, batches=count, size=BATCH).figures()

    groups = rows_written(run, set_many, BATCH)
    raw = f"raw executemany of {BATCH}"
    table = run.contest(
        "row 4",
        {
            "ours, set_many": lambda folder: set_many(folder).figures(),
            "ours, transaction": lambda folder: transactions(folder).figures(),
            raw: lambda folder: {"events/s": raw_rate(folder, groups)},
            "eventsourcing, recorder": eventsourcing,
        },
    )
    claims = tuple(at_least(table, f"ours, {how}", raw, "events/s", 0.5) for how in ("set_many", "transaction"))
    return Result(4, "SQLite, 1000 values in one durable commit", table.figures, claims)
