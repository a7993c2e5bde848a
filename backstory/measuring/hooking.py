"""Hooks, measured: the same writes without any, behind no-op before-hooks, and before a no-op after-hook.

Several stores are written in turns of a few milliseconds, so that a noisy machine touches all alike. Every value is
written once: what was looked through for secrets lately is not again, and an agent's values seldom come twice.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, Final, NamedTuple

from backstory.measuring.samples import MICROSECOND, latencies
from backstory.measuring.workload import PAYLOAD_BYTES, key, session, value
from backstory.measuring.writing import KEYS_EACH
from backstory.store import StateStore

BURST: Final = 50
"""Writes in a turn that ends before the background begins: what a caller sees that pauses now and then."""
STEADY: Final = 500
"""Writes in a turn in which the background works beside its caller, who never pauses."""
_LINE: Final = 100
_numbers: Final = count()
Values = Callable[[int], Sequence[dict[str, Any]]]


def no_op(_: object) -> None:
    """Do nothing: what is measured is all around a hook."""


def with_before(store: StateStore, hooks: int = 1) -> StateStore:
    """Return the store with so many no-op hooks before every write."""
    for number in range(hooks):
        store.hooks.register("before_state_write", no_op, name=f"before-{number}")
    return store


def with_after(store: StateStore) -> StateStore:
    """Return the store with a no-op hook in the background of every write."""
    store.hooks.register("after_state_write", no_op, name="after")
    return store


# Values


def fresh(size: int = PAYLOAD_BYTES) -> Values:
    """Return what makes values of about so many bytes that nobody has written yet: with lines, as a tool finds them."""

    def made(each: int) -> list[dict[str, Any]]:
        return [_longer(value(number), size) for number in islice(_numbers, each)]

    return made


def secret(size: int = PAYLOAD_BYTES) -> Values:
    """Do as `fresh`, with a field in each that is not to be recorded."""
    make = fresh(size)
    return lambda each: [{**one, "password": one["note"][:20]} for one in make(each)]


def known(size: int = PAYLOAD_BYTES) -> Values:
    """Return what gives the same few values again and again."""
    few = fresh(size)(KEYS_EACH)
    return lambda each: [few[number % len(few)] for number in range(each)]


def _longer(one: dict[str, Any], size: int) -> dict[str, Any]:
    lines = [f"{number:03d} {(one['note'] * 2)[: _LINE - 7]}" for number in range((size - PAYLOAD_BYTES) // _LINE)]
    return {**one, "found": lines} if lines else one


# Turns


class Writer(NamedTuple):
    """One who takes turns: a store, and the values that go there."""

    store: StateStore
    values: Values


@dataclass(slots=True)
class Seen:
    """What a caller saw: each call's time, and how long all took until the last run of a hook was recorded too."""

    calls_ns: list[int] = field(default_factory=list)
    flushed_s: float = 0.0
    recorded: int = 0

    def figures(self) -> dict[str, float]:
        """Return the calls' times, the mean with the background's work, and the events of both a second."""
        writes, found = len(self.calls_ns), latencies(self.calls_ns)
        return {
            "p50 us": found["p50 us"],
            "mean us": sum(self.calls_ns) / writes / MICROSECOND,
            "p99 us": found["p99 us"],
            "flushed us": self.flushed_s / writes * 1e6,
            "events/s": self.recorded / self.flushed_s,
        }


def in_turns(writers: Mapping[str, Writer], *, turns: int, each: int) -> dict[str, Seen]:
    """Let each write so many values a turn, one after the other, each round beginning with another one.

    The background is waited for at the end of a turn, outside of the calls' time and inside of `flushed_s`; the first
    turn does not count. Raises `RuntimeError` where a run of a hook was not recorded.
    """
    order = list(writers)
    for who in order:
        _turn(writers[who], Seen(), each)
    seen = {who: Seen() for who in writers}
    for turn in range(turns):
        first = turn % len(order)
        for who in order[first:] + order[:first]:
            _turn(writers[who], seen[who], each)
    return seen


def _turn(writer: Writer, seen: Seen, each: int) -> None:
    store, values = writer.store, writer.values(each)
    names, scope = [key(number) for number in range(KEYS_EACH)], session(0)
    clock, note, set_ = time.perf_counter_ns, seen.calls_ns.append, store.set
    hooks = len(store.hooks.list())
    position = store.position()
    gc.collect(0)
    begun = time.perf_counter()
    for number, payload in enumerate(values):
        started = clock()
        set_(scope, names[number % KEYS_EACH], payload)
        note(clock() - started)
    if hooks:
        store.hooks.flush()
    seen.flushed_s += time.perf_counter() - begun
    recorded = store.position() - position
    seen.recorded += recorded
    if recorded != each * (1 + hooks):
        raise RuntimeError(f"{recorded} events for {each} writes with {hooks} hooks: a run was not recorded")
