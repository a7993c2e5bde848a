"""A nursery of writers that are there to be killed: `python -m tests.support.crash_writer`.

For each line, an `Order` as JSON, it forks a writer and says `started PID`; after one more line
it waits for the writer's end and says `ended STATUS`: until then its PID is nobody else's. The
writer says `ack KIND NUMBER IDS` after each acknowledged write, `closing` before it closes the
store by itself, and `closed` after. Forking spares every writer the start of Python.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import backstory
import backstory.infrastructure.postgres.engine
import backstory.infrastructure.sqlite.engine
from backstory import ConflictError, Event, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backstory import RecordedEvent, StateStore

LEFT: Final = Scope.agent("left")
RIGHT: Final = Scope.agent("right")
PAIRS: Final = Scope.session("pairs")
TOTALS: Final = Scope.custom("totals")
PLAIN: Final = Scope.user("plain")
THREADS: Final = 3


@dataclass(frozen=True)
class Order:
    """What a writer is to do. A hasty one acknowledges before it writes, as no store may."""

    url: str
    seed: int
    writes: int
    hasty: bool = False


def say(line: str) -> None:
    """Tell the parent one line, whole: nothing of it is lost when this process is killed."""
    os.write(1, f"{line}\n".encode())


def acknowledge(kind: str, number: int, events: Iterable[RecordedEvent]) -> None:
    """Pass on that a write was acknowledged."""
    say(f"ack {kind} {number} {','.join(event.event_id.hex for event in events)}")


def write(order: Order) -> None:
    """Write from several threads, then close the store."""
    store = backstory.open(order.url)
    threads = [
        threading.Thread(target=_work, args=(store, order, random.Random(order.seed * THREADS + number)))  # noqa: S311
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say("closing")
    store.close()
    say("closed")


def _work(store: StateStore, order: Order, lots: random.Random) -> None:
    kinds = (_hasty,) if order.hasty else (_pair, _pair, _total, _plain, _many, _append, _clear)
    for number in range(order.writes):
        lots.choice(kinds)(store, number)


def _pair(store: StateStore, number: int) -> None:
    """Write the same number into two scopes and the log, in one transaction."""
    del number
    try:
        with store.transaction() as tx:
            pair = tx.get(LEFT, "n", 0) + 1
            events = [tx.set(LEFT, "n", pair), tx.set(RIGHT, "n", pair), *tx.append(PAIRS, Event("pair.written", pair))]
    except ConflictError:
        return
    acknowledge("pair", pair, events)


def _total(store: StateStore, number: int) -> None:
    del number
    acknowledge("total", store.increment(TOTALS, "sum"), ())


def _plain(store: StateStore, number: int) -> None:
    acknowledge("plain", number, [store.set(PLAIN, f"key-{number % 5}", {"number": number, "text": "x" * 200})])


def _many(store: StateStore, number: int) -> None:
    acknowledge("many", number, store.set_many(PLAIN, {f"key-{key}": number for key in range(4)}))


def _append(store: StateStore, number: int) -> None:
    acknowledge("append", number, store.append(PAIRS, [Event("note.taken", number), Event("note.filed", number)]))


def _clear(store: StateStore, number: int) -> None:
    del number
    cleared = store.clear(PLAIN)
    if cleared:
        acknowledge("clear", cleared, ())


def _hasty(store: StateStore, number: int) -> None:
    event_id = uuid4()
    say(f"ack hasty {number} {event_id.hex}")
    store.append(PAIRS, Event("note.taken", number, event_id=event_id))


def main() -> None:
    """Fork a writer for every line."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                write(Order(**json.loads(line)))
            finally:
                os._exit(1 if sys.exc_info()[0] else 0)
        say(f"started {child}")
        sys.stdin.readline()
        _, status = os.waitpid(child, 0)
        say(f"ended {status}")


if __name__ == "__main__":
    main()
