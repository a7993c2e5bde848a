"""Row 7, on the log of a real agent: why sampled keys of recorded runs hold what they do."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Final

import backstory
from backstory import Explanation, NotFoundError, RecordedEvent, StateStore, derive
from benchmarks.contest import Result, Run

FOLDER: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
FILE: Final = "agent_runs.jsonl"
_TITLE: Final = "SQLite, why, for sampled keys of recorded runs"
_KEYS: Final = 200
_SEED: Final = 7


def questions(run: Run) -> Result:
    """Row 7: `why` for 200 keys, chosen with a fixed seed; each derivation is checked to be enough, and no more."""
    source = (run.data or FOLDER) / FILE
    if not source.is_file():
        return Result(7, _TITLE, (), notes=(f"left out: no {FILE} in {source.parent}; `--data` names another folder",))
    with backstory.open(f"sqlite:///{run.folder / 'real-runs.db'}") as store:
        report = store.import_runs(source)
        keys = [(str(scope), key) for scope, values in store.snapshot().items() for key in values]
        sample = random.Random(_SEED).sample(keys, min(_KEYS, len(keys)))  # noqa: S311 - a sample, no secret
        who = f"why, {len(sample)} keys of {len(keys):,}"
        table = run.contest("row 7, recorded runs", {who: lambda _: _asked(store, sample)})
        removals = sum(_checked(store.why(*place), *place) for place in sample)
    notes = (
        f"runs: {report.runs}, events: {report.events:,}; each key was asked for once a round",
        f"each derivation gives its value, and without any of its events does not ({removals} left out, one at a time)",
    )
    return Result(7, _TITLE, table.figures, notes=notes)


def _asked(store: StateStore, sample: list[tuple[str, str]]) -> dict[str, float]:
    taken: list[float] = []
    derivations: list[int] = []
    causes: list[int] = []
    for place in sample:
        started = time.perf_counter()
        told = store.why(*place)
        taken.append((time.perf_counter() - started) * 1000)
        derivations.append(len(told.events))
        causes.append(len(told.causes))
    taken.sort()
    return {
        "p50 ms": taken[len(taken) // 2],
        "p99 ms": taken[len(taken) * 99 // 100],
        "events, mean": sum(derivations) / len(derivations),
        "events, most": max(derivations),
        "causes, mean": sum(causes) / len(causes),
        "causes, most": max(causes),
    }


def _checked(told: Explanation, scope: str, key: str) -> int:
    """Raise `AssertionError` where a derivation is not enough, or too much; return how many events were left out."""
    if derive(told.events, scope, key) != told.value:
        msg = f"what explains {key} in {scope} does not give its value"
        raise AssertionError(msg)
    for left_out in told.events:
        rest = [event for event in told.events if event is not left_out]
        if _derived(rest, scope, key) == (told.value,):
            msg = f"what explains {key} in {scope} gives its value without event {left_out.position} too"
            raise AssertionError(msg)
    return len(told.events)


def _derived(events: list[RecordedEvent], scope: str, key: str) -> tuple[Any, ...]:
    """Return what follows from some events; nothing where too much is missing for anything to follow."""
    try:
        return (derive(events, scope, key),)
    except NotFoundError:
        return ()
