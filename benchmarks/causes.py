"""Rows 7 and 12: why, impact and timelines in long logs, and how long it takes to fork one."""

from __future__ import annotations

import shutil
import time
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import backstory
from backstory import Event, Scope, StateStore
from backstory.measuring.samples import Figure
from benchmarks.contest import Claim, Result, Run, Table, below
from benchmarks.filled import filled
from benchmarks.reading import figure_of, sizes

_TOLD: Final = "agent:told"
_CORRELATION: Final = "the hundred"
_EVENTS: Final = 100
_MS: Final = 10.0
_MIB: Final = 1 << 20


def questions(run: Run) -> Result:
    """Row 7: questions to a correlation of 100 events, each caused by the one before, in logs of growing length."""
    figures: list[Figure] = []
    claims: list[Claim] = []
    for events in sizes(run):
        path = _copied(run, filled(run, events))
        with backstory.open(f"sqlite:///{path}") as store:
            _tell(store)
            first = next(store.log(scope=_TOLD))
            asked: dict[str, Callable[[], object]] = {
                "why": partial(store.why, _TOLD, "last"),
                "timeline": partial(store.timeline, correlation_id=_CORRELATION),
                "impact": partial(store.impact, first),
                "causality": partial(store.causality, correlation_id=_CORRELATION),
            }
            table = _contest(run, asked, events)
        figures += [figure_of(figure, events) for figure in table.figures]
        claims += [
            below(f"{name} of 100 events in {events:,}, p99", table.of(name, "p99 ms").samples, _MS, "ms")
            for name in asked
        ]
    return Result(
        7, "SQLite, why, timeline, impact and graph of a correlation of 100 events", tuple(figures), tuple(claims)
    )


def _copied(run: Run, path: Path) -> Path:
    """Return a copy: the other rows' logs stay what they are."""
    copy = run.folder / f"told-{path.name}"
    shutil.copy(path, copy)
    return copy


def _tell(store: StateStore) -> None:
    """Write a chain of a hundred: messages, and a key that is set with each, in a transaction at a time."""
    cause = None
    for number in range(_EVENTS // 2):
        with backstory.context(correlation_id=_CORRELATION, cause=cause):
            said = store.append(Scope.parse(_TOLD), Event("message.said", {"number": number}))[0]
            cause = store.set(_TOLD, "last", number, cause=said)


def _contest(run: Run, asked: Mapping[str, Callable[[], object]], events: int) -> Table:
    count = run.scaled(500)
    contenders = {name: (lambda _, ask=ask: _timed(ask, count)) for name, ask in asked.items()}
    return run.contest(f"row 7, {events:,} events", contenders)


def _timed(ask: Callable[[], object], count: int) -> dict[str, float]:
    taken: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    tracemalloc.start()
    try:
        ask()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return {"p50 ms": taken[count // 2], "p99 ms": taken[count * 99 // 100], "peak MiB": peak / _MIB}


def forks(run: Run) -> Result:
    """Row 12: a fork at the head and one in the middle, in logs of growing length: what it takes does not grow."""
    figures: list[Figure] = []
    medians: dict[str, dict[int, tuple[float, ...]]] = {}
    for events in (1_000, *sizes(run)):
        path = _copied(run, filled(run, events))
        with backstory.open(f"sqlite:///{path}") as store:
            contenders = {"at the head": _forking(store, None), "in the middle": _forking(store, events // 2)}
            table = run.contest(f"row 12, {events:,} events", contenders)
        figures += [figure_of(figure, events) for figure in table.figures]
        for who in contenders:
            medians.setdefault(who, {})[events] = table.of(who, "p50 us").samples
    claims = [
        below(
            f"fork {who} of {events:,} events / of 1,000, p50",
            [one / other for one, other in zip(samples, of[1_000], strict=True)],
            2.0,
            "x",
        )
        for who, of in medians.items()
        for events, samples in of.items()
        if events != 1_000  # noqa: PLR2004 - the shortest
    ]
    return Result(12, "SQLite, a fork of a log", tuple(figures), tuple(claims))


def _forking(store: StateStore, at: int | None) -> Callable[[Path], dict[str, float]]:
    return lambda _: _forked(store, at)


def _forked(store: StateStore, at: int | None) -> dict[str, float]:
    taken: list[float] = []
    for _ in range(20):
        started = time.perf_counter()
        fork = store.fork(as_of=at)
        taken.append((time.perf_counter() - started) * 1_000_000)
        fork.close()
        store.drop_branch(fork.branch_name)
    taken.sort()
    return {"p50 us": taken[len(taken) // 2]}
