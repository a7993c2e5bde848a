"""An asyncio store whose event loop runs in a thread, so that one test drives either face: its background goes on."""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, Self

import backstory
from backstory.async_store import AsyncStateStore
from backstory.migrations.async_face import AsyncMigrationPlan

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import TracebackType

FACES: Final = ("blocking", "asyncio")


class OnALoop:
    """Calls what it wraps on a loop, from any thread, and waits for the answer."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop, context: Context | None = None) -> None:
        self.inner = inner
        self.loop = loop
        self._context = context

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what comes of work on the loop, done in the caller's context or in a transaction's own."""
        context = copy_context() if self._context is None else self._context

        async def done() -> Any:
            return await self.loop.create_task(work, context=context)

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return OnALoop(found, self.loop) if name in {"hooks", "schemas", "migrations", "backups"} else found

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._wait(self._called(found, args, kwargs))

        return call

    async def _called(self, found: Any, args: Any, kwargs: Any) -> Any:
        answer = found(*[each.inner if isinstance(each, OnALoop) else each for each in args], **kwargs)
        if inspect.isasyncgen(answer):
            return [each async for each in answer]
        if inspect.isawaitable(answer):
            answer = await answer
        return OnALoop(answer, self.loop) if isinstance(answer, (AsyncStateStore, AsyncMigrationPlan)) else answer

    def transaction(self) -> _OnALoopTransaction:
        return _OnALoopTransaction(self.inner.transaction(), self.loop, copy_context())

    def close(self) -> None:
        """Close the store."""
        self._wait(self.inner.aclose())


class _OnALoopTransaction(OnALoop):
    def __enter__(self) -> Self:
        self._wait(self.inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait(self.inner.__aexit__(kind, error, trace))


@contextmanager
def opened(face: str, url: str, **settings: Any) -> Iterator[Any]:
    """Open a store on a face, to be used from any thread as a blocking one."""
    if face == "blocking":
        with backstory.open(url, **settings) as blocking:
            yield blocking
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:

        async def opening() -> AsyncStateStore:
            return await backstory.open_async(url, **settings)

        store = OnALoop(asyncio.run_coroutine_threadsafe(opening(), loop).result(), loop)
        try:
            yield store
        finally:
            store.close()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
