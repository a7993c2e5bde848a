"""The asyncio face: the background, in which hooks run behind commits, in batches and in order.

`background.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

from backstory.context import running_hooks
from backstory.domain.errors import BackstoryError, HookError, StoreClosedError, StoreUnavailableError
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
        self._working = 0
        self._hurry = 0
        self._closing = False
        self._ended = False
        self._gave_up = False
        self._trouble: Exception | None = None
        # <async>
        self._lock = nullcontext()
        # </async>
        # <sync>
        # self._lock = threading.Lock()
        # </sync>

    @property
    def unfinished(self) -> int:
        """How many items wait or are being worked on."""
        return sum(map(len, self._lanes)) + self._working

    # Filling

    def full(self) -> bool:
        """Whether writers are to wait."""
        return self.unfinished >= self._bound

    async def room(self, _: object) -> None:
        """Wait until there is room."""
        while self.full() and not (self._closing or self._ended):
            await self._signal.wait_async(0, _WAIT_S, lambda: not self.full() or self._closing or self._ended)

    def put(self, items: Sequence[Item]) -> None:
        """Take items, whatever the bound."""
        self._take(items)

    def keep(self, runs: Runs) -> None:
        """Record later what could not be recorded now."""
        self._take((runs,))

    def _take(self, entries: Sequence[Item | Runs]) -> None:
        wake = False
        with self._lock:
            for entry in entries:
                at = entry.item.lane if isinstance(entry, Runs) else entry.lane
                lane = self._lanes[hash(at) % len(self._lanes)]
                lane.append(entry)
                wake = wake or len(lane) in {1, self._batch}
            if not self._closing:
                self._start()
        if wake:
            self._signal.wake()

    def _done(self, count: int) -> None:
        with self._lock:
            self._working -= count
        self._signal.wake()

    def _next(self, lane: deque[Item | Runs]) -> list[Item | Runs]:
        """Take a batch out of a lane; at no moment are there less unfinished than there are."""
        with self._lock:
            count = min(len(lane), self._batch)
            self._working += count
            return [lane.popleft() for _ in range(count)]

    def report(self, error: Exception) -> None:
        """Tell who flushes next of something that went wrong for good."""
        self._trouble = error

    def _start(self) -> None:
        """Have a worker for each lane, that is there for this store alone."""
        # <async>
        if self._workers and not any(worker.done() for worker in self._workers):
            return
        # In a context of their own: what happens to be ambient at the first write is no hook's.
        loop = asyncio.get_running_loop()
        for at, lane in enumerate(self._lanes):
            if at >= len(self._workers) or self._workers[at].done():
                worker = loop.create_task(self._serve(lane), context=contextvars.Context())
                self._workers[at : at + 1] = [worker]
        # </async>
        # <sync>
        # if self._workers:
        #     return
        # for lane in self._lanes:
        #     # In a context of its own: what happens to be ambient at the first write is no hook's.
        #     serve = contextvars.Context().run
        #     worker = threading.Thread(target=serve, args=(self._serve, lane), name="backstory-hooks", daemon=True)
        #     worker.start()
        #     self._workers.append(worker)
        # </sync>

    # Working

    async def _serve(self, lane: deque[Item | Runs]) -> None:
        while not self._finished():
            await self._signal.wait_async(0, _WAIT_S, lambda: bool(lane) or self._finished())
            if lane:
                await self._collect(lane)
                batch = self._next(lane)
                try:
                    await self._work(batch)
                except StoreClosedError:
                    self._ended = True
                except Exception as error:  # noqa: BLE001 - told to who flushes; the lane goes on
                    self.report(error)
                finally:
                    self._done(len(batch))
                await self._clear_up()

    async def _clear_up(self) -> None:
        """Find out about commits of which nobody was told whether they were made."""
        if self._after.outstanding.doubts and not self._ended:
            try:
                await self._runner.run(self._after.clear_up())
            except BackstoryError as error:  # the doubt stays, and the mark with it
                self.report(error)

    def _finished(self) -> bool:
        """Whether nothing can come any more: what one lane works on may bring forth work for another."""
        return self._ended or (self._closing and not self.unfinished)

    async def _collect(self, lane: deque[Item | Runs]) -> None:
        """Wait a little for a batch to fill."""
        deadline = time.monotonic() + self._interval_s
        while len(lane) < self._batch and not self._hurry:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            await self._signal.wait_async(0, left_s, lambda: len(lane) >= self._batch or bool(self._hurry))

    async def _work(self, batch: Sequence[Item | Runs]) -> None:
        """Run the hooks of a batch, then record what they did; while the store is away, try again."""
        runs: list[Runs] = []
        for entry in batch:
            ran = entry if isinstance(entry, Runs) else await self._run(entry)
            if ran is not None:
                runs.append(ran)
        tries = 0
        while True:
            try:
                await self._runner.run(self._after.record(runs))
            except StoreUnavailableError as error:
                tries += 1
                await self._wait_after(error, tries)
                runs = [each._replace(tried=True) for each in runs]
            else:
                return

    async def _run(self, item: Item) -> Runs | None:
        """Run an item's hooks; None where that cannot be done: it stays due, and who flushes hears of it."""
        tries = 0
        while True:
            try:
                return await self._runner.run(self._after.run(item))
            except StoreUnavailableError as error:
                tries += 1
                try:
                    await self._wait_after(error, tries)
                except StoreUnavailableError:
                    self.report(error)
                    return None
            except StoreClosedError:
                raise
            except Exception as error:  # noqa: BLE001 - the others of its batch are not to suffer
                self.report(error)
                return None

    async def _wait_after(self, error: StoreUnavailableError, tries: int) -> None:
        """Wait before another try. What is not recorded when the store closes stays due: it runs again then."""
        if self._closing and (self._gave_up or tries >= _LAST_TRIES):
            self._gave_up = True
            raise error
        # <async>
        await asyncio.sleep(_AGAIN_S)
        # </async>
        # <sync>
        # time.sleep(_AGAIN_S)
        # </sync>

    async def pause(self, delay_s: float) -> bool:
        """Wait, and return True; False at once where the store closes: what is unfinished stays due."""
        deadline = time.monotonic() + delay_s
        while (left_s := deadline - time.monotonic()) > 0:
            if self._closing:
                return False
            await self._signal.wait_async(0, left_s, lambda: self._closing)
        return True

    # Ending

    async def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was put here is done and recorded; raises `HookError` if it takes longer."""
        deadline = time.monotonic() + (_WAIT_S * 1000 if timeout_s is None else timeout_s)
        await self._clear_up()
        self._press(1)
        try:
            while self.unfinished:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise HookError(
                        f"{self.unfinished} background runs are not done after {timeout_s:g} s",
                        hint="Flush again with more time; what is due stays due, and nothing is lost.",
                    )
                await self._signal.wait_async(0, left_s, lambda: not self.unfinished)
        finally:
            self._press(-1)
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise HookError(
                f"background runs could not be recorded: {trouble}", hint="Open the store again: what is due runs then."
            ) from trouble

    def _press(self, more: int) -> None:
        """Have the workers wait for no batch to fill, as long as somebody waits for them."""
        with self._lock:
            self._hurry += more
        self._signal.wake()

    async def close(self) -> None:
        """Finish what is there, and let the workers go. Raises `HookError` inside a hook, which would wait for itself.

        What a hook asked to be asked again for stays due, and what the store cannot take.
        """
        if running_hooks():
            raise HookError("a hook cannot close the store", hint="Close it where it was opened.")
        await self._clear_up()
        with self._lock:
            if self.unfinished:
                self._start()
            self._closing = True
        self._press(1)
        for worker in self._workers:
            # <async>
            await asyncio.wait((worker,))
            # </async>
            # <sync>
            # worker.join()
            # </sync>
