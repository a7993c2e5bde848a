"""Programs: composing and driving the generators in which reads are written.

`gather` advances many programs in step, so that an engine over a network can send one round
of requests for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from backstory.domain.ports import Append, AppendAll, CallOut, Here, Program, Step

T = TypeVar("T")
_FOR_RUNNERS: Final = frozenset({Append, AppendAll, CallOut, Here})


class Round(NamedTuple):
    """Requests that may be answered in any order, together; the reply is a list."""

    requests: list[Any]


def gather(programs: Sequence[Program[T]]) -> Program[list[T]]:
    """Return the answers of several programs, driven in step."""
    answers: list[Any] = [None] * len(programs)
    waiting: list[tuple[int, Program[T]]] = list(enumerate(programs))
    replies: list[Any] = [None] * len(programs)
    while waiting:
        requests: list[Any] = []
        still: list[tuple[int, Program[T]]] = []
        for (index, program), reply in zip(waiting, replies, strict=True):
            try:
                requests.append(program.send(reply))
                still.append((index, program))
            except StopIteration as stop:
                answers[index] = stop.value
        waiting = still
        if waiting:
            replies = yield Round(requests)
    return answers


def drive(program: Program[T], execute: Callable[[Any], Any]) -> T:
    """Run a program to its end; `execute` answers one request, and its errors go to the program."""
    try:
        request = program.send(None)
        while True:
            try:
                reply = execute(request)
            except Exception as error:  # noqa: BLE001 - handed to the program, which may not want it
                request = program.throw(error)
            else:
                request = program.send(reply)
    except StopIteration as stop:
        answer: T = stop.value
        return answer


def _nothing() -> None:
    pass


async def seen_through(work: asyncio.Future[T], *, stop: Callable[[], None] = _nothing) -> T:
    """Return what comes of the work of a thread; a task that is cancelled meanwhile learns it when that has ended.

    Nobody may clean up, or end a program, under the hands of a thread that is still at work. `stop` asks it to give up.
    """
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop()
        await _end_of(work)
        raise


async def in_a_thread(executor: Executor, work: Callable[[], T]) -> T:
    """Return what comes of work that a thread of an executor does; seen through, and no dearer where nobody cancels."""
    done = executor.submit(work)
    try:
        return await asyncio.wrap_future(done)
    except asyncio.CancelledError:
        await _end_of(asyncio.wrap_future(done))
        raise


async def _end_of(work: asyncio.Future[Any]) -> None:
    while not work.done():
        with suppress(asyncio.CancelledError):  # it is known already
            await asyncio.wait([work])
    if not work.cancelled():
        work.exception()  # nobody wants to know


def _finished(program: Program[Any], reply: Any, error: Exception | None) -> tuple[bool, Any]:
    try:
        return False, program.send(reply) if error is None else program.throw(error)
    except StopIteration as stop:
        return True, stop.value


def advance(program: Program[Any], request: Any, execute: Callable[[Any], Any]) -> Step:
    """Answer an engine's requests until the program ends or asks for something else."""
    while True:
        reply, error = None, None
        try:
            reply = execute(request)
        except Exception as caught:  # noqa: BLE001 - handed to the program, which may not want it
            error = caught
        finished, payload = _finished(program, reply, error)
        if finished or type(payload) in _FOR_RUNNERS:
            return Step(finished, payload)
        request = payload


async def advance_async(program: Program[Any], request: Any, execute: Callable[[Any], Awaitable[Any]]) -> Step:
    """Do as `advance`; `execute` answers a round whole."""
    while True:
        reply, error = None, None
        try:
            reply = await execute(request)
        except Exception as caught:  # noqa: BLE001 - handed to the program, which may not want it
            error = caught
        finished, payload = _finished(program, reply, error)
        if finished or type(payload) in _FOR_RUNNERS:
            return Step(finished, payload)
        request = payload


async def drive_async(program: Program[T], execute: Callable[[Any], Awaitable[Any]]) -> T:
    """Run a program of engine requests to its end; `execute` answers a round whole."""
    finished, payload = _finished(program, None, None)
    if not finished:
        finished, payload = await advance_async(program, payload, execute)
    if not finished:
        msg = f"a program of reads asked for {payload!r}"
        raise AssertionError(msg)
    answer: T = payload
    return answer
