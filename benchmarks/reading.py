"""Row 5: single keys from SQLite, now and at any point, in logs of growing length."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

import backstory
from backstory.measuring import reading
from backstory.measuring.samples import Burst, Figure
from benchmarks.contest import Claim, Result, Run, Table, at_most, below
from benchmarks.filled import filled

_RAW: Final = "SELECT data FROM events WHERE key = ? AND position <= ? ORDER BY position DESC LIMIT 1"
_KEYS: Final = "SELECT k.id, s.name, k.name FROM keys k JOIN streams s ON s.id = k.stream WHERE k.kind = 0"
#: A tree of pages grows by a level or two and leaves the cache; a scan would grow a hundredfold.
_FLAT: Final = 2.0


def sizes(run: Run) -> list[int]:
    """Return how many events the logs hold."""
    return {"quick": [10_000, 100_000], "usual": [10_000, 100_000, 1_000_000]}.get(
        run.size, [10_000, 100_000, 1_000_000, 10_000_000]
    )


def single_keys(run: Run) -> Result:
    """Row 5: `get` now, and at any point."""
    figures: list[Figure] = []
    claims: list[Claim] = []
    p50s: dict[int, tuple[float, ...]] = {}
    for events in sizes(run):
        table = _contest(run, filled(run, events), events)
        figures += [figure_of(figure, events) for figure in table.figures]
        claims += _claims(table, events)
        p50s[events] = table.of("ours, get", "p50 us").samples
    shortest = min(p50s)
    growth = [
        below(f"get at {events:,} events / at {shortest:,}, p50", _over(p50s[events], p50s[shortest]), _FLAT, "x")
        for events in p50s
        if events != shortest
    ]
    return Result(5, "SQLite, one key, now and as of any position", tuple(figures), (*claims, *growth))


def figure_of(figure: Figure, events: int) -> Figure:
    """Return a figure that says how long the log was."""
    return Figure(f"{figure.who}, {events:,} events", figure.metric, figure.samples)


def _over(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def _claims(table: Table, events: int) -> list[Claim]:
    current = at_most(table, "ours, get", "raw indexed read", "p50 us", 4)
    past = at_most(table, "ours, get as_of", "ours, get", "p99 us", 1.5)
    return [
        Claim(f"{claim.text}, {events:,} events", claim.samples, claim.sense, claim.bound) for claim in (current, past)
    ]


def _contest(run: Run, path: Path, events: int) -> Table:
    count = run.scaled(20_000)
    wanted = reading.places(events // 10, count=count)
    at = reading.points(events, events // 10, count=count)
    with backstory.open(f"sqlite:///{path}", read_only=True) as store:
        contenders = {
            "ours, get": lambda _: reading.current(store, wanted).figures("reads/s"),
            "ours, get as_of": lambda _: reading.as_of(store, wanted, at).figures("reads/s"),
            "raw indexed read": lambda _: raw_reads(path, wanted, events).figures("reads/s"),
            "raw indexed read as_of": lambda _: raw_reads(path, wanted, at).figures("reads/s"),
        }
        return run.contest(f"row 5, {events:,} events", contenders)


def raw_reads(path: Path, wanted: Sequence[reading.Place], at: int | Sequence[int]) -> Burst:
    """Read the same keys by number with one prepared statement; gives bytes, decodes nothing."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    numbers = {(scope, name): number for number, scope, name in connection.execute(_KEYS)}
    positions = [at] * len(wanted) if isinstance(at, int) else at
    asked = [(numbers[place], position) for place, position in zip(wanted, positions, strict=True)]
    calls: list[int] = []
    clock, note, execute = time.perf_counter_ns, calls.append, connection.execute
    try:
        begun = time.perf_counter()
        for params in asked:
            started = clock()
            execute(_RAW, params).fetchall()
            note(clock() - started)
        return Burst(len(asked), time.perf_counter() - begun, calls)
    finally:
        connection.close()
