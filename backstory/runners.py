"""Runners: drive programs for blocking callers and for the tasks of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import ReadOnlyError, StoreClosedError
from backstory.domain.ports import Append, AppendAll, CallOut, Engine, Here, Program
from backstory.infrastructure.group import AsyncGroupCommit, GroupCommit

T = TypeVar("T")
#: Whether what runs here is a replay of something recorded, which changes nothing.
replaying: ContextVar[bool] = ContextVar("backstory_replaying", default=False)
IN_A_REPLAY: Final = "write inside a replay"


class Runner:
    """Drives programs for a blocking caller."""

    def __init__(self, engine: Engine, parent: Runner | None = None) -> None:
        self.engine: Final = engine
        self.group: GroupCommit = GroupCommit(engine) if parent is None else parent.group
        self._parent = parent
        self._closed = False

    @property
    def root(self) -> Runner:
        """The runner whose resources this one shares, or itself."""
        return self if self._parent is None else self._parent.root

    def child(self) -> Runner:
        """Return a runner on the same engine, to be closed by itself: a fork's."""
        return Runner(self.engine, self)

    @property
    def closed(self) -> bool:
        """Whether this runner, or the one whose resources it shares, is closed."""
        return self._closed or (self._parent is not None and self._parent.closed)

    def run(self, program: Program[T]) -> T:
        """Return a program's answer; raises `StoreClosedError` on a closed store."""
        if self._closed or (self._parent is not None and self._parent.closed):
            program.close()
            raise StoreClosedError
        engine = self.engine
        try:
            request = program.send(None)
            while True:
                if type(request) is Append:
                    request = program.send(self._submit((request.commit,))[0])
                elif type(request) is AppendAll:
                    request = program.send(self._submit(request.commits))
                elif type(request) is Here:
                    request = program.send(None)
                elif type(request) is CallOut:
                    answer, error = self._called_out(request)
                    request = program.send(answer) if error is None else program.throw(error)
                else:
                    finished, request = engine.advance(program, request)
                    if finished:
                        last: T = request
                        return last
        except StopIteration as stop:
            ended: T = stop.value
            return ended
        except BaseException:
            # An interrupt, or a task that is cancelled: the program ends here, not whenever it is collected.
            program.close()
            raise

    def _called_out(self, request: CallOut) -> tuple[Any, BaseException | None]:
        try:
            answer = request.blocking(self)
        except BaseException as error:  # noqa: BLE001 - an interrupt: the program lets go of what it holds
            return None, error
        return answer, StoreClosedError() if self.closed else None

    def _submit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        if self.engine.read_only:
            raise ReadOnlyError
        if replaying.get():
            raise ReadOnlyError(IN_A_REPLAY, replay=True)
        return self.group.submit(commits)

    def close(self) -> None:
        """Close the engine, or only this runner where it shares another's; idempotent."""
        if not self._closed:
            self._closed = True
            if self._parent is None:
                self.engine.close()


class AsyncRunner:
    """Drives programs for the tasks of one event loop."""

    def __init__(self, engine: Engine, parent: AsyncRunner | None = None) -> None:
        self.engine: Final = engine
        self.group: AsyncGroupCommit = AsyncGroupCommit(engine) if parent is None else parent.group
        #: What plain calls have asked for, to be done before whatever is run next.
        self.due: Callable[[], Program[None]] | None = None
        self._parent = parent
        self._closed = False

    @property
    def root(self) -> AsyncRunner:
        """The runner whose resources this one shares, or itself."""
        return self if self._parent is None else self._parent.root

    def child(self) -> AsyncRunner:
        """Return a runner on the same engine, to be closed by itself: a fork's."""
        return AsyncRunner(self.engine, self)

    @property
    def closed(self) -> bool:
        """Whether this runner, or the one whose resources it shares, is closed."""
        return self._closed or (self._parent is not None and self._parent.closed)

    async def run(self, program: Program[T]) -> T:  # noqa: C901 - one loop, as calls would cost what they save
        """Return a program's answer; raises `StoreClosedError` on a closed store."""
        if self._closed or (self._parent is not None and self._parent.closed):
            program.close()
            raise StoreClosedError
        if self.due is not None:
            await self._do_what_is_due(program)
        try:
            request = program.send(None)
            while True:
                if type(request) is Append:
                    request = program.send((await self._submit((request.commit,)))[0])
                elif type(request) is AppendAll:
                    request = program.send(await self._submit(request.commits))
                elif type(request) is Here:
                    request = program.send(None)
                elif type(request) is CallOut:
                    answer, error = await self._called_out(request)
                    request = program.send(answer) if error is None else program.throw(error)
                else:
                    finished, request = await self.engine.advance_async(program, request)
                    if finished:
                        last: T = request
                        return last
        except StopIteration as stop:
            ended: T = stop.value
            return ended
        except BaseException:
            # An interrupt, or a task that is cancelled: the program ends here, not whenever it is collected.
            program.close()
            raise

    async def _do_what_is_due(self, program: Program[Any]) -> None:
        due, self.due = self.due, None
        assert due is not None
        try:
            await self.run(due())
        except BaseException:
            self.due = due  # for what comes after that which was refused
            program.close()
            raise

    async def _called_out(self, request: CallOut) -> tuple[Any, BaseException | None]:
        try:
            answer = await request.awaiting(self)
        except BaseException as error:  # noqa: BLE001 - a cancelled task: the program lets go of what it holds
            return None, error
        return answer, StoreClosedError() if self.closed else None

    def _submit(self, commits: Sequence[Commit]) -> asyncio.Future[Sequence[Outcome]]:
        if self.engine.read_only:
            raise ReadOnlyError
        if replaying.get():
            raise ReadOnlyError(IN_A_REPLAY, replay=True)
        return self.group.submit(commits)

    async def close(self) -> None:
        """Let commits end, then close the engine (a fork's: only this runner); idempotent."""
        if not self._closed:
            self._closed = True
            if self._parent is None:
                await self.group.drain()
                await asyncio.shield(self.engine.close_async())
