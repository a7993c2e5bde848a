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
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from backstory.context import Place, inside_hook
from backstory.domain.context import Author
from backstory.domain.errors import HookError
from backstory.domain.ports import CallOut, Clock, Program
from backstory.hooks.run_context import HookContext, Outside, Subject, World

Finder = Callable[[str, str], Program[tuple[Any, int | None]]]
Waiting = Callable[[Coroutine[Any, Any, Any]], Any]
#: What a hook may raise and the caller goes on.
_FAILURES: Final = (Exception, SystemExit, GeneratorExit, asyncio.CancelledError)
_ALIVE_S: Final = 1.0
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
        outside: Outside | None = None,
    ) -> None:
        """Take a hook and what it is run for; `outside` (None: the world) is where its context takes things from."""
        self._hook = hook
        self._subject = subject
        self._name = name
        self._asynchronous = asynchronous
        self._timeout_s = timeout_s
        self._author = author
        self._clock = clock
        self._find = find
        self._outside = outside
        self.steps: list[dict[str, Any]] = []
        #: What the hook wrote through the store, beside its operation.
        self.written: set[Place] = set()

    def _context(self, find: Callable[[str, str], Any], wait: Waiting) -> HookContext:
        world = World(self._clock, find) if self._outside is None else self._outside
        context = HookContext(self._name, self._subject, world, asynchronous=self._asynchronous, wait=wait)
        self.steps = context.steps
        return context

    # For a blocking caller

    def blocking(self, runner: Any) -> Answer:
        """Call the hook; return what came of it. Raises only what is to end the caller too: an interrupt."""
        started = time.perf_counter_ns()
        if self._asynchronous:

            async def later(scope: str, key: str) -> Any:
                return await asyncio.to_thread(runner.run, self._find(scope, key))

            context = self._context(later, _waited)
        else:
            context = self._context(lambda scope, key: runner.run(self._find(scope, key)), _waited)
        try:
            if self._asynchronous:
                value, error = own_loop().run(lambda: self._awaited(context), self._timeout_s)
            elif self._timeout_s is None:
                value, error = self._called(context, _waited)
            else:
                value, error = _beside.run(lambda: self._called(context, _waited), self._timeout_s)
        finally:
            context.end()
        return self._answer(value, error, started)

    def _called(self, context: HookContext, wait: Waiting) -> tuple[Any, BaseException | None]:
        """Call a sync hook in this thread; what it answers may turn out to be awaitable."""
        with inside_hook(self._name, self._author, self.written):
            try:
                value = self._hook(context)
                if inspect.isawaitable(value):
                    value = wait(_finished(value))
            except BaseException as error:  # noqa: BLE001 - a hook may raise anything; it is judged in the end
                return None, error
        return value, None

    # For a task

    async def awaiting(self, runner: Any) -> Answer:
        """Do as `blocking` without blocking the event loop."""
        started = time.perf_counter_ns()
        loop = asyncio.get_running_loop()

        def wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return _answered(asyncio.run_coroutine_threadsafe(_outcome_of(coroutine), loop).result())

        if self._asynchronous:
            context = self._context(lambda scope, key: runner.run(self._find(scope, key)), wait)
            task = asyncio.ensure_future(self._awaited(context))
        else:
            context = self._context(lambda scope, key: wait(runner.run(self._find(scope, key))), wait)
            task = asyncio.ensure_future(_beside.run_async(lambda: self._called(context, wait)))
        try:
            done, _ = await asyncio.wait((task,), timeout=self._timeout_s)
            if not done:
                task.cancel()  # and never waited for: it may not heed this
                task.add_done_callback(_heard)
            value, error = _outcome(task) if done else (None, late(self._timeout_s))
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(_heard)
            raise
        finally:
            context.end()
        return self._answer(value, error, started)

    async def _awaited(self, context: HookContext) -> tuple[Any, BaseException | None]:
        with inside_hook(self._name, self._author, self.written):
            try:
                value = self._hook(context)
                return (await value if inspect.isawaitable(value) else value), None
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - it would end the event loop, not only the hook
                return None, error

    def _answer(self, value: Any, error: BaseException | None, started: int) -> Answer:
        """Return what came of it, with the steps as they are now: a hook that was left behind still holds their list.

        A hook cannot end the program it runs in, nor the task: `SystemExit` and the like are its failure. What is
        meant for the program, such as an interrupt, is raised.
        """
        if error is not None and not isinstance(error, _FAILURES):
            raise error
        self.steps = [dict(step) for step in self.steps]
        return Answer(value, error, (time.perf_counter_ns() - started) // _NS_PER_US)


def pause(delay_s: float) -> CallOut:
    """Return the request to wait."""
    return CallOut(lambda _: time.sleep(delay_s), lambda _: asyncio.sleep(delay_s))


def late(timeout_s: float | None) -> TimeoutError:
    """Return the error of a hook whose time is up."""
    return TimeoutError(f"did not end within {timeout_s:g} s")


async def _finished(value: Awaitable[Any]) -> Any:
    return await value


def _waited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine comes to, for a sync hook of a blocking caller: its thread may have a loop already."""
    return _answered(own_loop().run(lambda: _outcome_of(coroutine), None))


def _answered(outcome: tuple[Any, BaseException | None]) -> Any:
    value, error = outcome
    if error is not None:
        raise error
    return value


async def _outcome_of(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    try:
        return await coroutine, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - told to who waits
        return None, error


def _outcome(task: asyncio.Future[tuple[Any, BaseException | None]]) -> tuple[Any, BaseException | None]:
    if task.cancelled():
        return None, HookError("the hook cancelled itself", hint="Let an async hook return instead.")
    return task.result()


def _heard(task: asyncio.Future[Any]) -> None:
    """Take note of what became of a call that was left behind, so that nobody is told that nobody did."""
    if not task.cancelled():
        task.exception()


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
        #: Whether something holds it up that does not let go.
        self.stuck = False

    def run(
        self, work: Callable[[], Coroutine[Any, Any, Any]], timeout_s: float | None
    ) -> tuple[Any, BaseException | None]:
        """Return (what the work returns, None) or (None, the error), TimeoutError where its time is up."""
        context = contextvars.copy_context()
        context.run(_depth.set, _depth.get() + 1)
        bell = threading.Lock()
        bell.acquire()
        tasks: list[asyncio.Task[Any]] = []

        def start() -> None:
            task = self._loop.create_task(work(), context=context)
            tasks.append(task)
            task.add_done_callback(lambda _: bell.release())

        self._loop.call_soon_threadsafe(start)
        if not bell.acquire(timeout=-1 if timeout_s is None else min(timeout_s, threading.TIMEOUT_MAX)):
            self._leave(tasks)
            return None, late(timeout_s)
        return _outcome(tasks[0])

    def _leave(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Cancel a call whose time is up; see whether the loop still turns."""
        turned = threading.Event()

        def cancel() -> None:
            for task in tasks:
                task.cancel()
            turned.set()

        self._loop.call_soon_threadsafe(cancel)
        self.stuck = not turned.wait(_ALIVE_S)


#: How many of the loops are those inside whose calls the caller is.
_depth: ContextVar[int] = ContextVar("backstory_loop_depth", default=0)
_own_loops: list[OwnLoop] = []
_own_loops_lock = threading.Lock()


def _forked() -> None:
    """Begin anew in a forked process: the threads stayed in the other one."""
    global _beside, _own_loops, _own_loops_lock
    _beside, _own_loops, _own_loops_lock = Beside(), [], threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def own_loop() -> OwnLoop:
    """Return this process's loop for async hooks, made at the first use, and anew where a hook holds it up for ever.

    An async hook that uses the blocking store holds up its loop until the store has answered: what has to be awaited
    for that runs on the next one.
    """
    depth = _depth.get()
    with _own_loops_lock:
        while len(_own_loops) <= depth:
            _own_loops.append(OwnLoop())
        if _own_loops[depth].stuck:
            _own_loops[depth] = OwnLoop()
        return _own_loops[depth]
