"""Processes, measured: what a command costs from the shell, interpreter included."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import backstory
from backstory.measuring.samples import Burst
from backstory.measuring.workload import key, session, value
from backstory.opening import open as open_store

_GET = "from backstory.cli import main; main()"


def importing(*, count: int) -> Burst:
    """Run `import backstory` in so many processes, one after the other."""
    return _timed([sys.executable, "-c", "import backstory"], count=count)


def getting(folder: Path, *, count: int) -> Burst:
    """Run `backstory get` in so many processes, on a store of one value in this folder."""
    url = f"sqlite:///{folder / 'store.db'}"
    with open_store(url) as store:
        store.set(session(0), key(0), value(0))
    return _timed([sys.executable, "-c", _GET, "--store", url, "get", session(0), key(0)], count=count)


def starting(*, count: int) -> Burst:
    """Run the interpreter alone in so many processes: the floor under the others."""
    return _timed([sys.executable, "-c", "pass"], count=count)


def _timed(command: Sequence[str], *, count: int) -> Burst:
    """Return the times of so many runs, after one that fills the caches; raises `CalledProcessError`."""
    environment = {**os.environ, "PYTHONPATH": str(Path(backstory.__file__).parents[1])}
    calls: list[int] = []
    begun = time.perf_counter()
    for number in range(count + 1):
        started = time.perf_counter_ns()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        if number:
            calls.append(time.perf_counter_ns() - started)
        else:
            begun = time.perf_counter()
    return Burst(count, time.perf_counter() - begun, calls)


def in_ms(burst: Burst) -> dict[str, float]:
    """Return the median of the runs, milliseconds."""
    ordered = sorted(burst.calls_ns)
    return {"p50 ms": ordered[len(ordered) // 2] / 1e6}
