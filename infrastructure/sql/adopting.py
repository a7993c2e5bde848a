"""Adopting: the rows of a whole log, page by page, as the tables of a new store want them.

Streams, keys and types get their numbers here, from dictionaries, without asking the database; branches are told by
the events that made and ended them. What else a store keeps is built from the events once they are all there.
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
    """What is known of a log that is being taken over: `count` events so far, names with their numbers, branches."""

    def __init__(self) -> None:
        self.count = 0
        self.branches: Final = [BranchRow(MAIN, MAIN_NAME, None, 0, 0, 0)]
        self._streams: dict[tuple[int, str], int] = {}
        self._keys: dict[tuple[int, int, str], int] = {}
        self._types: dict[str, int] = dict(_TYPES)

    def page(self, rows: Sequence[StoredEvent]) -> Page:
        """Return the next rows of a log with numbers for names; raises `IntegrityError` where they do not go on."""
        page = Page([], [])
        if not rows:
            return page
        if (self.count + 1, self.count + len(rows)) != (rows[0].position, rows[-1].position):
            raise IntegrityError(
                f"the events {rows[0].position} to {rows[-1].position} do not follow {self.count}",
                position=self.count + 1,
                kind="gap",
            )
        add, streams, keys, types = page.events.append, self._streams, self._keys, self._types
        for row in rows:  # the hot loop: no call for a row whose names are known, nothing packed in between
            (
                at, branch, stream, version, event_id, kind, key, now,
                end, group, causes, actor, extra, form, lock, data, digest,
            ) = row  # fmt: skip
            home = streams.get((branch, stream)) or self._stream(branch, stream)
            number = None
            if key is not None:
                sort = STATE if kind in _STATE_TYPES else OTHER
                number = keys.get((home, sort, key)) or self._key(home, sort, key)
            kind_number = types.get(kind) or self._type(kind)
            place = at, branch, home, version, event_id, kind_number, number
            add((*place, now, end, group, causes, actor, extra, form, lock, data, digest))
            if kind in _NOTABLE:
                self._note(row, home, page)
        self.count += len(rows)
        return page

    def finish(self) -> None:
        """Look whether the branches that events are on were made; raises `IntegrityError`."""
        unknown = {branch for branch, _ in self._streams} - {row.id for row in self.branches}
        if unknown:
            raise IntegrityError(
                f"no event tells of the making of branches {sorted(unknown)}",
                kind="branch",
                hint="Take another backup.",
            )

    # What the tables of names get

    def streams(self) -> Iterator[tuple[int, int, str]]:
        """Return rows (id, branch, name)."""
        return ((number, *at) for at, number in self._streams.items())

    def keys(self) -> Iterator[tuple[int, int, int, str]]:
        """Return rows (id, stream, kind, name)."""
        return ((number, *at) for at, number in self._keys.items())

    def types(self) -> Iterator[tuple[int, str]]:
        """Return rows (id, name) of types that not every store knows."""
        return ((number, name) for name, number in self._types.items() if name not in _TYPES)

    def forks(self) -> Iterator[BranchRow]:
        """Return the branches besides `main`, parents first."""
        return iter(self.branches[1:])

    # New names

    def _stream(self, branch: int, name: str) -> int:
        return self._streams.setdefault((branch, name), len(self._streams) + 1)

    def _key(self, stream: int, kind: int, name: str) -> int:
        return self._keys.setdefault((stream, kind, name), len(self._keys) + 1)

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
                    self._key(home, STATE, name)
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
