"""Row 13: what increments take beside a full backup, and how far the log of a real agent shrinks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import backstory
from backstory import StateStore
from backstory.measuring import writing
from benchmarks import peer_backups
from benchmarks.backing_up import MEGA, copied, created, events_of, seconds_of, timed
from benchmarks.contest import Figures, Measure, Result, Run, below
from benchmarks.real_runs import FILE, FOLDER

_OURS: Final = "ours"
_BY_ZSTD: Final = "SQLite's backup and zstd"
_SHRUNK: Final = 0.3
_BATCH: Final = 100


def increments(run: Run) -> Result:
    """Row 13: what came after a full backup, when that is a hundredth more."""
    table = run.together("row 13, increments", partial(_incremented, run))
    more = events_of(run) // 100
    return Result(13, f"SQLite, a full backup, {more:,} events later an incremental one", table.figures)


def _incremented(run: Run, folder: Path) -> Figures:
    events = events_of(run)
    with backstory.open(f"sqlite:///{copied(run, folder)}") as store:
        full, full_s = timed(lambda: created(store, folder / "archives"))
        writing.in_batches(store, batches=events // 100 // _BATCH, size=_BATCH)
        later, later_s = timed(
            lambda: created(store, folder / "archives", kind="incremental", parent=full.id),
        )
    if later.parent_id != full.id or later.since_position != full.position:
        msg = f"an increment does not carry on from its parent: {later}"
        raise AssertionError(msg)
    of_full = {"ms / full": later_s / full_s, "MB / full": later.size_bytes / full.size_bytes}
    return {
        "full": {"ms": full_s * 1000, "MB": full.size_bytes / MEGA, "events": full.events},
        "incremental": {
            "ms": later_s * 1000,
            "MB": later.size_bytes / MEGA,
            "events": later.events,
            **of_full,
        },
    }


# Recorded runs


def recorded_runs(run: Run) -> Result:
    """Row 13: how small the log of a real agent becomes."""
    title = "SQLite, recorded runs, imported and backed up"
    given = (run.data or FOLDER) / FILE
    if not given.is_file():
        return Result(13, title, (), notes=(f"left out: no {FILE} in {given.parent}; `--data` names another folder",))
    path = run.folder / "backed-up-runs.db"
    with backstory.open(f"sqlite:///{path}") as store:
        report = store.import_runs(given)
        table = run.contest("row 13, recorded runs", _of_runs(store, path))
    claim = below("archive / raw, recorded runs", table.of(_OURS, "archive / raw").samples, _SHRUNK, "x")
    note = f"runs: {report.runs}, events: {report.events:,}; raw is what the archive holds, before compression"
    return Result(13, title, table.figures, (claim,), (note,))


def _of_runs(store: StateStore, path: Path) -> dict[str, Measure]:
    def ours(folder: Path) -> Mapping[str, float]:
        backup, seconds = timed(lambda: created(store, folder))
        return {
            "ms": seconds * 1000,
            "MB": backup.size_bytes / MEGA,
            "raw MB": backup.raw_bytes / MEGA,
            "archive / raw": backup.size_bytes / backup.raw_bytes,
        }

    def by_zstd(folder: Path) -> Mapping[str, float]:
        file = folder / "made"
        seconds = seconds_of(lambda: peer_backups.of_sqlite(path, file))
        size = file.stat().st_size
        return {"ms": seconds * 1000, "MB": size / MEGA}

    return {_OURS: ours, _BY_ZSTD: by_zstd}
