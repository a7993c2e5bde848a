"""Row 8: writes with hooks before and behind them, beside the same writes without, and beside pluggy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import backstory
from backstory.measuring.hooking import (
    BURST,
    STEADY,
    Values,
    Writer,
    fresh,
    in_turns,
    known,
    secret,
    with_after,
    with_before,
)
from backstory.measuring.samples import Figure
from backstory.store import StateStore
from backstory.testing.postgres import PostgresServer
from benchmarks import peer_postgres
from benchmarks.contest import Claim, Figures, Result, Run, Table, at_most

_BEFORE: Final = 1.6
_AFTER: Final = 1.1
#: Below so many fsyncs a second a write waits for the disk longer than for anything that a hook does.
_FAST_DISK: Final = 5_000.0
_MEMORY: Final = "memory://"
_CHAINS: Final = (1, 5, 20)
_LENGTHS: Final = {"200 B": 200, "2 kB": 2_000, "20 kB": 20_000}
_HOW: Final = {"no pause": STEADY, f"bursts of {BURST}": BURST}
Places = Callable[[Path, str], str]
"""The URL of a fresh store, given a folder and a name."""


def _nowhere(_: Path, name: str) -> str:  # noqa: ARG001 - as every `Places`
    return _MEMORY


def _in_folder(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name.replace(' ', '-')}.db"


@contextmanager
def _on(server: PostgresServer) -> Iterator[Places]:
    """Give databases of a server for as long as the block runs."""
    with ExitStack() as stack:
        yield lambda _, name: stack.enter_context(server.database())  # noqa: ARG005 - as every `Places`


# Seen by the caller


def seen_by_callers(run: Run) -> Result:
    """Row 8: a recorded no-op hook before a write, and one in its background."""
    sampled = len(run.fsyncs)
    tables = {"SQLite": _seen(run, "SQLite", _in_folder), "memory": _seen(run, "memory", _nowhere)}
    with peer_postgres.server() as server:
        if server is not None:
            with _on(server) as place:
                tables["PostgreSQL"] = _seen(run, "PostgreSQL", place)
    claims = [claim for engine, table in tables.items() if engine != "memory" for claim in _claims(table, engine)]
    notes = ["`flushed us` and `events/s` count the background's work, and its events, until the last is recorded"]
    notes += doubts([rate for _, rate in run.fsyncs[sampled:]])
    if "PostgreSQL" not in tables:
        notes.append(peer_postgres.ABSENT)
    figures = tuple(figure for table in tables.values() for figure in table.figures)
    return Result(8, "One caller, a no-op hook before or behind each `set`", figures, tuple(claims), tuple(notes))


def doubts(rates: Sequence[float]) -> list[str]:
    """Return what is to be said of a disk that was too slow for ratios to tell of hooks: met or missed, all alike."""
    slow = sum(rate < _FAST_DISK for rate in rates)
    if not slow:
        return []
    said = f"{slow} of {len(rates)} samples of the disk are below {_FAST_DISK:,.0f} fsyncs a second"
    return [f"{said}: these ratios are the disk's more than the hooks', and a target that is met says little"]


def _seen(run: Run, engine: str, place: Places) -> Table:
    def measure(folder: Path) -> Figures:
        with ExitStack() as stack:
            writers = {
                "no hook": Writer(_opened(stack, place, folder, "plain"), fresh()),
                "before": Writer(with_before(_opened(stack, place, folder, "before")), fresh()),
                "behind": Writer(with_after(_opened(stack, place, folder, "behind")), fresh()),
            }
            found = {}
            for how, each in _HOW.items():
                turns = run.scaled(3000) // each
                for who, seen in in_turns(writers, turns=turns, each=each).items():
                    found[f"{engine}, {how}, {who}"] = seen.figures()
            return found

    return run.together(f"row 8, {engine}", measure)


def _claims(table: Table, engine: str) -> list[Claim]:
    return [
        at_most(table, f"{engine}, {how}, {who}", f"{engine}, {how}, no hook", metric, bound)
        for how in _HOW
        for who, bound in (("before", _BEFORE), ("behind", _AFTER))
        for metric in ("p50 us", "mean us")
    ]


def _opened(stack: ExitStack, place: Places, folder: Path, name: str) -> StateStore:
    return stack.enter_context(backstory.open(place(folder, name)))


# The pipeline by itself


def pipeline(run: Run) -> Result:
    """Row 8: chains of hooks in memory, beside pluggy's, which records nothing."""
    count = run.scaled(2500)

    def ours(folder: Path) -> dict[str, Mapping[str, float]]:
        with ExitStack() as stack:
            writers = {
                hooks: Writer(with_before(_opened(stack, _nowhere, folder, ""), hooks), fresh())
                for hooks in (0, *_CHAINS)
            }
            seen = in_turns({str(hooks): each for hooks, each in writers.items()}, turns=count // BURST, each=BURST)
        return by_hook("ours, recorded in memory", {hooks: seen[str(hooks)].figures()["p50 us"] for hooks in writers})

    def measure(folder: Path) -> Figures:
        found = ours(folder)
        if find_spec("pluggy") is not None:
            from benchmarks.peer_pluggy import called  # noqa: PLC0415 - it may not be installed

            times = {hooks: called(hooks=hooks, count=count).figures()["p50 us"] for hooks in (0, *_CHAINS)}
            found |= by_hook("pluggy", times)
        return found

    table = run.together("row 8, chains", measure)
    notes = () if find_spec("pluggy") is not None else ("pluggy is not installed: `pip install backstory[bench]`",)
    return Result(8, "Chains of no-op hooks: called, and called and recorded", table.figures, (), notes)


def by_hook(who: str, times: Mapping[int, float]) -> dict[str, Mapping[str, float]]:
    """Return what a call takes with so many hooks, and what each of them adds to one without."""
    return {
        f"{who}, {hooks} hooks": {"p50 us": time, "us a hook": (time - times[0]) / hooks} if hooks else {"p50 us": time}
        for hooks, time in times.items()
    }


# What its parts cost


def parts(run: Run) -> Result:
    """Row 8: what the length of a value, its redaction and a due mark cost, in memory and on disk."""
    figures: list[Figure] = []
    for engine, place in (("memory", _nowhere), ("SQLite", _in_folder)):
        for length, size in _LENGTHS.items():
            figures += _parts(run, f"{engine}, {length}", place, size).figures
    notes = (
        "before, known: values that were looked through lately; before: new ones; before, secret: each to be redacted",
        f"behind: the due mark and the queue alone, for the background begins after the burst of {BURST}",
    )
    return Result(8, "What a hook costs by the length of the value", tuple(figures), (), notes)


def _parts(run: Run, name: str, place: Places, size: int) -> Table:
    turns = max(1, run.scaled(20) * 200 // max(size // 10, 200))

    def measure(folder: Path) -> Figures:
        with ExitStack() as stack:

            def writer(who: str, arm: Callable[[StateStore], StateStore], values: Values) -> Writer:
                return Writer(arm(_opened(stack, place, folder, who)), values)

            writers = {
                "no hook": writer("plain", lambda store: store, fresh(size)),
                "before, known": writer("known", with_before, known(size)),
                "before": writer("before", with_before, fresh(size)),
                "before, secret": writer("secret", with_before, secret(size)),
                "behind": writer("behind", with_after, fresh(size)),
            }
            seen = in_turns(writers, turns=turns, each=BURST)
        base = seen["no hook"].figures()["p50 us"]
        return {f"{name}, {who}": _above(each.figures(), base) for who, each in seen.items()}

    return run.together(f"row 8, {name}", measure)


def _above(figures: Mapping[str, float], base: float) -> dict[str, float]:
    return {"p50 us": figures["p50 us"], "us more": figures["p50 us"] - base, "flushed us": figures["flushed us"]}
