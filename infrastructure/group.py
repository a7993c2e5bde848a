"""Group commit: writers that wait at the same moment share one durable transaction.

A writer that finds nobody writing commits in its own thread, without a hop. Those that come
meanwhile queue; the first of them leads the next group. Each commit has its own outcome.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from queue import SimpleQueue
from typing import Final

from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import StoreUnavailableError
from backstory.domain.ports import Engine

_MOST: Final = 4096
_Wait = tuple[Sequence[Commit], asyncio.Future[Sequence[Outcome]]]


class _Ticket:
    """One writer's commits. Its bell rings when there are outcomes, or when it must lead; twice does no harm."""

    __slots__ = ("bell", "commits", "group", "outcomes")

    def __init__(self, commits: Sequence[Commit]) -> None:
        self.commits = commits
        self.bell: SimpleQueue[None] | None = None
        self.group: Iterable[_Ticket] = ()
        self.outcomes: Sequence[Outcome] | None = None

    def ring(self) -> None:
        """Call the writer, if it waits at all."""
        if self.bell is not None:
            self.bell.put(None)


class GroupCommit:
    """Group commit for threads. An interrupt may strike at any point: `_abandon` then sees to those who wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mutex = threading.Lock()
        self._queue: deque[_Ticket] = deque()
        self._leader: _Ticket | None = None

    @property
    def busy(self) -> bool:
        """Whether anybody commits, at this moment."""
        return self._leader is not None

    def submit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Return what became of each of one writer's commits, once they are durable or refused."""
        ticket = _Ticket(commits)
        try:
            with self._mutex:
                if self._leader is None:
                    self._leader = ticket
                else:
                    ticket.bell = SimpleQueue()
                    self._queue.append(ticket)
            if ticket.bell is None:
                ticket.outcomes = self._commit(commits)
                self._hand_over()
            else:
                ticket.bell.get()
                if ticket.outcomes is None:
                    self._lead(ticket)
        except BaseException:
            self._abandon(ticket)
            raise
        assert ticket.outcomes is not None
        return ticket.outcomes

    def _commit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        try:
            return self._engine.commit(commits)
        except Exception as error:  # noqa: BLE001 - everybody in the group must hear of it
            return _failed(error, len(commits))

    def _lead(self, ticket: _Ticket) -> None:
        """Commit for everybody who waits, this writer among them."""
        with self._mutex:
            ticket.group, self._queue = self._queue, deque()
        outcomes = iter(self._commit([commit for member in ticket.group for commit in member.commits]))
        for member in ticket.group:
            member.outcomes = list(islice(outcomes, len(member.commits)))
            if member is not ticket:
                member.ring()
        self._hand_over()

    def _hand_over(self) -> None:
        """Let the next writer lead, if one waits."""
        with self._mutex:
            self._leader = self._queue[0] if self._queue else None
            if self._leader is not None:
                self._leader.ring()

    def _abandon(self, ticket: _Ticket) -> None:
        """Take an interrupted writer out; if it led, tell its group that nobody knows, and let another lead.

        Nothing here minds what was done before the interrupt: all of it can be done again.
        """
        with self._mutex:
            for member in ticket.group:
                if member.outcomes is None:
                    interrupted = StoreUnavailableError("the group's leader was interrupted", outcome="unknown")
                    member.outcomes = _failed(interrupted, len(member.commits))
                member.ring()
            self._queue = deque(one for one in self._queue if one.outcomes is None and one is not ticket)
            if self._leader is ticket:
                self._leader = self._queue[0] if self._queue else None
            if self._leader is not None:
                self._leader.ring()


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

    @property
    def busy(self) -> bool:
        """Whether anybody commits, at this moment."""
        return self._busy is not None or bool(self._queue)

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
