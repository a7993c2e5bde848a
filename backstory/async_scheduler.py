"""The asyncio face: the scheduler, which runs what is scheduled when it comes due.

`scheduler.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Generic, TypeVar

from backstory.core import Core
from backstory.domain.errors import BackstoryError, StoreClosedError
from backstory.domain.events import from_micros
from backstory.infrastructure.waiting import Signal
from backstory.runners import AsyncRunner
from backstory.schedules import Book, Schedule, claim, schedules

#: How long a process lets its hooks be registered before it runs what came due while nobody was there, seconds.
_SETTLING_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0
_AGAIN_S: Final = 1.0

T = TypeVar("T")
Run = Callable[[Schedule, bytes], Awaitable[T]]


def _never(_: int) -> bool:
    return False


class AsyncScheduler(Generic[T]):
    """Looks what is due, runs it, and sleeps until the next. It ends when nothing is left to come."""

    def __init__(self, core: Core, runner: AsyncRunner, book: Book, run: Run[T]) -> None:
        self._core = core
        self._book = book
        self._runner = runner
        self._run = run
        self._signal = Signal(_never, poll_s=None)
        self._changed = False
        self._closing = False
        self._settled = False
        self._worker: asyncio.Task[None] | None = None
        # <async>
        self._busy = asyncio.Lock()
        # </async>
        # <sync>
        # self._busy = threading.Lock()
        # self._lock = threading.Lock()
        # </sync>

    def start(self, *, settled: bool = False) -> None:
        """Begin, or look again; `settled` says that the hooks are registered."""
        self._changed = True
        self._settled = self._settled or settled
        self._signal.wake()
        # <async>
        if self._worker is None or self._worker.done():
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # a hook is registered before the loop runs: whoever comes next begins
                return
            self._worker = loop.create_task(self._serve(), context=contextvars.Context())
        # </async>
        # <sync>
        # with self._lock:
        #     if self._worker is None or not self._worker.is_alive():
        #         self._worker = threading.Thread(target=self._serve, name="backstory-schedules", daemon=True)
        #         self._worker.start()
        # </sync>

    async def _serve(self) -> None:
        await self._settle()
        while not self._closing:
            self._changed = False
            try:
                left_s = await self._look()
            except StoreClosedError:
                return
            except BackstoryError:
                left_s = _AGAIN_S  # the store is away: what is due stays due
            if left_s is None:
                return
            await self._wait(min(left_s, _LONGEST_WAIT_S))

    async def _settle(self) -> None:
        """Wait for more hooks to be registered, however often one is."""
        ends = time.monotonic() + _SETTLING_S
        while not (self._closing or self._settled) and (left_s := ends - time.monotonic()) > 0:
            await self._signal.wait_async(0, left_s, lambda: self._closing or self._settled)

    async def _wait(self, left_s: float) -> None:
        await self._signal.wait_async(0, left_s, lambda: self._closing or self._changed)

    async def round(self) -> list[T]:
        """Run what is due, each schedule at most once; return what the runs came to."""
        found: list[T] = []
        async with self._busy:
            for each in await self._runner.run(schedules(self._core, self._book)):
                due = each.next_due
                if due is None or due > self._now() or self._closing:
                    continue
                try:
                    claimed = await self._runner.run(claim(self._core, self._book, each.name, self._now()))
                except BackstoryError:
                    if not found:
                        raise
                    break  # what has run is told all the same; what is due stays due
                if claimed is not None:
                    found.append(await self._run(*claimed))
        return found

    async def _look(self) -> float | None:
        """Run what is due; return how long until the next, None where none is to come."""
        await self.round()
        coming = [each.next_due for each in await self._runner.run(schedules(self._core, self._book))]
        left = [due for due in coming if due is not None]
        return max(0.0, (min(left) - self._now()).total_seconds()) if left else None

    def _now(self) -> datetime:
        return from_micros(self._core.clock.now_us())

    async def close(self) -> None:
        """Let a run end, and stop."""
        self._closing = True
        self._signal.wake()
        worker = self._worker
        # <async>
        if worker is not None and worker is not asyncio.current_task():
            await asyncio.wait((worker,))
        # </async>
        # <sync>
        # if worker is not None and worker is not threading.current_thread():
        #     worker.join()
        # </sync>
