"""Aside: work on files would hold up an event loop, so a thread does it there; a blocking caller does it himself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import Any, Final, TypeVar

from backstory.domain.ports import CallOut, Here, Program
from backstory.infrastructure.programs import seen_through

__all__ = ["Progress", "aside", "aside_telling", "tell", "telling", "watching"]

T = TypeVar("T")
Progress = Callable[[int, int], None]
#: A loop that was closed runs nothing any more: it is looked at so often.
_PATIENCE_S: Final = 1.0


def aside(work: Callable[[], T]) -> Program[T]:
    """Return what a blocking function returns; raises what it raises."""
    answer: T = yield request_of(work)
    return answer


def watching() -> Program[Callable[[], bool]]:
    """Return what says whether anybody in this process commits at the moment."""

    async def awaiting(runner: Any) -> Any:
        return runner.group

    group = yield CallOut(lambda runner: runner.group, awaiting)
    return lambda: group.busy


def request_of(work: Callable[[], T], *, stop: Callable[[], None] = lambda: None) -> CallOut:
    """Return the request that has a blocking function run where it holds nobody up; `stop` asks it to give up."""

    async def awaiting(_: Any) -> T:
        run = copy_context().run
        return await seen_through(asyncio.get_running_loop().run_in_executor(None, run, work), stop=stop)

    return CallOut(lambda _: work(), awaiting)


def aside_telling(work: Callable[[Callable[[int], None]], T], progress: Progress | None, total: int) -> Program[T]:
    """Return what a blocking function returns that tells how far it is, in the caller's own thread or task.

    What `progress` raises is raised where the work tells, and ends it. Where its task is cancelled, it is told so when
    it next tells.
    """
    told = telling(progress, total)
    stopped = threading.Event()

    async def awaiting(runner: Any) -> T:
        loop = asyncio.get_running_loop()

        def from_thread(done: int) -> None:
            if stopped.is_set():
                raise _StoppedError
            if progress is not None:
                _told_on(loop, lambda: told(done))

        done: T = await request_of(lambda: work(from_thread), stop=stopped.set).awaiting(runner)
        return done

    answer: T = yield CallOut(lambda _: work(told), awaiting)
    return answer


class _StoppedError(Exception):
    """Nobody waits for the work any more."""


def _told_on(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Have a call made on an event loop and wait for it; raises what it raises."""
    answer: Future[None] = Future()

    def called() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - it goes on in the thread
            answer.set_exception(error)
        else:
            answer.set_result(None)

    loop.call_soon_threadsafe(called)
    while not answer.done():
        wait([answer], timeout=_PATIENCE_S)
        if loop.is_closed() and not answer.done():
            raise _StoppedError
    answer.result()


def telling(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Return what tells how far it is."""

    def told(done: int) -> None:
        if progress is not None:
            progress(min(done, total), total)

    return told


def tell(progress: Progress | None, done: int, total: int) -> Program[None]:
    """Tell how far it is, in the caller's own thread or task."""
    if progress is not None:
        yield Here()
        progress(done, total)
