"""Calling hooks: the user's code, for blocking callers and for tasks, within its time.

A blocking caller runs a sync hook in its own thread, and one with a timeout in a thread beside it, for nothing else can
be left behind when it hangs; an async hook runs on an event loop of the store's own. A task runs an async hook on its
own loop and a sync one in a thread: neither holds up the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from backstory.context import inside_hook
from backstory.domain.context import Author
from backstory.domain.errors import HookError
from backstory.domain.ports import CallOut, Clock, Program
from backstory.hooks.run_context import HookContext, Subject, World

Finder = Callable[[str, str], Program[tuple[Any, int | None]]]
_NS_PER_US: Final = 1000


class Answer(NamedTuple):
    """What came of one call: what the hook answered or raised, and how long it took."""

    value: Any
    error: BaseException | None
    duration_us: int


class Invocation:
    """One call of one hook."""

    def __init__(
        self,
        hook: Callable[[HookContext], Any],
        subject: Subject,
        *,
        name: str,
        asynchronous: bool,
        timeout_s: float | None,
        author: Author,
        clock: Clock,
        find: Finder,
    ) -> None:
        self._hook = hook
        self._subject = subject
        self._name = name
        self._asynchronous = asynchronous
        self._timeout_s = timeout_s
        self._author = author
        self._clock = clock
        self._find = find
        self.steps: list[dict[str, Any]] = []

    def _context(self, find: Callable[[str, str], Any]) -> HookContext:
        context = HookContext(self._name, self._subject, World(self._clock, find), asynchronous=self._asynchronous)
        self.steps = context.steps
        return context

    # For a blocking caller

    def blocking(self, runner: Any) -> Answer:
        """Call the hook; return what came of it, never raising what the hook raised."""
        started = time.perf_counter_ns()
        if self._asynchronous:

            async def later(scope: str, key: str) -> Any:
                return await asyncio.to_thread(runner.run, self._find(scope, key))

            context = self._context(later)
            value, error = own_loop().run(lambda: self._awaited(context), self._timeout_s)
        else:
            context = self._context(lambda scope, key: runner.run(self._find(scope, key)))
            if self._timeout_s is None:
                value, error = self._called(context)
            else:
                value, error = _beside.run(lambda: self._called(context), self._timeout_s)
        context.end()
        self._freeze()
        return Answer(value, error, (time.perf_counter_ns() - started) // _NS_PER_US)

    def _called(self, context: HookContext) -> tuple[Any, BaseException | None]:
        """Call a sync hook in this thread; what it answers may turn out to be awaitable."""
        with inside_hook(self._name, self._author):
            try:
                value = self._hook(context)
                if inspect.isawaitable(value):
                    value = asyncio.run(_finished(value))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a hook may raise anything; it is recorded
                return None, error
        return value, None

    # For a task

    async def awaiting(self, runner: Any) -> Answer:
        """Do as `blocking` without blocking the event loop."""
        started = time.perf_counter_ns()
        if self._asynchronous:
            context = self._context(lambda scope, key: runner.run(self._find(scope, key)))
            task = asyncio.ensure_future(self._awaited(context))
        else:
            loop = asyncio.get_running_loop()

            def at_once(scope: str, key: str) -> Any:
                return asyncio.run_coroutine_threadsafe(runner.run(self._find(scope, key)), loop).result()

            context = self._context(at_once)
            task = asyncio.ensure_future(_beside.run_async(lambda: self._called(context)))
        try:
            done, _ = await asyncio.wait((task,), timeout=self._timeout_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()  # and never waited for: it may not heed this
        value, error = _outcome(task) if done else (None, late(self._timeout_s))
        context.end()
        self._freeze()
        return Answer(value, error, (time.perf_counter_ns() - started) // _NS_PER_US)

    async def _awaited(self, context: HookContext) -> tuple[Any, None]:
        with inside_hook(self._name, self._author):
            value = self._hook(context)
            return (await value if inspect.isawaitable(value) else value), None

    def _freeze(self) -> None:
        """Keep the steps as they are: a hook that was left behind may still hold their list."""
        self.steps = [dict(step) for step in self.steps]


def pause(delay_s: float) -> CallOut:
    """Return the request to wait."""
    return CallOut(lambda _: time.sleep(delay_s), lambda _: asyncio.sleep(delay_s))


def late(timeout_s: float | None) -> TimeoutError:
    """Return the error of a hook whose time is up."""
    return TimeoutError(f"did not end within {timeout_s:g} s")


async def _finished(value: Awaitable[Any]) -> Any:
    return await value


def _outcome(task: asyncio.Future[tuple[Any, None]]) -> tuple[Any, BaseException | None]:
    if task.cancelled():
        return None, HookError("the hook cancelled itself", hint="Let an async hook return instead.")
    error = task.exception()
    if error is not None:
        if not isinstance(error, Exception):
            raise error
        return None, error
    return task.result()


class _Slot:
    """One call in a thread beside the caller's."""

    __slots__ = ("bell", "context", "outcome", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.context = contextvars.copy_context()
        self.outcome: Any = None
        self.bell = threading.Lock()
        self.bell.acquire()


class Beside:
    """Threads for calls that may have to be left behind; those that return are used again."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[_Slot]] = []
        self._lock = threading.Lock()

    def run(self, work: Callable[[], tuple[Any, BaseException | None]], timeout_s: float) -> Any:
        """Return what the work returns, or (None, TimeoutError) when its time is up; it goes on then, unheard."""
        slot = _Slot(work)
        self._inbox().put(slot)
        if not slot.bell.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX)):
            return None, late(timeout_s)
        return slot.outcome

    async def run_async(self, work: Callable[[], tuple[Any, BaseException | None]]) -> Any:
        """Return what the work returns, without holding up the loop."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def tell(outcome: Any) -> None:
            if not done.done():
                done.set_result(outcome)

        def work_and_tell() -> Any:
            outcome = work()
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, outcome)
            return outcome

        self._inbox().put(_Slot(work_and_tell))
        return await done

    def _inbox(self) -> SimpleQueue[_Slot]:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        inbox: SimpleQueue[_Slot] = SimpleQueue()
        threading.Thread(target=self._serve, args=(inbox,), name="backstory-hook", daemon=True).start()
        return inbox

    def _serve(self, inbox: SimpleQueue[_Slot]) -> None:
        while True:
            slot = inbox.get()
            try:
                slot.outcome = slot.context.run(slot.work)
            except BaseException as error:  # noqa: BLE001 - sys.exit() in a hook ends its call, not the thread
                slot.outcome = (None, error)
            with self._lock:
                self._idle.append(inbox)
            slot.bell.release()
            del slot


_beside = Beside()


class OwnLoop:
    """An event loop in a thread of its own, for async hooks of blocking callers."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="backstory-hook-loop", daemon=True).start()

    def run(
        self, work: Callable[[], Coroutine[Any, Any, Any]], timeout_s: float | None
    ) -> tuple[Any, BaseException | None]:
        """Return (what the work returns, None) or (None, the error), TimeoutError where its time is up."""
        context = contextvars.copy_context()
        bell = threading.Lock()
        bell.acquire()
        tasks: list[asyncio.Task[Any]] = []

        def start() -> None:
            task = self._loop.create_task(work(), context=context)
            tasks.append(task)
            task.add_done_callback(lambda _: bell.release())

        self._loop.call_soon_threadsafe(start)
        if not bell.acquire(timeout=-1 if timeout_s is None else min(timeout_s, threading.TIMEOUT_MAX)):
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
            return None, late(timeout_s)
        return _outcome(tasks[0])


_own_loop: OwnLoop | None = None
_own_loop_lock = threading.Lock()


def _forked() -> None:
    """Begin anew in a forked process: the threads stayed in the other one."""
    global _beside, _own_loop, _own_loop_lock
    _beside, _own_loop, _own_loop_lock = Beside(), None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def own_loop() -> OwnLoop:
    """Return this process's loop for async hooks, made at the first use."""
    global _own_loop  # noqa: PLW0603 - one loop a process
    with _own_loop_lock:
        if _own_loop is None:
            _own_loop = OwnLoop()
        return _own_loop
