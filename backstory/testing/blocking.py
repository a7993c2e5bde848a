"""The asyncio face in blocking clothes, so that one test holds both faces to the same rules.

Each call runs to its end on an event loop of its own. The ambient context of the caller is not seen inside.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Self, cast

from backstory.async_state import AsyncTransaction
from backstory.async_store import AsyncStateStore, AsyncStateView
from backstory.opening import open_async
from backstory.store import StateStore

__all__ = ["drop_projection", "open_blocking"]


def open_blocking(url: str, **settings: Any) -> StateStore:
    """Open an asyncio store and return it as a blocking one."""
    runner = asyncio.Runner()

    async def opened() -> AsyncStateStore:
        return await open_async(url, **settings)

    try:
        store = _Store(runner.run(opened()), runner)
    except BaseException:
        runner.close()
        raise
    store.owner = True
    return cast("StateStore", store)


def drop_projection(store: StateStore) -> None:
    """Throw the current-state projection of a store, of either face, away: no user does, without building it again."""
    either: Any = store
    answer = either._runner.run(either._core.engine.drop_state())  # noqa: SLF001
    if inspect.iscoroutine(answer):
        either.wait(answer)


class _Blocking:
    """Passes everything on, and waits for what would have to be awaited."""

    def __init__(self, inner: Any, runner: asyncio.Runner, context: Context | None = None) -> None:
        self._inner = inner
        self._loop = runner
        self._context = context or copy_context()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._dressed(found(*args, **kwargs))

        return call

    def wait(self, awaitable: Any) -> Any:
        """Return what an awaitable comes to."""

        async def waited() -> Any:
            return await awaitable

        return self._loop.run(waited(), context=self._context)

    def _dressed(self, result: Any) -> Any:
        if inspect.iscoroutine(result) or isinstance(result, AsyncStateView):
            result = self.wait(result)
        if isinstance(result, AsyncTransaction):
            return _Transaction(result, self._loop)
        if isinstance(result, AsyncStateStore):
            return _Store(result, self._loop)
        if isinstance(result, AsyncStateView):
            return _Blocking(result, self._loop)
        return self._each(result) if inspect.isasyncgen(result) else result

    def _each(self, events: Any) -> Iterator[Any]:
        done = object()
        while (event := self.wait(anext(events, done))) is not done:
            yield event


class _Transaction(_Blocking):
    def __enter__(self) -> Self:
        self.wait(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait(self._inner.__aexit__(kind, error, trace))


class _Hooks(_Blocking):
    def register(self, *args: Any, **kwargs: Any) -> Any:
        """Register a hook, and say so in the log at once, as the blocking face does."""

        async def registered() -> Any:
            handle = self._inner.register(*args, **kwargs)
            await self._inner._runner.run(self._inner._path().announcer.announce())  # noqa: SLF001
            return handle

        return self.wait(registered())


class _Store(_Blocking):
    owner = False

    @property
    def hooks(self) -> _Hooks:
        """The hooks of the store."""
        return _Hooks(self._inner.hooks, self._loop)

    def close(self) -> None:
        """Close the store, and the loop with it unless this is a fork's."""
        self.wait(self._inner.aclose())
        if self.owner:
            self._loop.close()
