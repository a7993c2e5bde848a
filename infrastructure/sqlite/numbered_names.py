"""Numbered names: the names of a log get numbers; more of them than memory should hold are on disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

import apsw

from backstory.infrastructure.sqlite.overflow import made, making_room

__all__ = ["NumberedNames"]

At = TypeVar("At", bound=tuple[Any, ...])

#: So many names take some 30 MB.
_MOST: Final = 100_000


class NumberedNames(Generic[At]):
    """Names with the numbers that they were given, from 1 on in the order in which they came.

    A name is a tuple of integers and text, as many as there are `columns`. Those in `recent` are in memory: whoever
    looks there first spares the call.
    """

    def __init__(self, *columns: str, most: int = _MOST) -> None:
        self.recent: Final[dict[At, int]] = {}
        self.count = 0
        self._columns = columns
        self._most = most
        #: Of the numbers up to this one the names are on disk.
        self._written = 0
        self._spilled: apsw.Connection | None = None
        self._wanted = f"SELECT id FROM names WHERE ({', '.join(columns)}) = ({', '.join('?' * len(columns))})"  # noqa: S608 - our own columns

    def number(self, name: At) -> int:
        """Return a name's number, the next one for a new name; raises `BackupError` where a file has no room."""
        found = self.recent.get(name)
        if found is None:
            found = self._number_on_disk(name)
            if found is None:
                self.count = found = self.count + 1
            self.recent[name] = found
            if len(self.recent) > self._most:
                self._spill()
        return found

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield rows (number, *name) in the order of the numbers; raises `BackupError` where a file has no room."""
        if self._spilled is None:
            yield from self._unwritten()
            return
        self._spill()
        with making_room("names"):
            yield from self._spilled.execute("SELECT * FROM names ORDER BY id")

    def close(self) -> None:
        """Let go of what is on disk; idempotent."""
        if self._spilled is not None:
            self._spilled.close()
            self._spilled = None
        self.recent.clear()

    def _number_on_disk(self, name: At) -> int | None:
        if self._spilled is None:
            return None
        with making_room("names"):
            row = self._spilled.execute(self._wanted, name).fetchone()
        return None if row is None else int(row[0])

    def _unwritten(self) -> Iterator[tuple[Any, ...]]:
        return ((number, *name) for name, number in self.recent.items() if number > self._written)

    def _spill(self) -> None:
        """Bring to disk what is not there yet, and begin anew: names that are written to often come back."""
        with making_room("names"):
            if self._spilled is None:
                columns = ", ".join(self._columns)
                self._spilled = made(f"CREATE TABLE names (id INTEGER PRIMARY KEY, {columns}, UNIQUE ({columns}))")
            holes = ", ".join("?" * (1 + len(self._columns)))
            with self._spilled:
                self._spilled.executemany(f"INSERT INTO names VALUES ({holes})", self._unwritten())  # noqa: S608 - the same
        self._written = self.count
        self.recent.clear()
