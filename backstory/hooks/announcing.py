"""Announcing: registrations as events, and what a process that died left undone for its hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from backstory.committing import append
from backstory.domain.branches import FOREVER, MAIN
from backstory.domain.commits import Commit, Draft, Read, Tracking
from backstory.domain.errors import BackstoryError, ConflictError
from backstory.domain.hooks import HOOK_REGISTERED
from backstory.domain.ports import CallOut, Engine, LogQuery, Program
from backstory.hooks.after import After, Item
from backstory.hooks.keeping import place_of
from backstory.hooks.recording import stream_of
from backstory.hooks.registry import Registration
from backstory.hooks.undone import Undone
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.infrastructure.waiting import Signal
from backstory.sessions import DirectSession

_LAST: Final = 50
_WAIT_S: Final = 3600.0


def _never(_: int) -> bool:
    return False


class Announcer:
    """Says in the log which hooks are there, once, and finds what is due to them since a crash.

    Both are about the whole store: hooks are announced on `main`, whichever branch they were registered from.
    """

    def __init__(
        self,
        engine: Engine,
        after: After,
        *,
        actor: bytes | None,
        session_on: Callable[[int], Program[DirectSession]],
    ) -> None:
        self._engine = engine
        self._after = after
        self._actor = actor
        self._session_on = session_on
        self._new: list[Registration] = []
        self._marked = False
        self._undone = Undone(engine, after.writer)
        self._lock = threading.Lock()
        self._busy = False
        self._signal = Signal(_never, poll_s=None)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to announce."""
        return bool(self._new)

    def add(self, registration: Registration) -> None:
        """Take a registration, to be announced before the next operation."""
        with self._lock:
            self._new = [*self._new, registration]

    def forget(self, registration: Registration) -> None:
        """Announce a registration no more."""
        self._forget([registration])

    def _forget(self, registrations: list[Registration]) -> None:
        with self._lock:
            self._new = [each for each in self._new if each not in registrations]

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
        new = self._new
        main = yield from self._session_on(MAIN)
        for registration in new:
            yield from self._announce(main, registration)
        background = [each for each in new if each.background and each.point.state]
        if background:
            yield from self._mark()
            yield from self._undone.look()
            for registration in background:
                yield from self._redeliver(registration)
            yield from self._undone.forget()
        for registration in new:
            # Only now does anything become due to it: whatever is, lies behind the mark, and behind what is older.
            registration.announced = True
        self._forget(new)

    def _mark(self) -> Program[None]:
        """Say, before anything is due to this process, from where on to look for it."""
        if self._marked:
            return
        head = yield from self._engine.head()
        self._after.outstanding.begin(head.position)
        with suppress(ConflictError):  # it is there already: an earlier try was not told so
            yield from append(Commit(MAIN, tracking=Tracking(place_of(self._after.writer), head.position)))
        self._marked = True

    def _announce(self, main: DirectSession, registration: Registration) -> Program[None]:
        stream = stream_of(registration.name)
        data = registration.as_data()
        state = main.state
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
                yield from append(Commit(MAIN, [draft], reads=[Read(stream, None, version)]))
            except ConflictError:
                continue  # somebody wrote there: perhaps they announced the same
            return

    def _redeliver(self, registration: Registration) -> Program[None]:
        """Give a hook what is due to it since a crash, oldest first."""
        found = self._undone.of(registration.name, registration.point.name)
        sessions: dict[int, DirectSession] = {}
        items: list[Item] = []
        for _, row in found:
            if row.branch not in sessions:
                sessions[row.branch] = yield from self._session_on(row.branch)
            items.append(Item(sessions[row.branch], (registration,), row, redelivered=True))
        if items:
            yield from self._after.redeliver(items)
            self._undone.take([debt for debt, _ in found])

    def undone(self) -> Program[int]:
        """Return how many runs are due since a crash to hooks that nobody has registered here."""
        yield from self._undone.look()
        return self._undone.count

    def leave(self) -> Program[None]:
        """Forget this process's mark, if all that was due has been done; else it is there for the next one."""
        if not (self._marked and self._after.outstanding.idle):
            return
        with suppress(BackstoryError):  # the next one looks in vain then
            yield from append(Commit(MAIN, tracking=Tracking(place_of(self._after.writer), None)))
