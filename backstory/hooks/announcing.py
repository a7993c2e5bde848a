"""Announcing: registrations as events, and what a process that died left undone for its hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.commits import Commit, Draft, Read, Tracking
from backstory.domain.errors import BackstoryError, ConflictError
from backstory.domain.events import StoredEvent
from backstory.domain.hooks import HOOK_EXECUTED, HOOK_FAILED, HOOK_REGISTERED
from backstory.domain.ports import CallOut, Engine, Here, LogQuery, Program
from backstory.hooks.after import PLACES, After, Item, place_of
from backstory.hooks.due import due_of, short
from backstory.hooks.recording import stream_of
from backstory.hooks.registry import Registration
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.infrastructure.waiting import Signal
from backstory.sessions import DirectSession, append

_PAGE: Final = 1000
_LAST: Final = 50
_WAIT_S: Final = 3600.0

Undone = dict[str, list[StoredEvent]]


def _never(_: int) -> bool:
    return False


class Announcer:
    """Says in the log which hooks are there, once, and finds what is due to them since a crash."""

    def __init__(
        self,
        engine: Engine,
        session: DirectSession,
        after: After,
        *,
        actor: bytes | None,
        session_on: Callable[[int], Program[DirectSession]],
    ) -> None:
        self._engine = engine
        self._session = session
        self._after = after
        self._actor = actor
        self._session_on = session_on
        self._new: list[Registration] = []
        self._marked = False
        self._undone: Undone | None = None
        self._lock = threading.Lock()
        self._busy = False
        self._signal = Signal(_never, poll_s=None)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to announce."""
        return bool(self._new)

    def add(self, registration: Registration) -> None:
        """Take a registration, to be announced before the next operation."""
        self._new = [*self._new, registration]

    def forget(self, registration: Registration) -> None:
        """Announce a registration no more."""
        self._new = [each for each in self._new if each is not registration]

    def announce(self) -> Program[None]:
        """Write `hook.registered` for what is new or not what it was, and set to work what a crash left undone."""
        while not self._take_turn():
            yield CallOut(self._wait, self._wait_async)
        try:
            yield from self._announce_new()
        finally:
            self._busy = False
            self._signal.wake()

    def _take_turn(self) -> bool:
        with self._lock:
            taken = not self._busy
            self._busy = True
        return taken

    def _wait(self, _: object) -> None:
        self._signal.wait(0, _WAIT_S, lambda: not self._busy)

    async def _wait_async(self, _: object) -> None:
        await self._signal.wait_async(0, _WAIT_S, lambda: not self._busy)

    def _announce_new(self) -> Program[None]:
        new = list(self._new)
        for registration in new:
            yield from self._announce(registration)
        background = [each for each in new if each.background and each.point.state]
        if background and not self._marked:
            head = yield from self._engine.head()
            self._after.outstanding.begin(head.position)
            mark = Tracking(place_of(self._after.writer), head.position)
            yield from append(Commit(self._session.branch, tracking=mark))
            self._marked = True
            self._undone = yield from self._look()
        for registration in background:
            yield from self._redeliver(registration)
        self._new = [each for each in self._new if each not in new]

    def _announce(self, registration: Registration) -> Program[None]:
        stream = stream_of(registration.name)
        data = registration.as_data()
        state = self._session.state
        while True:
            version = yield from state.reader.stream_version(state.lineage, stream, FOREVER)
            query = LogQuery(state.lineage, stream=stream, types=(HOOK_REGISTERED,), limit=_LAST, reverse=True)
            for row in (yield from state.reader.page(query)):
                known = codec.decode_value(row.data)
                if known["point"] == data["point"]:
                    if known == data:
                        return
                    break
            draft = Draft(new_id(), stream, HOOK_REGISTERED, codec.encode_value(data), actor=self._actor)
            try:
                yield from append(Commit(self._session.branch, [draft], reads=[Read(stream, None, version)]))
            except ConflictError:
                continue  # somebody wrote there: perhaps they announced the same
            return

    def _look(self) -> Program[Undone]:
        """Return what writers that died left undone, by hook; forget those that left nothing."""
        places = yield from self._engine.trackings(PLACES)
        living = {short(writer) for writer in (yield from self._engine.living_writers())}
        dead = {
            place.removeprefix(PLACES): mark
            for place, mark in places.items()
            if place.removeprefix(PLACES) not in {*living, self._after.writer}
        }
        undone: Undone = {}
        if not dead:
            return undone
        due, done = yield from self._since(min(dead.values()), dead.keys())
        for (event_id, hook), row in due.items():
            if (event_id, hook) not in done:
                undone.setdefault(hook, []).append(row)
        if not undone:
            yield from self._forget(dead)
        return undone

    def _since(self, mark: int, dead: Iterable[str]) -> Program[tuple[dict[Any, StoredEvent], set[Any]]]:
        """Return what dead writers' writes since a mark were due for, and what was done: by write and hook."""
        dead = set(dead)
        due: dict[tuple[str, str], StoredEvent] = {}
        done: set[tuple[str, str]] = set()
        rows = yield from self._engine.branches()
        everything: Lineage = tuple((row.id, FOREVER) for row in rows)
        while True:
            page = yield from self._engine.page(LogQuery(everything, after=mark, limit=_PAGE))
            for row in page:
                owed = due_of(row.extra)
                if owed is not None and owed.writer in dead:
                    due.update(((row.event_id.hex(), hook), row) for hook in owed.hooks)
                elif row.type in {HOOK_EXECUTED, HOOK_FAILED}:
                    data = codec.decode_value(row.data)
                    done.add((data["operation"].replace("-", ""), data["hook"]))
            if len(page) < _PAGE:
                return due, done
            mark = page[-1].position

    def _forget(self, dead: Iterable[str]) -> Program[None]:
        for writer in dead:
            yield from append(Commit(self._session.branch, tracking=Tracking(place_of(writer), None)))

    def _redeliver(self, registration: Registration) -> Program[None]:
        """Give a hook what is due to it since a crash, oldest first."""
        if self._undone is None:
            return
        rows = self._undone.pop(registration.name, [])
        items: list[Item] = []
        for row in rows:
            session = yield from self._session_on(row.branch)
            items.append(Item(session, (registration,), row, redelivered=True))
        for row in rows:
            self._after.outstanding.add(row.position)
        if items:
            yield Here()
            self._after.queue.put(items)

    def undone(self) -> int:
        """Return how many runs are due to hooks that nobody has registered since a crash."""
        return sum(map(len, (self._undone or {}).values()))

    def leave(self) -> Program[None]:
        """Forget this process's mark, if all that was due has been done; else it is there for the next one."""
        if not self._marked or self._after.outstanding.count or self._after.outstanding.doubtful:
            return
        with suppress(BackstoryError):  # the next one looks in vain then
            yield from self._forget([self._after.writer])
