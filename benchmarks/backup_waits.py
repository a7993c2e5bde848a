"""Row 13: what writers wait while backups are made, by their own process or another one, and while none is.

`python -m benchmarks.backup_waits URL FOLDER` is that other process: it makes backups until its input ends, says when
the first is done, and at last where in the log they were made.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Final

import backstory
from backstory import StateStore
from backstory.measuring import writing
from backstory.measuring.samples import MICROSECOND
from benchmarks.backing_up import copied, created, events_of
from benchmarks.contest import Result, Run, at_most

ROOT: Final = Path(__file__).resolve().parents[1]
Made = list[int]
"""The positions of the backups that were made."""
Making = Callable[[StateStore, Path, Path], AbstractContextManager[Made]]
"""Given an open store, its file and a folder, makes backups of it during a block."""
_WRITERS: Final = 8
_ALONE: Final = "no backup"
_BESIDE: Final = ("backups by the same process", "backups by another process")
#: The longest wait may be one commit longer.
_LONGEST: Final = 2.0


def writers(run: Run) -> Result:
    """Row 13: 8 threads, one `set` each at a time, into a long log that is backed up again and again."""
    beside = (_none, _by_thread, _by_process)
    contenders = {who: partial(_written, run, make) for who, make in zip((_ALONE, *_BESIDE), beside, strict=True)}
    table = run.contest("row 13, writers", contenders)
    claims = tuple(at_most(table, who, _ALONE, "longest us", _LONGEST) for who in _BESIDE)
    title = f"SQLite, {_WRITERS} writers in a log of {events_of(run):,} events, with and without backups"
    return Result(13, title, table.figures, claims)


def _written(run: Run, making: Making, folder: Path) -> dict[str, float]:
    path = copied(run, folder)
    with backstory.open(f"sqlite:///{path}") as store, making(store, path, folder / "archives") as made:
        burst = writing.by_threads(store, callers=_WRITERS, each=run.scaled(2000))
    longest = max(burst.calls_ns) / MICROSECOND
    return {**burst.figures(), "longest us": longest, "backups": len(made)}


@contextmanager
def _none(_store: StateStore, _path: Path, _folder: Path) -> Iterator[Made]:
    yield []


@contextmanager
def _by_thread(store: StateStore, _: Path, folder: Path) -> Iterator[Made]:
    """Make backups by a thread of this process, from before the block begins until it ends."""
    stop, first, made = Event(), Event(), Made()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(again_and_again, store, folder, made=made, stop=stop, first=first.set)
        work.add_done_callback(lambda _: first.set())
        first.wait()
        try:
            if work.done():
                work.result()
            yield made
        finally:
            stop.set()
        work.result()


@contextmanager
def _by_process(_: StateStore, path: Path, folder: Path) -> Iterator[Made]:
    """Do the same by a process of its own."""
    made = Made()
    command = [sys.executable, "-m", "benchmarks.backup_waits", f"sqlite:///{path}", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            if other.stdout.readline():
                yield made
        finally:
            other.stdin.close()
            said = other.stdout.read()
    if other.returncode != 0:
        msg = f"the process that makes backups ended with {other.returncode}"
        raise RuntimeError(msg)
    made += map(int, said.split())


def again_and_again(store: StateStore, folder: Path, *, made: Made, stop: Event, first: Callable[[], object]) -> None:
    """Make one full backup after the other until told to stop; raises what `create` raises."""
    while not stop.is_set():
        made.append(created(store, folder).position)
        if len(made) == 1:
            first()


def main(url: str, folder: str) -> None:
    """Make backups until standard input ends."""
    stop, made = Event(), Made()

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):  # not by `sys.stdin`, whose lock would be missed at an early exit
            pass
        stop.set()

    Thread(target=wait, daemon=True).start()
    with backstory.open(url) as store:
        again_and_again(store, Path(folder), made=made, stop=stop, first=partial(print, "made one", flush=True))
    print(*made)


if __name__ == "__main__":
    main(*sys.argv[1:])
