"""Reading, measured: single keys now and at any point, and whole states."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from backstory.measuring.samples import Burst
from backstory.measuring.workload import KEYS_A_SCOPE, key, session
from backstory.store import StateStore

Place = tuple[str, str]


def places(keys: int, *, count: int, seed: int = 1) -> list[Place]:
    """Return so many (scope, key) at random out of those that `fill` wrote."""
    draw = random.Random(seed)  # noqa: S311 - a workload, the same in every run
    return [
        (session(number // KEYS_A_SCOPE), key(number % KEYS_A_SCOPE)) for number in draw.choices(range(keys), k=count)
    ]


def points(events: int, keys: int, *, count: int, seed: int = 2) -> list[int]:
    """Return so many positions at random at which every key has a value."""
    draw = random.Random(seed)  # noqa: S311 - a workload, the same in every run
    return [draw.randint(keys, events) for _ in range(count)]


def current(store: StateStore, wanted: Sequence[Place]) -> Burst:
    """Get the current values of keys, one at a time."""
    calls: list[int] = []
    clock, note, get = time.perf_counter_ns, calls.append, store.get
    begun = time.perf_counter()
    for scope, name in wanted:
        started = clock()
        get(scope, name)
        note(clock() - started)
    return Burst(len(wanted), time.perf_counter() - begun, calls)


def as_of(store: StateStore, wanted: Sequence[Place], at: Sequence[int]) -> Burst:
    """Get the values of keys at positions, one at a time."""
    calls: list[int] = []
    clock, note, get = time.perf_counter_ns, calls.append, store.get
    begun = time.perf_counter()
    for (scope, name), position in zip(wanted, at, strict=True):
        started = clock()
        get(scope, name, as_of=position)
        note(clock() - started)
    return Burst(len(wanted), time.perf_counter() - begun, calls)


def whole(store: StateStore, position: int) -> Burst:
    """Read the whole state at a position; counts keys."""
    begun = time.perf_counter()
    state = store.snapshot(as_of=position)
    seconds = time.perf_counter() - begun
    return Burst(sum(map(len, state.values())), seconds)
