"""Adopting: the rows of a whole log, page by page, as the tables of a new store want them.

Streams, keys and types get their numbers here, without asking the database; branches are told by the events that made
and ended them. What else a store keeps is built from the events once they are all there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from backstory.domain.branches import MAIN, MAIN_NAME, BranchRow, find_branch
from backstory.domain.errors import IntegrityError
from backstory.domain.events import JSON_FORMAT, StoredEvent
from backstory.domain.sequencer import (
    BRANCH_CREATED,
    BRANCH_DROPPED,
    SCOPE_CLEARED,
    STATE_DELETED,
    STATE_EXPIRED,
    STATE_SET,
)
from backstory.infrastructure.codec import decode_value
from backstory.infrastructure.sql.names import OTHER, STATE
from backstory.infrastructure.sql.statements import split
from backstory.infrastructure.sqlite.numbered_names import NumberedNames

__all__ = ["Adoption", "Page", "script"]

_INDEX: Final = ("CREATE INDEX", "CREATE UNIQUE INDEX")
#: What changes more than its own row.
_STATE_TYPES: Final = frozenset((STATE_SET, STATE_DELETED))
_NOTABLE: Final = frozenset((SCOPE_CLEARED, BRANCH_CREATED, BRANCH_DROPPED))
#: The types that every store knows from the start, by their numbers.
_TYPES: Final = {STATE_SET: 1, STATE_DELETED: 2, SCOPE_CLEARED: 3, STATE_EXPIRED: 4}


class Page(NamedTuple):
    """Rows of the tables `events` and `clears`, columns in the order of `insert_event` and `insert_clear_row`."""

    events: list[tuple[Any, ...]]
    clears: list[tuple[int, int, int, int]]


class Adoption:
    """What is known of a log that is being taken over: `count` events so far, names with their numbers, branches.

    Close it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.branches: Final = [BranchRow(MAIN, MAIN_NAME, None, 0, 0, 0)]
        self._used = {MAIN}
        self._streams: Final[NumberedNames[tuple[int, str]]] = NumberedNames("branch", "name")
        self._keys: Final[NumberedNames[tuple[int, int, str]]] = NumberedNames("stream", "kind", "name")
        self._types: dict[str, int] = dict(_TYPES)

    def page(self, rows: Sequence[StoredEvent]) -> Page:
        """Return the next rows of a log with numbers for names.

        Raises `IntegrityError` where they do not go on, `BackupError` where there is no room for many names.
        """
        page = Page([], [])
        if not rows:
            return page
        if (self.count + 1, self.count + len(rows)) != (rows[0].position, rows[-1].position):
            raise IntegrityError(
                f"the events {rows[0].position} to {rows[-1].position} do not follow {self.count}",
                position=self.count + 1,
                kind="gap",
            )
        add, streams, keys, types = page.events.append, self._streams.recent, self._keys.recent, self._types
        for row in rows:  # the hot loop: no call for a row whose names are known, nothing packed in between
            (
                at, branch, stream, version, event_id, kind, key, now,
                end, group, causes, actor, extra, form, lock, data, digest,
            ) = row  # fmt: skip
            home = streams.get((branch, stream)) or self._stream(branch, stream)
            number = None
            if key is not None:
                sort = STATE if kind in _STATE_TYPES else OTHER
                number = keys.get((home, sort, key)) or self._keys.number((home, sort, key))
            kind_number = types.get(kind) or self._type(kind)
            place = at, branch, home, version, event_id, kind_number, number
            add((*place, now, end, group, causes, actor, extra, form, lock, data, digest))
            if kind in _NOTABLE:
                self._note(row, home, page)
        self.count += len(rows)
        return page

    def finish(self) -> None:
        """Look whether the branches that events are on were made; raises `IntegrityError`."""
        unknown = self._used - {row.id for row in self.branches}
        if unknown:
            raise IntegrityError(
                f"no event tells of the making of branches {sorted(unknown)}",
                kind="branch",
                hint="Take another backup.",
            )

    # What the tables of names get

    def streams(self) -> Iterator[tuple[Any, ...]]:
        """Return rows (id, branch, name)."""
        return self._streams.rows()

    def keys(self) -> Iterator[tuple[Any, ...]]:
        """Return rows (id, stream, kind, name)."""
        return self._keys.rows()

    def types(self) -> Iterator[tuple[int, str]]:
        """Return rows (id, name) of types that not every store knows."""
        return ((number, name) for name, number in self._types.items() if name not in _TYPES)

    def forks(self) -> Iterator[BranchRow]:
        """Return the branches besides `main`, parents first."""
        return iter(self.branches[1:])

    def close(self) -> None:
        """Let go of names that are on disk; idempotent."""
        self._streams.close()
        self._keys.close()

    # New names

    def _stream(self, branch: int, name: str) -> int:
        self._used.add(branch)
        return self._streams.number((branch, name))

    def _type(self, name: str) -> int:
        return self._types.setdefault(name, len(self._types) + 1)

    # Events that change more than their own row

    def _note(self, row: StoredEvent, home: int, page: Page) -> None:
        if row.type == SCOPE_CLEARED:
            page.clears.append((home, row.position, row.version, row.recorded_us))
        if row.format != JSON_FORMAT:
            return
        try:
            data = decode_value(row.data)
            if row.type == SCOPE_CLEARED:
                for name in data["keys"]:
                    self._keys.number((home, STATE, name))
            elif row.type == BRANCH_CREATED:
                self._fork(row, data)
            else:
                self._drop(row, data)
        except (KeyError, TypeError, IntegrityError) as error:
            raise IntegrityError(
                f"the data of {row.type} at position {row.position} is not what this release writes",
                position=row.position,
                kind="encoding",
            ) from error

    def _fork(self, row: StoredEvent, data: Any) -> None:
        fork = BranchRow(len(self.branches), data["name"], row.branch, data["position"], row.recorded_us, 0)
        self.branches.append(fork)

    def _drop(self, row: StoredEvent, data: Any) -> None:
        """End the living branch of this name, as the sequencer did: once."""
        ended = find_branch(self.branches, data["name"])
        if ended is not None:
            self.branches[ended.id] = ended._replace(dropped=row.position)


def script(schema: str) -> tuple[list[str], list[str]]:
    """Return a schema's statements: those that come before the rows, and the indexes, which are faster made after."""
    statements = split(schema)
    late = [statement for statement in statements if statement.startswith(_INDEX)]
    return [statement for statement in statements if statement not in late], late
