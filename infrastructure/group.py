"""Group commit: writers that wait at the same moment share one durable transaction.

A writer that finds nobody writing commits in its own thread, without a hop. Those that come
meanwhile queue; the first of them leads the next group. Each commit has its own outcome.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import StoreUnavailableError
from backstory.domain.ports import Engine

_MOST: Final = 4096


class _Ticket:
    """One waiting writer. Its lock is held until there is an outcome, or it must lead."""

    __slots__ = ("commit", "lead", "lock", "outcome")

    def __init__(self, commit: Commit) -> None:
        self.commit = commit
        self.lead = False
        self.outcome: Outcome | None = None
        self.lock = threading.Lock()
        self.lock.acquire()


class GroupCommit:
    """Group commit for threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mutex = threading.Lock()
        self._queue: deque[_Ticket] = deque()
        self._busy = False

    def submit(self, commit: Commit) -> Outcome:
        """Return what became of a commit, once it is durable or refused."""
        with self._mutex:
            if self._busy:
                ticket = _Ticket(commit)
                self._queue.append(ticket)
            else:
                self._busy = True
                ticket = None
        if ticket is None:
            return self._lead_alone(commit)
        try:
            ticket.lock.acquire()
        except BaseException:
            self._abandon(ticket)
            raise
        if ticket.lead:
            self._lead()
        assert ticket.outcome is not None
        return ticket.outcome

    def _abandon(self, ticket: _Ticket) -> None:
        """Take an interrupted writer out of the queue; if it was to lead, let another."""
        with self._mutex:
            waiting = ticket in self._queue
            if waiting:
                self._queue.remove(ticket)
        if waiting and ticket.lead:
            self._hand_over()

    def _lead_alone(self, commit: Commit) -> Outcome:
        try:
            return self._engine.commit((commit,))[0]
        except Exception as error:  # noqa: BLE001 - an outcome like any other
            return Outcome(error=error)
        finally:
            self._hand_over()

    def _lead(self) -> None:
        with self._mutex:
            group = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST))]
        outcomes: Sequence[Outcome] = ()
        try:
            outcomes = self._engine.commit([ticket.commit for ticket in group])
        except Exception as error:  # noqa: BLE001 - everybody in the group must hear of it
            outcomes = _failed(error, len(group))
        finally:
            if not outcomes:
                interrupted = StoreUnavailableError("the group's leader was interrupted", outcome="unknown")
                outcomes = _failed(interrupted, len(group))
            for ticket, outcome in zip(group, outcomes, strict=True):
                ticket.outcome = outcome
                if not ticket.lead:
                    ticket.lock.release()
            self._hand_over()

    def _hand_over(self) -> None:
        with self._mutex:
            if self._queue:
                following = self._queue[0]
                following.lead = True
                following.lock.release()
            else:
                self._busy = False


class AsyncGroupCommit:
    """Group commit for the tasks of one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: list[tuple[Commit, asyncio.Future[Outcome]]] = []
        self._leader: asyncio.Task[None] | None = None

    async def submit(self, commit: Commit) -> Outcome:
        """Return what became of a commit. Cancelling the wait does not undo it."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append((commit, future))
        if self._leader is None:
            self._leader = asyncio.get_running_loop().create_task(self._lead())
        return await future

    async def _lead(self) -> None:
        try:
            while self._queue:
                group, self._queue = self._queue[:_MOST], self._queue[_MOST:]
                outcomes: Sequence[Outcome]
                try:
                    outcomes = await self._engine.commit_async([commit for commit, _ in group])
                except Exception as error:  # noqa: BLE001 - everybody in the group must hear of it
                    outcomes = _failed(error, len(group))
                for (_, future), outcome in zip(group, outcomes, strict=True):
                    if not future.done():
                        future.set_result(outcome)
        finally:
            self._leader = None

    async def drain(self) -> None:
        """Wait until every commit that was submitted has its outcome."""
        while self._leader is not None:
            await asyncio.wait((self._leader,))


def _failed(error: Exception, count: int) -> list[Outcome]:
    """Return the same failure for everybody, a copy each: tracebacks are not shared."""
    return [Outcome(error=copy.copy(error)) for _ in range(count)]
