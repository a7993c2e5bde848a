"""A nursery of processes that migrate and are there to be killed: `python -m tests.support.migration_runner`.

For each line, an `Order` as JSON, it forks a process and says `started PID`; after one more line it waits for that
one's end and says `ended STATUS`. The process says `open` when it has opened the store, `batch DONE` as a run or a
rollback goes on, `held` when it waits to be told on by a pipe of its own, and `over STATUS` at the end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any, Final

import backstory
import backstory.infrastructure.postgres.engine
import backstory.infrastructure.sqlite.engine
from backstory import MigrationError
from backstory.migrations import restoring, runs
from tests.support.crash_writer import say
from tests.support.migrating import HOME, new, old, run
from tests.support.on_a_loop import opened

BATCH: Final = 4
#: So many values are brought back at once, so that a rollback of a small store has a middle.
PAGE: Final = 7
IN_THE_SURVEY: Final = -1


@dataclass(frozen=True)
class Order:
    """What to do: `run`, `resume` or `rollback` of a run, `write old` or `write new`.

    With `hold` it stays where it is after so many batches, or with -1 when it has only looked at what there is.
    """

    url: str
    what: str
    migration_id: str = ""
    validation: str = "basic"
    concurrency: int = 1
    face: str = "blocking"
    hold: int | None = None


def work(order: Order) -> None:
    """Do what is ordered, and say how far it is."""
    restoring._PAGE = PAGE  # type: ignore[misc]
    if order.hold == IN_THE_SURVEY:
        runs.surveyed = _held  # type: ignore[assignment]
    calls = 0

    def progress(done: int, _: int) -> None:
        nonlocal calls
        say(f"batch {done}")
        if calls == order.hold:
            _held()
        calls += 1

    with opened(order.face, order.url) if order.face != "blocking" else backstory.open(order.url) as store:
        say("open")
        try:
            if order.what.startswith("write"):
                store.set(HOME, "doc/elsewhere", old(5) if order.what == "write old" else new(5))
                say("over written")
            else:
                say(f"over {_done(store, order, progress).status}")
        except MigrationError as error:
            say(f"over refused {type(error).__name__}: {error}")


def _held(*_: object) -> Any:
    say("held")
    signal.pause()


def _done(store: Any, order: Order, progress: Any) -> Any:
    migrations = store.migrations
    if order.what == "run":
        named = {"validation": order.validation, "batch_size": BATCH, "concurrency": order.concurrency}
        return run(store, progress=progress, **named)
    if order.what == "resume":
        return migrations.resume(order.migration_id, progress=progress)
    return migrations.rollback(order.migration_id, progress=progress)


def main() -> None:
    """Fork a process for every line."""
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
