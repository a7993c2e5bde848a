"""`backstory bench`: how fast this library is on this machine and disk, without peers.

The same measurements as `python -m benchmarks` in the repository, which sets them beside raw
engines and other libraries.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from json import dumps
from pathlib import Path
from typing import Any, Final

from backstory.measuring import hooking, processes, reading, report, writing
from backstory.measuring.disk import fsync_rate, size_of
from backstory.measuring.machine import machine, versions
from backstory.measuring.samples import Burst, Figure
from backstory.measuring.workload import PAYLOAD_BYTES
from backstory.opening import open as open_store
from backstory.store import StateStore

_CALLERS: Final = 64
_ROUNDS: Final = 3
_EVENTS: Final = 50_000
_KEYS: Final = 5_000
_READS: Final = 5_000
Rounds = dict[tuple[str, str], list[float]]


def main(*, json: bool = False) -> int:
    """Measure for about half a minute, print a table or JSON, and return 0."""
    with tempfile.TemporaryDirectory(prefix="backstory-bench-") as folder:
        place = Path(folder)
        found: Rounds = {}
        for number in range(_ROUNDS):
            if not json:
                print(f"round {number + 1} of {_ROUNDS} ...", file=sys.stderr)  # noqa: T201 - a person waits
            _round(place, found)
        figures = [Figure(who, metric, tuple(samples)) for (who, metric), samples in found.items()]
        where = machine(place)
    if json:
        print(dumps(_document(where, figures), indent=1))  # noqa: T201 - what was asked for
    else:
        print("\n".join(_lines(where, figures)))  # noqa: T201 - what was asked for
    return 0


def _round(folder: Path, found: Rounds) -> None:
    """Measure everything once, a disk sample before and after."""
    _note(found, "disk", {"fsyncs/s": fsync_rate(folder)})
    for who, measure in _writing():
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            _note(found, who, measure(_url(fresh)).figures())
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        _hooking(Path(fresh), found)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        _reading(Path(fresh), found)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        _note(found, "import backstory, a process", processes.in_ms(processes.importing(count=3)))
        _note(found, "backstory get, a process", processes.in_ms(processes.getting(Path(fresh), count=3)))
    _note(found, "disk", {"fsyncs/s": fsync_rate(folder)})


def _writing() -> Iterable[tuple[str, Callable[[str], Burst]]]:
    def on(work: Callable[[StateStore], Burst]) -> Callable[[str], Burst]:
        def measure(url: str) -> Burst:
            with open_store(url) as store:
                return work(store)

        return measure

    yield f"set, {_CALLERS} tasks", lambda url: writing.by_tasks_at(url, callers=_CALLERS, each=50)
    yield f"set, {_CALLERS} threads", on(lambda store: writing.by_threads(store, callers=_CALLERS, each=50))
    yield "set, one caller", on(lambda store: writing.by_one(store, count=1000))
    yield "set_many of 1000", on(lambda store: writing.in_batches(store, batches=8, size=1000))
    yield "transaction of 1000", on(lambda store: writing.in_transactions(store, batches=8, size=1000))


def _hooking(folder: Path, found: Rounds) -> None:
    """Measure writes with a no-op hook beside writes without; the background's work is in the events a second."""
    with ExitStack() as stack:

        def opened(name: str) -> StateStore:
            return stack.enter_context(open_store(f"sqlite:///{folder / name}.db"))

        writers = {
            "set, no hook": hooking.Writer(opened("plain"), hooking.fresh()),
            "set, a hook before it": hooking.Writer(hooking.with_before(opened("before")), hooking.fresh()),
            "set, a hook behind it": hooking.Writer(hooking.with_after(opened("behind")), hooking.fresh()),
        }
        for who, seen in hooking.in_turns(writers, turns=8, each=hooking.BURST).items():
            figures = seen.figures()
            _note(found, who, {metric: figures[metric] for metric in ("events/s", "p50 us", "p99 us")})


def _reading(folder: Path, found: Rounds) -> None:
    """Measure reads of a log of `_EVENTS` events, and the room it takes."""
    url = _url(str(folder))
    with open_store(url) as store:
        writing.fill(store, events=_EVENTS, keys=_KEYS)
        wanted = reading.places(_KEYS, count=_READS)
        at = reading.points(_EVENTS, _KEYS, count=_READS)
        _note(found, "get", reading.current(store, wanted).figures("reads/s"))
        _note(found, "get as_of", reading.as_of(store, wanted, at).figures("reads/s"))
        burst = reading.whole(store, _EVENTS // 2)
        _note(found, f"snapshot of {_KEYS} keys", {"p50 ms": burst.seconds * 1000})
    _note(found, "disk", {"bytes a byte": size_of(folder) / (_EVENTS * PAYLOAD_BYTES)})


def _url(folder: str) -> str:
    return f"sqlite:///{Path(folder) / 'store.db'}"


def _note(found: Rounds, who: str, figures: Mapping[str, float]) -> None:
    for metric, figure in figures.items():
        found.setdefault((who, metric), []).append(figure)


def _lines(where: Mapping[str, object], figures: list[Figure]) -> list[str]:
    """Return a table for each kind of figure, and what the machine is."""
    facts = ", ".join(f"{name} {value}" for name, value in where.items())
    return [facts, "", *report.table(figures), "", f"  Values of {PAYLOAD_BYTES} bytes; medians of {_ROUNDS} rounds."]


def _document(where: Mapping[str, object], figures: list[Figure]) -> dict[str, Any]:
    return {
        "machine": where,
        "versions": versions("backstory", "apsw", "orjson"),
        "payload_bytes": PAYLOAD_BYTES,
        "figures": [
            {"who": figure.who, "metric": figure.metric, "median": figure.median, "samples": figure.samples}
            for figure in figures
        ],
    }
