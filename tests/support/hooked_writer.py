"""A nursery of writers with background hooks that are there to be killed: `python -m tests.support.hooked_writer`.

For each line, an `Order` as JSON, it forks a writer and says `started PID`; after one more line it waits for the
writer's end and says `ended STATUS`. The writer says `ack NUMBER` after each write, `stuck` when a hook of its waits
for the end, `written` when it waits itself, and `closed` after it closed the store.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import backstory
import backstory.hooks.face
import backstory.infrastructure.postgres.engine
import backstory.infrastructure.sqlite.engine
from tests.support.crash_writer import say

if TYPE_CHECKING:
    from backstory import StateStore

HOME: Final = "agent:hooked"
TRIAL: Final = "trial"
#: What hangs where: one name at two points, and another name beside it, in front of writes too.
HOOKS: Final = (
    ("after_state_write", "first"),
    ("after_state_write", "second"),
    ("after_state_delete", "first"),
    ("after_state_clear", "second"),
    ("before_state_write", "second"),
)
THREADS: Final = 2
_HANGS_S: Final = 3600.0


@dataclass(frozen=True)
class Order:
    """What a writer is to do. One that sticks waits in its first background run until it is killed."""

    url: str
    seed: int
    writes: int
    batch: int = 10
    interval_s: float = 0.002
    workers: int = 1
    sticks: bool = False


def work(order: Order) -> None:
    """Write from threads with hooks behind, then close the store."""
    store = backstory.open(
        order.url,
        hook_batch_size=order.batch,
        hook_flush_interval_s=order.interval_s,
        hook_workers=order.workers,
        hook_timeout_s=_HANGS_S,
    )
    for point, name in HOOKS:
        store.hooks.register(point, _stick if order.sticks and point.startswith("after") else _nothing, name=name)
    branches = {branch.name for branch in store.branches()}
    trial = store.branch(TRIAL) if TRIAL in branches else store.fork(TRIAL)
    threads = [
        threading.Thread(target=_write, args=((store, trial), order, random.Random(order.seed * THREADS + number)))  # noqa: S311
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if order.sticks:
        say("written")
        time.sleep(_HANGS_S)
    store.close()
    say("closed")


def _nothing(_: Any) -> None:
    """Do nothing: what counts is that it is recorded."""


def _stick(_: Any) -> None:
    say("stuck")
    time.sleep(_HANGS_S)


def _write(stores: tuple[StateStore, StateStore], order: Order, lots: random.Random) -> None:
    for number in range(order.writes):
        store = stores[lots.random() < 0.25]
        key = f"k{lots.randrange(4)}"
        kind = lots.randrange(10)
        if kind < 6:
            store.set(HOME, key, number)
        elif kind < 8:
            store.set_many(HOME, {f"k{each}": number for each in range(3)})
        elif kind == 8:
            store.delete(HOME, key)
        else:
            store.clear(HOME)
        say(f"ack {number}")


def main() -> None:
    """Fork a writer for every line."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                work(Order(**json.loads(line)))
            finally:
                os._exit(1 if sys.exc_info()[0] else 0)
        say(f"started {child}")
        sys.stdin.readline()
        _, status = os.waitpid(child, 0)
        say(f"ended {status}")


if __name__ == "__main__":
    main()
