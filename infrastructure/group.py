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
from itertools import islice
from typing import Final

from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import StoreUnavailableError
from backstory.domain.ports import Engine

_MOST: Final = 4096
_Wait = tuple[Sequence[Commit], asyncio.Future[Sequence[Outcome]]]


class _Ticket:
    """One waiting writer. Its lock is held until there are outcomes, or it must lead."""

    __slots__ = ("commits", "lead", "lock", "outcomes")

    def __init__(self, commits: Sequence[Commit]) -> None:
        self.commits = commits
        self.lead = False
        self.outcomes: Sequence[Outcome] | None = None
        self.lock = threading.Lock()
        self.lock.acquire()


class GroupCommit:
    """Group commit for threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mutex = threading.Lock()
        self._queue: deque[_Ticket] = deque()
        self._busy = False

    def submit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Return what became of each of one writer's commits, once they are durable or refused."""
        with self._mutex:
            if self._busy:
                ticket = _Ticket(commits)
                self._queue.append(ticket)
            else:
                self._busy = True
                ticket = None
        if ticket is None:
            return self._lead_alone(commits)
        try:
            ticket.lock.acquire()
        except BaseException:
            self._abandon(ticket)
            raise
        if ticket.lead:
            self._lead()
        assert ticket.outcomes is not None
        return ticket.outcomes

    def _abandon(self, ticket: _Ticket) -> None:
        """Take an interrupted writer out of the queue; if it was to lead, let another."""
        with self._mutex:
            waiting = ticket in self._queue
            if waiting:
                self._queue.remove(ticket)
        if waiting and ticket.lead:
            self._hand_over()

    def _lead_alone(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        try:
            return self._engine.commit(commits)
        except Exception as error:  # noqa: BLE001 - an outcome like any other
            return _failed(error, len(commits))
        finally:
            self._hand_over()

    def _lead(self) -> None:
        with self._mutex:
            group = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST))]
        commits = [commit for ticket in group for commit in ticket.commits]
        outcomes: Sequence[Outcome] = ()
        try:
            outcomes = self._engine.commit(commits)
        except Exception as error:  # noqa: BLE001 - everybody in the group must hear of it
            outcomes = _failed(error, len(commits))
        finally:
            if not outcomes:
                interrupted = StoreUnavailableError("the group's leader was interrupted", outcome="unknown")
                outcomes = _failed(interrupted, len(commits))
            left = iter(outcomes)
            for ticket in group:
                ticket.outcomes = list(islice(left, len(ticket.commits)))
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
    """Group commit for the tasks of one event loop.

    An idle writer starts when half of the last group is back with new commits, or when no
    other task is ready: so one half prepares its commits while the other's go to disk.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: list[_Wait] = []
        self._busy: asyncio.Future[Sequence[Outcome]] | None = None
        self._scheduled = False
        self._enough = 1

    def submit(self, commits: Sequence[Commit]) -> asyncio.Future[Sequence[Outcome]]:
        """Return what will have become of each of one writer's commits.

        Cancelling the wait does not undo them.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Outcome]] = loop.create_future()
        self._queue.append((commits, future))
        if self._busy is None:
            if len(self._queue) >= self._enough:
                self._start()
            elif not self._scheduled:
                self._scheduled = True
                loop.call_soon(self._start_late)
        return future

    def _start_late(self) -> None:
        self._scheduled = False
        if self._busy is None and self._queue:
            self._start()

    def _start(self) -> None:
        group, self._queue = self._queue[:_MOST], self._queue[_MOST:]
        self._enough = len(group) // 2 + 1
        commits = [commit for commits, _ in group for commit in commits]
        self._busy = asyncio.ensure_future(self._engine.commit_async(commits))
        self._busy.add_done_callback(lambda done: self._deliver(group, len(commits), done))

    def _deliver(self, group: list[_Wait], count: int, done: asyncio.Future[Sequence[Outcome]]) -> None:
        self._busy = None
        if self._queue:
            self._start()
        left = iter(_outcomes_of(done, count))
        for commits, future in group:
            outcomes = list(islice(left, len(commits)))
            if not future.done():
                future.set_result(outcomes)

    async def drain(self) -> None:
        """Wait until every commit that was submitted has its outcome."""
        while self._busy is not None or self._queue:
            if self._busy is None:
                self._start()
            assert self._busy is not None
            await asyncio.wait((self._busy,))
            await asyncio.sleep(0)


def _outcomes_of(done: asyncio.Future[Sequence[Outcome]], count: int) -> Sequence[Outcome]:
    if done.cancelled():
        return _failed(StoreUnavailableError("the commit was interrupted", outcome="unknown"), count)
    error = done.exception()
    if error is None:
        return done.result()
    if not isinstance(error, Exception):
        raise error
    return _failed(error, count)


def _failed(error: Exception, count: int) -> list[Outcome]:
    """Return the same failure for everybody, a copy each: tracebacks are not shared."""
    if count == 1:
        return [Outcome(error=error)]
    return [Outcome(error=copy.copy(error)) for _ in range(count)]
