"""Hooks that ask the outside: written once, as steps, and run for either face.

A sync function is asked by a sync hook, which never holds up an event loop; only an async hook can await an async one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Generator
from typing import Any, Self

from backstory.domain.hooks import HookResult
from backstory.hooks.run_context import HookContext

Steps = Generator[Any, Any, HookResult | None]


class Asking:
    """A hook that calls the function which is its first argument.

    `steps` yields what the context gave, and gets it back: at once, or awaited where the function is async.
    """

    def __new__(cls, *given: object, **_: object) -> Self:
        """Make an async hook where the function is async."""
        wanted: Any = cls
        made: Self = super().__new__(_async_twin(wanted) if given and is_async(given[0]) else wanted)
        return made

    def steps(self, context: HookContext) -> Steps:
        """Yield each answer of the context; return the hook's own."""
        raise NotImplementedError

    def __call__(self, context: HookContext) -> HookResult | None:
        """Run the steps."""
        steps = self.steps(context)
        given: Any = None
        while True:
            try:
                given = steps.send(given)
            except StopIteration as end:
                result: HookResult | None = end.value
                return result


def is_async(function: object) -> bool:
    """Return whether calling something gives an awaitable, as far as its definition says."""
    call = getattr(function, "__call__", None)  # noqa: B004 - its own definition is looked at, not whether it has one
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def _awaited(steps: Steps) -> HookResult | None:
    """Run the steps, awaiting what can be awaited."""
    given: Any = None
    error: Exception | None = None
    while True:
        try:
            given = steps.send(given) if error is None else steps.throw(error)
        except StopIteration as end:
            result: HookResult | None = end.value
            return result
        error = None
        if inspect.isawaitable(given):
            try:
                given = await given
            except Exception as raised:  # noqa: BLE001 - the steps get what the function raised, whatever it is
                given, error = None, raised


@functools.cache
def _async_twin(cls: type[Any]) -> type[Any]:
    """Return the class whose call is a coroutine; it has the same name, for it is the same hook."""

    async def call(self: Asking, context: HookContext) -> HookResult | None:
        return await _awaited(self.steps(context))

    names = {"__call__": call, "__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls,), names)
