"""A blocking store with the asynchronous face's shape, so that a test's work is written once for both."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from backstory import StateStore

T = TypeVar("T")


class Awaited:
    """A blocking store whose methods are awaited; the answers are there at once."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Awaited]:
        with self._store.transaction() as tx:
            yield Awaited(tx)


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run work over an `Awaited` store to its end, in this thread and without an event loop."""
    try:
        work.send(None)
    except StopIteration as stop:
        answer: T = stop.value
        return answer
    work.close()
    msg = "the work waited for something that an Awaited store does not give"
    raise AssertionError(msg)


def awaited(store: StateStore) -> Any:
    """Return `store` in the asynchronous face's shape."""
    return Awaited(store)
