"""Turns: one after the other at the same place, in the order of coming, threads and tasks alike."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Hashable

from backstory.domain.ports import CallOut, Program


class _Waiter:
    """One who waits, in a thread or in a task."""

    def __init__(self) -> None:
        self._bell = threading.Lock()
        self._bell.acquire()
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self.called = False

    def call(self) -> None:
        """Say that it is their turn; from any thread."""
        self.called = True
        if self._task is None:
            self._bell.release()
            return
        loop, future = self._task
        if not loop.is_closed():
            loop.call_soon_threadsafe(_finish, future)

    def wait(self, _: object) -> None:
        """Block until the turn comes."""
        self._bell.acquire()

    async def wait_async(self, _: object) -> None:
        """Wait until the turn comes."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._task = (loop, future)
        if not self.called:
            await future


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Turns:
    """Who is at a place, and who waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, deque[_Waiter]] = {}

    @property
    def taken(self) -> bool:
        """Whether anybody is at any place."""
        return bool(self._waiting)

    def take(self, place: Hashable) -> Program[None]:
        """Return when nobody else is there; then `give` must follow."""
        with self._lock:
            queue = self._waiting.get(place)
            if queue is None:
                self._waiting[place] = deque()
                return
            waiter = _Waiter()
            queue.append(waiter)
        try:
            yield CallOut(waiter.wait, waiter.wait_async)
        except BaseException:
            self._leave(place, waiter)
            raise

    def _leave(self, place: Hashable, waiter: _Waiter) -> None:
        with self._lock:
            queue = self._waiting.get(place)
            if queue is not None and waiter in queue:
                queue.remove(waiter)
                return
        self.give(place)  # the turn had come already

    def give(self, place: Hashable) -> None:
        """Let the next one have the place."""
        with self._lock:
            queue = self._waiting[place]
            if not queue:
                del self._waiting[place]
                return
            following = queue.popleft()
        following.call()
