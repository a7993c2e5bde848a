"""Backing up, measured: what is backed up, how long ours takes there and back, and that nothing is missing then."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import backstory
from backstory import StateStore
from backstory.domain.backup_manifests import Backup
from backstory.infrastructure.archives.encryption import Encryption
from benchmarks.contest import Run
from benchmarks.filled import filled

T = TypeVar("T")
MEGA: Final = 1e6


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up: a store, and what it takes on disk, indexes included."""

    store: StateStore
    events: int
    taken_bytes: int

    def figures(self, seconds: float) -> dict[str, float]:
        """Return how fast all of it was read or written, whoever did it."""
        return {
            "ms": seconds * 1000,
            "MB/s": self.taken_bytes / MEGA / seconds,
            "events/s": self.events / seconds,
        }


def events_of(run: Run) -> int:
    """Return how many events the stores of this row hold."""
    return 20_000 if run.size == "quick" else 100_000


def copied(run: Run, folder: Path) -> Path:
    """Return a copy of a filled store: other rows' logs stay what they are."""
    return Path(shutil.copy(filled(run, events_of(run)), folder / "backed-up.db"))


def created(store: StateStore, folder: Path, **options: Any) -> Backup:
    """Back up a store to a folder, compressed by zstd."""
    return store.backups.create(target=folder, compression="zstd", **options)


def restored(source: Source, backup: Backup, url: str, cipher: Encryption | None) -> dict[str, float]:
    """Measure a restore into a new store; raises `AssertionError` unless it holds what was there."""
    seconds = seconds_of(lambda: backstory.restore(backup.path, url, encryption=cipher))
    with backstory.open(url, read_only=True) as found:
        if found.snapshot(as_of=backup.position) != source.store.snapshot(as_of=backup.position):
            msg = f"what came back is not what was backed up: {backup}"
            raise AssertionError(msg)
    return source.figures(seconds)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what some work gave, and the seconds it took."""
    started = time.perf_counter()
    given = work()
    return given, time.perf_counter() - started


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that some work took."""
    return timed(work)[1]


def check_count(found: int, wanted: int) -> None:
    """Raise `AssertionError` where events are missing."""
    if found < wanted:
        msg = f"{found:,} events came back of {wanted:,}"
        raise AssertionError(msg)
