"""A process whose main thread is interrupted again and again while it writes beside others.

Its arguments are a URL and how often to write. It prints as JSON what every thread was told.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

import backstory
from backstory import StoreUnavailableError

if TYPE_CHECKING:
    from backstory import StateStore

THREADS: Final = 4
_EARLIEST_S: Final = 0.00002
_FIRST_GUESS_S: Final = 0.002
#: Interrupts come later after one that struck, and else earlier: so some do and some do not, however long writes take.
_LATER: Final = 1.1


class Worker(threading.Thread):
    """Counts in the store, and counts the answers."""

    def __init__(self, store: StateStore, number: int, done: threading.Event) -> None:
        super().__init__()
        self._store = store
        self._number = number
        self._done = done
        self.acknowledged = 0
        self.unknown = 0

    def run(self) -> None:
        """Count until told to stop."""
        while not self._done.is_set():
            try:
                self._store.increment("custom:counts", f"thread-{self._number}")
            except StoreUnavailableError as error:
                if error.outcome != "unknown":
                    raise
                self.unknown += 1
            else:
                self.acknowledged += 1


class Interrupts:
    """Ctrl-C, as the main thread feels it, at random moments; only while it writes."""

    def __init__(self) -> None:
        self._armed = False
        self._latest_s = _FIRST_GUESS_S
        self._lots = random.Random(7)  # noqa: S311 - a repeatable choice, no secret
        signal.signal(signal.SIGALRM, self._strike)

    def _strike(self, *_: object) -> None:
        if self._armed:
            raise KeyboardInterrupt

    def write(self, store: StateStore, number: int) -> bool:
        """Write a number; return False if an interrupt struck."""
        try:
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, self._lots.uniform(_EARLIEST_S, self._latest_s))
            store.set("custom:interrupted", f"key-{number}", number)
            self._armed = False
        except KeyboardInterrupt:
            self._armed = False
            self._latest_s *= _LATER
            return False
        self._latest_s = max(self._latest_s / _LATER, 2 * _EARLIEST_S)
        return True


def main(url: str, times: str) -> None:
    """Write, be interrupted, and tell."""
    interrupts = Interrupts()
    done = threading.Event()
    with backstory.open(url) as store:
        workers = [Worker(store, number, done) for number in range(THREADS)]
        for worker in workers:
            worker.start()
        written = [number for number in range(int(times)) if interrupts.write(store, number)]
        done.set()
        for worker in workers:
            worker.join()
        after = store.set("custom:interrupted", "after", 1).position
        whole = store.verify().ok and after == store.position()
        counts = store.items("custom:counts")
        kept = set(store.items("custom:interrupted"))
    told = {worker.name: (worker.acknowledged, worker.unknown) for worker in workers}
    found = {worker.name: counts.get(f"thread-{number}", 0) for number, worker in enumerate(workers)}
    lost = [number for number in written if f"key-{number}" not in kept]
    json.dump({"written": len(written), "lost": lost, "whole": whole, "told": told, "found": found}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
