"""The check of the current-state projection: held against a plain fold of each branch's own events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.errors import BackupError, StoreUnavailableError
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import Touch, pack
from backstory.domain.ports import LogQuery, Maintainer, Program, Reader
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED
from backstory.domain.stands import Stand, pack_stand
from backstory.domain.state_hash import StateHash

__all__ = ["OwnFold", "state_differences", "state_rows"]

_PAGE: Final = 2000
#: All branches are folded as one: the name of each stream begins with the number of its branch.
_TOGETHER: Final = 0
_TYPES: Final = ("state.*", SCOPE_CLEARED)
#: Branch, stream, key and the position of the write.
Row = tuple[int, str, str, int]


class OwnFold:
    """What each branch's own events leave of its keys: swept ones are gone, whatever a fork inherits is not there.

    `position` is how far it has come. More keys than memory should hold are on disk; close it.
    """

    def __init__(self) -> None:
        # Not every program that opens a store verifies one, and this loads SQLite.
        from backstory.infrastructure.sqlite.folded_state import FoldedState  # noqa: PLC0415

        self.position = 0
        self._folded = FoldedState(((_TOGETHER, FOREVER),))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of what is on disk; tell that there is no room as what it means for a store."""
        self._folded.close()
        if isinstance(error, BackupError):
            raise StoreUnavailableError(f"cannot check the state: {error.message}", hint=error.hint) from error

    def take(self, page: Sequence[StoredEvent]) -> None:
        """Fold the next events, which must be whole."""
        kept = [event for event in page if event.key is not None or event.type == SCOPE_CLEARED]
        self._folded.take(list(map(_touch_of, kept)), lambda at: pack(kept[at]))
        self.position = page[-1].position if page else self.position

    def stands(self) -> Iterator[Stand]:
        """Yield where the keys stand that are there, by home and key."""
        return (stand for stand in self._folded.stands() if stand.position)


def _touch_of(event: StoredEvent) -> Touch:
    kind = STATE_DELETED if event.type == STATE_EXPIRED else event.type
    return event.position, _TOGETHER, _home(event.branch, event.stream), kind, event.key, None


def _home(branch: int, stream: str) -> str:
    return f"{branch} {stream}"


def state_differences(reader: Reader, care: Maintainer, own: OwnFold, everything: Lineage) -> Program[list[Row]]:
    """Return the rows of the projection that the fold has not, and those that only the fold has, sorted.

    An empty list where the projection is dropped, or where somebody wrote meanwhile: then it cannot be told.
    """
    head = yield from reader.head()
    projections = yield from care.projections()
    if any(info.name == "state" and info.checkpoint == 0 for info in projections):
        return []
    yield from _carried_on(reader, own, everything, head.position)
    found = StateHash()
    place = 0, 0
    while rows := (yield from care.state_rows(place)):
        found.add_all([pack_stand(Stand(_home(row.branch, row.stream), row.key, row.position)) for row in rows])
        place = rows[-1].place
    wanted = StateHash()
    for stand in own.stands():
        wanted.add(pack_stand(stand))
    different: set[Row] = set()
    if (found.hex(), found.entries) != (wanted.hex(), wanted.entries):  # only then are all of them in memory
        different = set((yield from state_rows(care))).symmetric_difference(map(_row_of, own.stands()))
    after = yield from reader.head()
    return sorted(different) if after.position == head.position else []


def _carried_on(reader: Reader, own: OwnFold, everything: Lineage, until: int) -> Program[None]:
    """Fold what is not folded yet, up to a position."""
    after = own.position
    while True:
        page = yield from reader.page(LogQuery(everything, after, until, types=_TYPES, limit=_PAGE))
        own.take(page)
        if len(page) < _PAGE:
            return
        after = page[-1].position


def _row_of(stand: Stand) -> Row:
    branch, _, stream = stand.stream.partition(" ")
    return int(branch), stream, stand.key, stand.position


def state_rows(care: Maintainer) -> Program[list[Row]]:
    """Return the projection as it stands, sorted."""
    found: list[Row] = []
    place = 0, 0
    while rows := (yield from care.state_rows(place)):
        found += [(row.branch, row.stream, row.key, row.position) for row in rows]
        place = rows[-1].place
    return sorted(found)
