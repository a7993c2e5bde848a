"""Stores with hooks on either face, in blocking clothes, and what tests ask of the runs that they recorded."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import backstory
from backstory.testing.blocking import _Blocking, open_blocking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import RecordedEvent

FACES = ("blocking", "asyncio")


class _Clothed:
    """An asyncio store in blocking clothes, its hooks too."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.hooks: Any = _Blocking(store._inner.hooks, store._loop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@contextmanager
def opened(face: str, url: str, **settings: Any) -> Iterator[Any]:
    """Open a store on a face, as a blocking one."""
    store: Any = backstory.open(url, **settings) if face == "blocking" else _Clothed(open_blocking(url, **settings))
    try:
        yield store
    finally:
        store.close()


def runs(store: Any, *, since: int = 0, name: str | None = None) -> list[RecordedEvent]:
    """Return the recorded runs of hooks since a position, of one hook or all."""
    stream = None if name is None else f"hook:{name}"
    return list(store.log(since=since, scope=stream, types=["hook.executed", "hook.failed"]))


def kinds(events: list[RecordedEvent]) -> list[str]:
    """Return the types of events, short."""
    return [event.type for event in events]
