"""Undone: what writers that no longer live left to do for background hooks, read from the log behind their marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

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
from backstory.sessions import append

_PAGE: Final = 1000


class Debt(NamedTuple):
    """A run that is due: by the write's event id, the hook's name and the point."""

    event_id: bytes
    hook: str
    point: str


class Undone:
    """Looks through the log once, and then only at what is new."""

    def __init__(self, engine: Engine, own: str) -> None:
        self._engine = engine
        self._own = own
        self._dead: dict[str, int] = {}
        self._seen = 0
        self._due: dict[Debt, StoredEvent] = {}
        self._taken: set[Debt] = set()

    def look(self) -> Program[None]:
        """Bring what is known up to date."""
        dead = yield from self._find_dead()
        if dead != self._dead:
            self._dead, self._due, self._seen = dead, {}, min(dead.values(), default=0)
        if dead:
            yield from self._read_on()

    def _find_dead(self) -> Program[dict[str, int]]:
        places = yield from self._engine.trackings(PLACES)
        if not places.keys() - {place_of(self._own)}:
            return {}
        living = {short(writer) for writer in (yield from self._engine.living_writers())}
        marks = {place.removeprefix(PLACES): mark for place, mark in places.items()}
        return {writer: mark for writer, mark in marks.items() if writer not in living and writer != self._own}

    def _read_on(self) -> Program[None]:
        rows = yield from self._engine.branches()
        everything: Lineage = tuple((row.id, FOREVER) for row in rows)
        # Nobody can record anything on a branch that has ended: nothing is due there any more.
        ended = {row.id for row in rows if row.dropped}
        self._due = {debt: row for debt, row in self._due.items() if row.branch not in ended}
        while True:
            page = yield from self._engine.page(LogQuery(everything, after=self._seen, limit=_PAGE))
            for row in page:
                self._take_in(row, ended)
            if page:
                self._seen = page[-1].position
            if len(page) < _PAGE:
                return

    def _take_in(self, row: StoredEvent, ended: set[int]) -> None:
        if row.type in {HOOK_EXECUTED, HOOK_FAILED}:
            data = codec.decode_value(row.data)
            if _is_final(data):
                operation = bytes.fromhex(data["operation"].replace("-", ""))
                self._due.pop(Debt(operation, data["hook"], data["point"]), None)
            return
        owed = due_of(row.extra)
        if owed is not None and owed.writer in self._dead and row.branch not in ended:
            point = f"after_state_{VERBS[row.type]}"
            self._due.update((Debt(row.event_id, hook, point), row) for hook in owed.hooks)

    # Handing over

    def of(self, hook: str, point: str) -> list[tuple[Debt, StoredEvent]]:
        """Return what is due to a hook at a point, and not taken yet, oldest first."""
        return [
            (debt, row)
            for debt, row in self._due.items()
            if (debt.hook, debt.point) == (hook, point) and debt not in self._taken
        ]

    def take(self, debts: Sequence[Debt]) -> None:
        """Say that this process sees to these."""
        self._taken.update(debts)

    @property
    def count(self) -> int:
        """How many runs nobody in this process sees to."""
        return len(self._due.keys() - self._taken)

    def forget(self) -> Program[None]:
        """Forget the marks of writers that left nothing, unless somebody writes meanwhile: the next one does it."""
        if self._due:
            return
        seen = self._seen

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
