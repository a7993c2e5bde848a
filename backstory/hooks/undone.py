"""Undone: what writers that no longer live left to do for background hooks, read from the log behind their marks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from backstory.committing import append
from backstory.domain.branches import FOREVER, MAIN, Lineage
from backstory.domain.commits import Commit, Decision, Needs, Tracking, View
from backstory.domain.errors import ConflictError
from backstory.domain.events import StoredEvent
from backstory.domain.hooks import HOOK_EXECUTED, HOOK_FAILED
from backstory.domain.ports import Engine, LogQuery, Program
from backstory.hooks.due import due_of, short
from backstory.hooks.keeping import PLACES, place_of
from backstory.hooks.plan import VERBS
from backstory.infrastructure import codec

_PAGE: Final = 1000


class Debt(NamedTuple):
    """A run that is due: by the write's event id, the hook's name and the point."""

    event_id: bytes
    hook: str
    point: str


class Debts:
    """What writes were due for that nobody has recorded since, in a log that is read row by row."""

    def __init__(self, writers: Collection[str] | None = None) -> None:
        """Take the writers whose debts count; None: everybody's."""
        self._writers = writers
        self.due: dict[Debt, StoredEvent] = {}

    def take(self, row: StoredEvent) -> None:
        """Take the next row in."""
        if row.type in {HOOK_EXECUTED, HOOK_FAILED}:
            data = codec.decode_value(row.data)
            if _is_final(data):
                operation = bytes.fromhex(data["operation"].replace("-", ""))
                self.due.pop(Debt(operation, data["hook"], data["point"]), None)
            return
        owed = due_of(row.extra)
        if owed is not None and (self._writers is None or owed.writer in self._writers):
            point = f"after_state_{VERBS[row.type]}"
            self.due.update((Debt(row.event_id, hook, point), row) for hook in owed.hooks)

    def marks(self) -> dict[str, int]:
        """Return where the marks of those belong who owe something: right before the first of it."""
        found: dict[str, int] = {}
        for row in self.due.values():
            owed = due_of(row.extra)
            assert owed is not None
            place = place_of(owed.writer)
            found[place] = min(found.get(place, row.position), row.position - 1)
        return found


class Ledger(Debts):
    """What writers were due for and what was recorded since, as far as the log has been read."""

    def __init__(self, engine: Engine, writers: Collection[str], seen: int) -> None:
        super().__init__(writers)
        self._engine = engine
        self.seen = seen

    def read_on(self) -> Program[None]:
        """Read what is new, to the end of the log."""
        rows = yield from self._engine.branches()
        everything: Lineage = tuple((row.id, FOREVER) for row in rows)
        # Nobody can record anything on a branch that has ended: nothing is due there any more.
        ended = {row.id for row in rows if row.dropped}
        self.due = {debt: row for debt, row in self.due.items() if row.branch not in ended}
        while True:
            page = yield from self._engine.page(LogQuery(everything, after=self.seen, limit=_PAGE))
            for row in page:
                if row.branch not in ended:
                    self.take(row)
            if page:
                self.seen = page[-1].position
            if len(page) < _PAGE:
                return


class Undone:
    """Looks through the log behind the marks of dead writers once, and then only at what is new."""

    def __init__(self, engine: Engine, own: str) -> None:
        self._engine = engine
        self._own = own
        self._dead: dict[str, int] = {}
        self._ledger = Ledger(engine, (), 0)
        self._taken: set[Debt] = set()

    def look(self) -> Program[None]:
        """Bring what is known up to date."""
        dead = yield from self._find_dead()
        if dead != self._dead:
            self._dead = dead
            self._ledger = Ledger(self._engine, set(dead), min(dead.values(), default=0))
        if dead:
            yield from self._ledger.read_on()

    def _find_dead(self) -> Program[dict[str, int]]:
        places = yield from self._engine.trackings(PLACES)
        if not places.keys() - {place_of(self._own)}:
            return {}
        living = {short(writer) for writer in (yield from self._engine.living_writers())}
        marks = {place.removeprefix(PLACES): mark for place, mark in places.items()}
        return {writer: mark for writer, mark in marks.items() if writer not in living and writer != self._own}

    # Handing over

    def of(self, hook: str, point: str) -> list[tuple[Debt, StoredEvent]]:
        """Return what is due to a hook at a point, and not taken yet, oldest first."""
        return [
            (debt, row)
            for debt, row in self._ledger.due.items()
            if (debt.hook, debt.point) == (hook, point) and debt not in self._taken
        ]

    def take(self, debts: Sequence[Debt]) -> None:
        """Say that this process sees to these."""
        self._taken.update(debts)

    @property
    def count(self) -> int:
        """How many runs nobody in this process sees to."""
        return len(self._ledger.due.keys() - self._taken)

    def forget(self) -> Program[None]:
        """Forget the marks of writers that left nothing, unless somebody writes meanwhile: the next one does it."""
        if self._ledger.due:
            return
        seen = self._ledger.seen

        def unless_grown(view: View) -> Decision:
            if view.position > seen:
                raise ConflictError(expected=seen, actual=view.position, stream=PLACES, key=None)
            return Decision(())

        for writer in self._dead:
            forgotten = Tracking(place_of(writer), None)
            try:
                yield from append(Commit(MAIN, decide=unless_grown, needs=Needs(), tracking=forgotten))
            except ConflictError:
                return


def _is_final(data: dict[str, Any]) -> bool:
    """Return whether a run was its hook's last one for its operation: no answer that asked for another one."""
    result = data["result"]
    if not result or result["kind"] != "retry":
        return True
    return int(data.get("attempt", 1)) >= int(result["max_attempts"])
