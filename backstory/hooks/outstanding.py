"""Outstanding: up to where everything that this process's writes are due for has been done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Outstanding:
    """Positions whose background hooks have not run, and commits whose positions nobody knows yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[object, int] = {}
        self._open: dict[int, int] = {}
        self._highest = 0

    def begin(self, position: int) -> None:
        """Count from this position on."""
        with self._lock:
            self._highest = max(self._highest, position)

    @contextmanager
    def underway(self) -> Iterator[None]:
        """Hold the mark back while a commit is made, until what is due behind it is known.

        Where nobody knows whether the commit was made, the mark stays back: whoever opens the store next looks.
        """
        token = object()
        with self._lock:
            self._under_way[token] = self._highest
        try:
            yield
        except Exception as error:
            if getattr(error, "outcome", None) != "unknown":
                self._leave(token)
            raise
        # An interrupt, or a task that is cancelled, passes by: the commit may be made without its caller.
        self._leave(token)

    def _leave(self, token: object) -> None:
        with self._lock:
            del self._under_way[token]

    def add(self, position: int) -> None:
        """Take one more write whose hooks are to run."""
        with self._lock:
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
            done = Counter(positions)
            first = min((at for at, count in self._open.items() if count > done[at]), default=self._highest + 1) - 1
            return min((first, *self._under_way.values()))

    @property
    def doubtful(self) -> bool:
        """Whether nobody knows of some commit if it was made."""
        with self._lock:
            return bool(self._under_way)

    @property
    def count(self) -> int:
        """How many writes have hooks that are still to run."""
        with self._lock:
            return sum(self._open.values())
