"""Row 13: long logs, backed up, validated and brought back by processes of their own: time, and memory at its peak."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import backstory
from benchmarks.backing_up import MEGA, check_count, created, timed
from benchmarks.contest import Claim, Figures, Result, Run, below
from benchmarks.filled import filled
from benchmarks.reading import figure_of

_ROOT: Final = Path(__file__).resolve().parents[1]
_PEAK: Final = "peak MB"
#: Python and the libraries take 40 of them.
_MOST_MB: Final = 150.0


def sizes(run: Run) -> list[int]:
    """Return how many events the logs hold."""
    usual = [100_000, 1_000_000]
    return {"quick": usual[:1], "usual": usual}.get(run.size, [*usual, 10_000_000])


def long_logs(run: Run) -> Result:
    """Row 13: what a longer log takes: more time, and no more memory."""
    once = Run(run.folder, run.size, 1, run.fsyncs, run.tell)
    tables = {
        events: once.together(f"row 13, {events:,} events", partial(_measured, run, events)) for events in sizes(run)
    }
    figures = tuple(figure_of(figure, events) for events, table in tables.items() for figure in table.figures)
    peaks = [figure for figure in figures if figure.metric == _PEAK]
    claims: tuple[Claim, ...] = tuple(below(f"{each.who}, peak", each.samples, _MOST_MB, "MB") for each in peaks)
    return Result(13, "SQLite, by processes of their own, a tenth as many keys as events", figures, claims)


def _measured(run: Run, events: int, folder: Path) -> Figures:
    source = Path(shutil.copy(filled(run, events), folder / "source.db"))
    made = _by_process("back_up", source, folder)
    archive = Path(made.pop("path"))
    back = _by_process("bring_back", archive, folder / "new.db")
    (folder / "new.db").unlink()
    looked = _by_process("validate", archive)
    for figures in (made, back, looked):
        check_count(figures["events"], events)
    return {
        "back up": {**_rates(made), "MB": made["MB"]},
        "restore": _rates(back),
        "validate": _rates(looked),
    }


def _rates(figures: Mapping[str, float]) -> dict[str, float]:
    return {"s": figures["s"], "events/s": figures["events"] / figures["s"], _PEAK: figures[_PEAK]}


# In a process of its own


def _by_process(work: str, *paths: Path) -> dict[str, Any]:
    """Have a new process do some work, and return what it tells of it; raises `CalledProcessError`."""
    command = [sys.executable, "-m", __name__, work, *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=_ROOT, env=environment)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def _back_up(source: str, folder: str) -> dict[str, Any]:
    with backstory.open(f"sqlite:///{source}") as store:
        backup, seconds = timed(lambda: created(store, Path(folder)))
    return {"s": seconds, "events": backup.events, "MB": backup.size_bytes / MEGA, "path": backup.path}


def _bring_back(archive: str, new: str) -> dict[str, Any]:
    report, seconds = timed(lambda: backstory.restore(archive, f"sqlite:///{new}"))
    return {"s": seconds, "events": report.events}


def _validate(archive: str) -> dict[str, Any]:
    with backstory.open("memory://") as store:
        report, seconds = timed(lambda: store.backups.validate(archive))
    if not report.is_valid:
        msg = f"what was backed up cannot be restored: {report}"
        raise AssertionError(msg)
    return {"s": seconds, "events": report.events}


_WORK: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "back_up": _back_up,
    "bring_back": _bring_back,
    "validate": _validate,
}


def _peak_mb() -> float:
    """Return the most memory that this process had; where there is no /proc also what its parent had at its start."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1000
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (MEGA if sys.platform == "darwin" else 1000)


def main(work: str, *paths: str) -> None:
    """Do some work and tell what it took."""
    told = _WORK[work](*paths)
    json.dump({**told, _PEAK: _peak_mb()}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
