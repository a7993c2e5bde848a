"""Hooks of which one call takes nothing from outside: cut off in either face, whichever thread they run in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from tests.support.hook_runs import cut_off


class CutOff:
    """A hook that, from `armed` on, fails in whatever run takes from the clock, chance, files or sockets."""

    def __init__(self, hook: Any) -> None:
        self.armed = False
        self.runs = 0
        self._hook = hook

    def __call__(self, context: Any) -> Any:
        self.runs += 1
        if not self.armed:
            return self._hook(context)
        return _watched(lambda: self._hook(context))


class CutOffLater(CutOff):
    """The same of an async hook: each of its steps is watched, and not the loop between them."""

    async def __call__(self, context: Any) -> Any:
        self.runs += 1
        return await (_Watched(self._hook(context)) if self.armed else self._hook(context))


def _watched(work: Callable[[], Any]) -> Any:
    """Return or raise what the work does; raise that something was taken, before what it raises itself."""
    value: Any = None
    raised: BaseException | None = None
    with cut_off():
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised = error
    if raised is not None:
        raise raised
    return value


class _Watched:
    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        go_on: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                waits = _watched(go_on)
            except StopIteration as end:
                return end.value
            try:
                go_on = partial(self._coroutine.send, (yield waits))
            except BaseException as error:  # noqa: BLE001 - it is the hook's to see
                go_on = partial(self._coroutine.throw, error)


def cut(hook: Any) -> CutOff:
    """Return a hook that can be armed."""
    later = inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004
    return CutOffLater(hook) if later else CutOff(hook)
