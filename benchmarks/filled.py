"""Stores filled through the public API, once a run, for the rows that read long logs."""

from __future__ import annotations

from pathlib import Path

import backstory
from backstory.measuring import writing
from backstory.measuring.workload import KEYS_A_SCOPE
from benchmarks.contest import Run


def filled(run: Run, events: int) -> Path:
    """Return the file of a store with so many events, a tenth as many keys; made once a run, checked by sample."""
    path = run.folder / f"filled-{events}.db"
    if not path.exists():
        with backstory.open(f"sqlite:///{path}") as store:
            burst = writing.fill(store, events=events, keys=max(events // 10, KEYS_A_SCOPE))
            report = store.verify(since=max(0, events - 10_000))
        if not report.ok:
            msg = f"the store that was filled is not in order: {report}"
            raise AssertionError(msg)
        run.tell(f"  wrote {events:,} events in {burst.seconds:.1f} s")
    return path
