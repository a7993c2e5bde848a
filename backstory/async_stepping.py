"""The asyncio face: replay sessions, which go through what happened event by event.

`stepping.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from backstory.core import PAGE, Core, Filter
from backstory.counterfactuals import what_if
from backstory.domain.errors import InvalidValueError
from backstory.domain.events import MISSING, Difference, RecordedEvent
from backstory.domain.keys import normalise_key
from backstory.domain.scopes import Scope, as_scope
from backstory.operations import stream_of
from backstory.projections.points import Point
from backstory.replay.breakpoints import Breakpoint
from backstory.runners import AsyncRunner


class Stop(NamedTuple):
    """Where a session stopped: the event that it has just stepped over, and the breakpoint that was hit."""

    event: RecordedEvent
    breakpoint: Breakpoint


class AsyncReplaySession:
    """Goes through recorded events in order, shows the state at each, and what it would have been.

    What is modified is so in this session alone: what follows from it is worked out as `what_if` does.
    """

    def __init__(
        self,
        core: Core,
        runner: AsyncRunner,
        wanted: Filter,
        bounds: tuple[Point | None, Point | None],
        breakpoints: Iterable[Breakpoint],
    ) -> None:
        self.breakpoints: Final = list(breakpoints)
        for each in self.breakpoints:
            if not isinstance(each, Breakpoint):
                raise InvalidValueError("breakpoints", rule=f"holds {each!r}", hint="Give Breakpoints.")
        self._core = core
        self._runner = runner
        self._wanted = wanted
        self._bounds = bounds
        self._after: int | None = None
        self._last = 0
        self._buffer: deque[RecordedEvent] = deque()
        self._changes: list[tuple[int, Scope, tuple[Any, ...]]] = []
        self.event: RecordedEvent | None = None
        self.count = 0

    @property
    def position(self) -> int:
        """The position of the event that was stepped over last; 0 before the first."""
        return 0 if self.event is None else self.event.position

    async def _next(self) -> RecordedEvent | None:
        after = self._after
        if after is None:
            bounds = await self._runner.run(self._core.bounds(*self._bounds))
            after, self._last = bounds[0], bounds[1]
            self._after = after
        if not self._buffer and after < self._last:
            page = self._core.page(self._wanted, after, self._last, PAGE, reverse=False)
            events = await self._runner.run(page)
            self._buffer.extend(events)
            self._after = events[-1].position if len(events) == PAGE else self._last
        return self._buffer.popleft() if self._buffer else None

    async def step(self, count: int = 1) -> RecordedEvent | None:
        """Step over so many events; return the last of them, or None at the end.

        Raises `InvalidValueError` for less than one.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InvalidValueError("count", rule=f"is {count!r}", hint="Give 1 or more.")
        found: RecordedEvent | None = None
        for _ in range(count):
            found = await self._next()
            if found is None:
                return None
            self.event = found
            self.count += 1
        return found

    async def run(self) -> Stop | None:
        """Go on until a breakpoint is hit, and return where; None at the end."""
        while True:
            event = await self.step()
            if event is None:
                return None
            for each in self.breakpoints:
                value = await self.value(each.what[0], each.what[1]) if each.kind == "state" else MISSING
                if each.hit(event, self.count, value):
                    return Stop(event, each)

    async def state(self, scope: Scope | str) -> dict[str, Any]:
        """Return what a scope holds after the event that was stepped over last, as the session has it.

        Hooks are not asked.
        """
        reader = self._core.state
        heads = await self._runner.run(reader.heads(stream_of(scope), "", self.position))
        held = {key: reader.value(head) for key, head in heads}
        for difference in await self._differences():
            if difference.scope == as_scope(scope):
                if difference.after is MISSING:
                    held.pop(difference.key, None)
                else:
                    held[difference.key] = difference.after
        return dict(sorted(held.items()))

    async def value(self, scope: Scope | str, key: str) -> Any:
        """Return what a key holds there, or `MISSING`."""
        place = (stream_of(scope), normalise_key(key))
        for difference in await self._differences():
            if (str(difference.scope), difference.key) == place:
                return difference.after
        return await self._runner.run(self._core.state.get(*place, self.position))

    async def _differences(self) -> list[Difference]:
        if not self._changes:
            return []
        question = what_if(
            self._core, without=(), replace=None, insert=self._changes, cascade=True, keep=_none, at=self.position
        )
        return (await self._runner.run(question)).diff

    def modify(self, scope: Scope | str, key: str, value: Any) -> None:
        """Have a key hold another value from here on, in this session; `MISSING`: none.

        Raises `InvalidScopeError`, `InvalidKeyError`, `InvalidValueError` and `ValueTooLargeError`.
        """
        name = normalise_key(key)
        what: tuple[Any, ...] = ("delete", name)
        if value is not MISSING:
            decisions = self._core.decisions
            what = ("set", name, decisions.decoded(decisions.encode(value, scope=stream_of(scope), key=name)))
        self._changes.append((self.position, as_scope(scope), what))

    def __repr__(self) -> str:
        return f"<ReplaySession at {self.position}, {self.count} events, {len(self._changes)} changes>"


def _none(*_: object) -> None:
    return None
