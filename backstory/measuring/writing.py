"""Writing, measured: single sets by many tasks, threads or one caller, and batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from backstory.async_store import AsyncStateStore
from backstory.measuring.samples import Burst
from backstory.measuring.workload import batches_of, key, session, value, values
from backstory.opening import open_async
from backstory.store import StateStore

KEYS_EACH: Final = 16
"""How many keys a caller writes in turn."""


async def by_tasks(store: AsyncStateStore, *, callers: int, each: int) -> Burst:
    """Let so many tasks write one `set` at a time, each to a session of its own."""
    payload, names = values(), [key(number) for number in range(KEYS_EACH)]
    calls: list[int] = []

    async def write(scope: str) -> None:
        clock, note, set_ = time.perf_counter_ns, calls.append, store.set
        for number in range(each):
            started = clock()
            await set_(scope, names[number % KEYS_EACH], payload[number % len(payload)])
            note(clock() - started)

    started = time.perf_counter()
    await asyncio.gather(*(write(session(caller)) for caller in range(callers)))
    return Burst(callers * each, time.perf_counter() - started, calls)


def by_tasks_at(url: str, *, callers: int, each: int) -> Burst:
    """Do as `by_tasks` on a store that is opened for it."""

    async def measured() -> Burst:
        async with open_async(url) as store:
            return await by_tasks(store, callers=callers, each=each)

    return asyncio.run(measured())


def by_threads(store: StateStore, *, callers: int, each: int) -> Burst:
    """Let so many threads write one `set` at a time, each to a session of its own."""
    payload, names = values(), [key(number) for number in range(KEYS_EACH)]

    def write(caller: int) -> list[int]:
        scope, calls = session(caller), []
        clock, set_ = time.perf_counter_ns, store.set
        for number in range(each):
            started = clock()
            set_(scope, names[number % KEYS_EACH], payload[number % len(payload)])
            calls.append(clock() - started)
        return calls

    return in_threads(write, callers=callers, each=each)


def in_threads(work: Callable[[int], list[int]], *, callers: int, each: int) -> Burst:
    """Run `work(caller)` in so many threads at once, from the moment that all are ready; it returns call times.

    Raises what a thread raised.
    """
    ready = threading.Barrier(callers + 1)
    calls: list[int] = []
    failures: list[BaseException] = []

    def run(caller: int) -> None:
        ready.wait()
        try:
            calls.extend(work(caller))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that measures
            failures.append(error)

    threads = [threading.Thread(target=run, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        raise failures[0]
    return Burst(callers * each, seconds, calls)


def by_one(store: StateStore, *, count: int) -> Burst:
    """Let one caller write one `set` at a time."""
    payload, names, scope = values(), [key(number) for number in range(KEYS_EACH)], session(0)
    calls: list[int] = []
    clock, note, set_ = time.perf_counter_ns, calls.append, store.set
    begun = time.perf_counter()
    for number in range(count):
        started = clock()
        set_(scope, names[number % KEYS_EACH], payload[number % len(payload)])
        note(clock() - started)
    return Burst(count, time.perf_counter() - begun, calls)


def in_batches(store: StateStore, *, batches: int, size: int) -> Burst:
    """Write batches with `set_many`, each to another session."""
    mapping = {key(number): value(number) for number in range(size)}
    calls: list[int] = []
    begun = time.perf_counter()
    for batch in range(batches):
        started = time.perf_counter_ns()
        store.set_many(session(batch % 4), mapping)
        calls.append(time.perf_counter_ns() - started)
    return Burst(batches * size, time.perf_counter() - begun, calls)


def in_transactions(store: StateStore, *, batches: int, size: int) -> Burst:
    """Write as many single sets to a transaction, each transaction to another session."""
    mapping = {key(number): value(number) for number in range(size)}
    calls: list[int] = []
    begun = time.perf_counter()
    for batch in range(batches):
        started = time.perf_counter_ns()
        scope = session(batch % 4)
        with store.transaction() as transaction:
            for name, payload in mapping.items():
                transaction.set(scope, name, payload)
        calls.append(time.perf_counter_ns() - started)
    return Burst(batches * size, time.perf_counter() - begun, calls)


def fill(store: StateStore, *, events: int, keys: int) -> Burst:
    """Write every key once, then keys at random in batches, until there are so many events."""
    payload = values()
    begun = time.perf_counter()
    for batch, (scope, names) in enumerate(batches_of(events, keys)):
        mapping: dict[str, Any] = {name: payload[(batch + at) % len(payload)] for at, name in enumerate(names)}
        store.set_many(scope, mapping)
    return Burst(events, time.perf_counter() - begun)
