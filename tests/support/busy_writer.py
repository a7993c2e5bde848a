"""A process that writes to a store until it is told to end: `python -m tests.support.busy_writer url number`.

It says `writing` once it has written, and at the end how often it did.
"""

from __future__ import annotations

import sys
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import backstory
from backstory import ConflictError
from tests.support.crash_writer import say

if TYPE_CHECKING:
    from backstory import StateStore

#: So often at most, however long a backup takes beside it.
MOST: Final = 150


def write(store: StateStore, number: int, done: Event) -> int:
    """Write until told to end: a count that all share, transactions over two keys, keys that come and go."""
    count = 0
    while not done.is_set() and count < MOST:
        count += 1
        store.increment("global", "count")
        try:
            with store.transaction() as tx:
                tx.set("global", "left", tx.get("global", "left", 0) + 1)
                tx.set("global", "right", tx.get("global", "right", 0) - 1)
        except ConflictError:
            pass
        store.set(f"agent:{number}", f"k{count % 5}", count)
        if count % 3 == 0:
            store.delete(f"agent:{number}", f"k{count % 5}")
    return count


def main(url: str, number: str) -> None:
    """Write, and say how much."""
    done = Event()

    def listen() -> None:
        sys.stdin.readline()
        done.set()

    with backstory.open(url, durability="relaxed") as store:
        store.set(f"agent:{number}", "first", True)
        say("writing")
        listener = Thread(target=listen)
        listener.start()
        say(str(write(store, int(number), done)))
        listener.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
