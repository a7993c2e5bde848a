"""Outstanding: up to where everything that this process's writes are due for has been done."""

from __future__ import annotations

import threading
from bisect import insort
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager


class Outstanding:
    """Positions whose background hooks have not run, and commits whose positions nobody knows yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[object, int] = {}
        self._doubts: dict[object, int] = {}
        self._open: dict[int, int] = {}
        #: The same positions in order, and some that are settled already.
        self._order: list[int] = []
        self._highest = 0

    def begin(self, position: int) -> None:
        """Count from this position on."""
        with self._lock:
            self._highest = max(self._highest, position)

    @contextmanager
    def underway(self) -> Iterator[None]:
        """Hold the mark back while a commit is made, until what is due behind it is known.

        Where nobody knows whether the commit was made, the mark stays back until somebody has looked into the log.
        """
        token = object()
        with self._lock:
            self._under_way[token] = self._highest
        known = False
        try:
            yield
            known = True
        except Exception as error:
            known = getattr(error, "outcome", None) != "unknown"
            raise
        finally:
            # An interrupt, or a task that is cancelled, passes by: the commit may be made without its caller.
            with self._lock:
                at = self._under_way.pop(token)
                if not known:
                    self._doubts[token] = at

    def add(self, position: int) -> None:
        """Take one more write whose hooks are to run."""
        with self._lock:
            if position not in self._open:
                insort(self._order, position)
            self._open[position] = self._open.get(position, 0) + 1
            self._highest = max(self._highest, position)

    def settle(self, position: int) -> None:
        """Say that the hooks of a write have run, and that this is recorded."""
        with self._lock:
            left = self._open[position] - 1
            if left:
                self._open[position] = left
            else:
                del self._open[position]

    def mark_without(self, positions: Sequence[int]) -> int:
        """Return the last position up to which all is done once these are."""
        with self._lock:
            first = self._first_without(Counter(positions))
            return min((first - 1, *self._under_way.values(), *self._doubts.values()))

    def _first_without(self, done: Counter[int]) -> int:
        settled = next((at for at, position in enumerate(self._order) if position in self._open), len(self._order))
        del self._order[:settled]
        return next(
            (position for position in self._order if self._open.get(position, 0) > done[position]), self._highest + 1
        )

    # Doubts

    @property
    def doubts(self) -> dict[object, int]:
        """The commits of which nobody knows if they were made, each with a position that it lies behind."""
        with self._lock:
            return dict(self._doubts)

    @property
    def under_way(self) -> set[object]:
        """The commits that are being made."""
        with self._lock:
            return set(self._under_way)

    @property
    def open(self) -> set[int]:
        """The positions of writes whose hooks are to run."""
        with self._lock:
            return set(self._open)

    def resolve(self, doubts: Collection[object]) -> None:
        """Say that all that these commits may have brought is known."""
        with self._lock:
            for token in doubts:
                self._doubts.pop(token, None)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do, and nothing can be that nobody knows of."""
        with self._lock:
            return not (self._open or self._under_way or self._doubts)

    @property
    def count(self) -> int:
        """How many writes have hooks that are still to run."""
        with self._lock:
            return sum(self._open.values())
