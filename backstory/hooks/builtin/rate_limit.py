"""Rate limit: so many changes within a span of time, and no more."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import ClassVar, Final, Literal

from backstory.domain.events import to_micros
from backstory.domain.hooks import HookResult
from backstory.hooks.builtin import _options
from backstory.hooks.builtin._places import BEFORE_CHANGES, place, scope_text
from backstory.hooks.run_context import HookContext

__all__ = ["By", "RateLimit"]

By = Literal["actor", "scope", "key", "store"]

_BY: Final[tuple[By, ...]] = ("actor", "scope", "key", "store")
_SECOND_US: Final = 1_000_000
# Threads read the clock before they get the lock: times this little out of order are no clock that was set back.
_UNORDERED_US: Final = _SECOND_US


class RateLimit:
    """Cancels a change where there were `limit` of them within the last `window_s` seconds.

    They are counted for each actor (those without one count as one), each scope, each key, or for the whole store. A
    change that this hook refused does not count, and one that is begun anew counts once. The reason says when to try
    again; with `wait` the operation itself waits for that moment, and is given up after `max_attempts`. Counts are this
    process's.

    Raises `InvalidValueError` for options that make no sense.
    """

    points: ClassVar[tuple[str, ...]] = BEFORE_CHANGES

    def __init__(
        self,
        limit: int,
        window_s: float,
        *,
        by: By = "actor",
        wait: bool = False,
        max_attempts: int = 10,
        name: str = "rate-limit",
    ) -> None:
        self.name: Final = _options.name_of(name)
        self._limit = _options.count("limit", limit)
        self._window_s = _options.seconds("window_s", window_s)
        self._by = _options.one_of("by", by, _BY)
        self._wait = _options.flag("wait", wait)
        self._attempts = _options.count("max_attempts", max_attempts)
        self._windows = Windows(limit, round(self._window_s * _SECOND_US))

    def __call__(self, context: HookContext) -> HookResult | None:
        """Let the change pass, or say when to try again."""
        now_us = to_micros(context.now())
        wait_us: int = context.call(self._windows.admit, self._whose(context), str(context.operation_id), now_us)
        if not wait_us:
            return None
        wait_s = wait_us / _SECOND_US
        if self._wait:
            return HookResult.retry(wait_s, self._attempts)
        return HookResult.cancel(
            f"the limit of {self._limit} in {self._window_s:g} s for {self._named(context)} is reached: "
            f"try again in {wait_s:.6g} s"
        )

    def _whose(self, context: HookContext) -> str:
        if self._by == "actor":
            return context.actor or ""
        if self._by == "scope":
            return scope_text(context)
        return place(context) if self._by == "key" else ""

    def _named(self, context: HookContext) -> str:
        if self._by == "store":
            return "the store"
        whose = self._whose(context)
        return f"{self._by} {whose}" if whose else f"operations without {self._by}"


class Windows:
    """A sliding window for each of those who are counted. Any number of threads may use it."""

    def __init__(self, limit: int, window_us: int) -> None:
        self._limit = limit
        self._window_us = window_us
        self._lock = threading.Lock()
        #: When which operation was admitted, in that order, for each of those who are counted.
        self._times: OrderedDict[str, OrderedDict[str, int]] = OrderedDict()
        self._now = 0
        self._offset = 0

    def admit(self, whose: str, operation: str, now_us: int) -> int:
        """Return 0 and count an operation, or how many microseconds are left until there is room."""
        with self._lock:
            now = self._at(now_us)
            self._forget(now - self._window_us)
            times = self._times.setdefault(whose, OrderedDict())
            while times and _first(times) <= now - self._window_us:
                times.popitem(last=False)
            if operation in times:
                return 0
            if len(times) == self._limit:
                return _first(times) + self._window_us - now
            times[operation] = now
            self._times.move_to_end(whose)
            return 0

    def _at(self, now_us: int) -> int:
        """Return the time on a clock of its own, which stands still while the caller's is set back."""
        if self._now - (now_us + self._offset) > _UNORDERED_US:
            self._offset = self._now - now_us
        self._now = max(self._now, now_us + self._offset)
        return self._now

    def _forget(self, until: int) -> None:
        """Forget those whose last change is no longer within the window; they stand in the order of it."""
        while self._times:
            whose, times = next(iter(self._times.items()))
            if times[next(reversed(times))] > until:
                return
            del self._times[whose]


def _first(times: OrderedDict[str, int]) -> int:
    return next(iter(times.values()))
