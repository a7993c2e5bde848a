"""Waiting for the log to grow: one signal for threads and event loops alike.

An engine without a notification of its own asks `changed` every `poll_s` whether another
process wrote; commits of this process wake everybody at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

from backstory.domain.ports import Stop, never


class Signal:
    """Wakes those who wait; `changed` lets them see what other processes did."""

    def __init__(
        self,
        changed: Callable[[int], bool],
        *,
        poll_s: float | None,
        changed_async: Callable[[int], Awaitable[bool]] | None = None,
    ) -> None:
        self._changed = changed
        self._changed_async = changed_async
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._generation = 0
        self._loops: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    def wake(self) -> None:
        """Let everybody who waits look again; never blocks for long."""
        with self._lock:
            self._generation += 1
            self._condition.notify_all()
            loops, self._loops = self._loops, {}
        for future, loop in loops.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish, future)

    def wait(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Block until the log is past a position, somebody woke us or `stop` says so, or the time is over.

        `stop` is asked after the generation was read: what becomes true later is followed by a wake that is seen.
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            generation = self._generation
        while True:
            if stop() or self._changed(position):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._lock:
                if self._generation != generation:
                    return True
                self._condition.wait(left if self._poll_s is None else min(left, self._poll_s))
                if self._generation != generation:
                    return True

    async def wait_async(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Do as `wait` without blocking the event loop."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            future: asyncio.Future[None] = loop.create_future()
            with self._lock:
                self._loops[future] = loop
            try:
                if stop() or await self._look(position):
                    return True
                left = deadline - loop.time()
                if left <= 0:
                    return False
                pause = left if self._poll_s is None else min(left, self._poll_s)
                done, _ = await asyncio.wait((future,), timeout=pause)
                if done:
                    return True
            finally:
                with self._lock:
                    self._loops.pop(future, None)
                future.cancel()

    async def _look(self, position: int) -> bool:
        return self._changed(position) if self._changed_async is None else await self._changed_async(position)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
