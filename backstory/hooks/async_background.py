"""The asyncio face: the background, in which hooks run behind commits, in batches and in order.

`background.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Final

from backstory.domain.errors import BackstoryError, HookError, StoreClosedError
from backstory.hooks.after import After, Item, Runs
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.waiting import Signal
from backstory.runners import AsyncRunner

_WAIT_S: Final = 3600.0
_AGAIN_S: Final = 0.1
_LAST_TRIES: Final = 5


def _never(_: int) -> bool:
    return False


class AsyncBackground:
    """Lanes of work behind a store's commits. What belongs to one key stays in one lane, and so in order."""

    def __init__(self, after: After, runner: AsyncRunner, settings: Settings) -> None:
        self._after = after
        self._runner = runner
        self._batch = settings.hook_batch_size
        self._interval_s = settings.hook_flush_interval_s
        self._bound = settings.hook_queue_size
        self._lanes: list[deque[Item | Runs]] = [deque() for _ in range(settings.hook_workers)]
        self._signal = Signal(_never, poll_s=None)
        self._workers: list[asyncio.Task[None]] = []
        self._unfinished = 0
        self._hurry = 0
        self._closing = False
        self._trouble: Exception | None = None
        # <sync>
        # self._lock = threading.Lock()
        # </sync>

    @property
    def unfinished(self) -> int:
        """How many items wait or are being worked on."""
        return self._unfinished

    # Filling

    def full(self) -> bool:
        """Whether writers are to wait."""
        return self._unfinished >= self._bound

    async def room(self, _: object) -> None:
        """Wait until there is room."""
        while self.full() and not self._closing:
            await self._signal.wait_async(0, _WAIT_S, lambda: not self.full() or self._closing)

    def put(self, items: Sequence[Item]) -> None:
        """Take items, whatever the bound."""
        wake = False
        for item in items:
            lane = self._lanes[hash(item.lane) % len(self._lanes)]
            lane.append(item)
            wake = wake or len(lane) == 1 or len(lane) == self._batch
        self._count(len(items))
        self._start()
        if wake:
            self._signal.wake()

    def keep(self, runs: Runs) -> None:
        """Record later what could not be recorded now."""
        self._lanes[0].append(runs)
        self._count(1)
        self._start()
        self._signal.wake()

    def _count(self, more: int) -> None:
        # <sync>
        # with self._lock:
        #     self._unfinished += more
        # </sync>
        # <async>
        self._unfinished += more
        # </async>

    def _start(self) -> None:
        if self._workers:
            return
        # <async>
        # In a context of their own: what happens to be ambient at the first write is no hook's.
        loop = asyncio.get_running_loop()
        self._workers = [loop.create_task(self._serve(lane), context=contextvars.Context()) for lane in self._lanes]
        # </async>
        # <sync>
        # with self._lock:
        #     if self._workers:
        #         return
        #     self._workers = [
        #         threading.Thread(target=self._serve, args=(lane,), name="backstory-hooks", daemon=True)
        #         for lane in self._lanes
        #     ]
        # for worker in self._workers:
        #     worker.start()
        # </sync>

    # Working

    async def _serve(self, lane: deque[Item | Runs]) -> None:
        while not self._closing:
            await self._signal.wait_async(0, _WAIT_S, lambda: bool(lane) or self._closing)
            while lane:
                await self._collect(lane)
                batch = [lane.popleft() for _ in range(min(len(lane), self._batch))]
                try:
                    await self._work(batch)
                except StoreClosedError:
                    return
                except Exception as error:  # noqa: BLE001 - told to who flushes; the lane goes on
                    self._trouble = error
                finally:
                    self._count(-len(batch))
                    self._signal.wake()

    async def _collect(self, lane: deque[Item | Runs]) -> None:
        """Wait a little for a batch to fill."""
        deadline = monotonic() + self._interval_s
        while len(lane) < self._batch and not self._hurry:
            left_s = deadline - monotonic()
            if left_s <= 0:
                return
            await self._signal.wait_async(0, left_s, lambda: len(lane) >= self._batch or bool(self._hurry))

    async def _work(self, batch: Sequence[Item | Runs]) -> None:
        """Run the hooks of a batch, then record what they did; while the store is away, try again."""
        runs: list[Runs] = []
        for entry in batch:
            if isinstance(entry, Runs):
                runs.append(entry)
                continue
            while True:
                try:
                    runs.append(await self._runner.run(self._after.run(entry)))
                except BackstoryError as error:
                    await self._wait_after(error, 0)
                else:
                    break
        tries = 0
        while True:
            try:
                await self._runner.run(self._after.record(runs))
            except BackstoryError as error:
                tries += 1
                await self._wait_after(error, tries)
            else:
                return

    async def _wait_after(self, error: BackstoryError, tries: int) -> None:
        """Wait before another try. What is not recorded when the store closes stays due: it runs again then."""
        if isinstance(error, StoreClosedError) or (self._closing and tries >= _LAST_TRIES):
            raise error
        await self._signal.wait_async(0, _AGAIN_S)

    # Ending

    async def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was put here is done and recorded; raises `HookError` if it takes longer."""
        deadline = monotonic() + (_WAIT_S * 1000 if timeout_s is None else timeout_s)
        self._hurry += 1
        self._signal.wake()
        try:
            while self._unfinished:
                left_s = deadline - monotonic()
                if left_s <= 0:
                    raise HookError(
                        f"{self._unfinished} background runs are not done after {timeout_s:g} s",
                        hint="Flush again with more time; what is due stays due, and nothing is lost.",
                    )
                await self._signal.wait_async(0, left_s, lambda: not self._unfinished)
        finally:
            self._hurry -= 1
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise HookError(
                f"background runs could not be recorded: {trouble}", hint="Open the store again: what is due runs then."
            ) from trouble

    async def close(self) -> None:
        """Finish what is there, and let the workers go."""
        self._closing = True
        self._hurry += 1
        self._signal.wake()
        for worker in self._workers:
            # <async>
            await asyncio.wait((worker,))
            # </async>
            # <sync>
            # worker.join()
            # </sync>
        self._workers = []
