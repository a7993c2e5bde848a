"""The asyncio face: `AsyncStateStore` and what it hands out.

`store.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self, Unpack
from uuid import UUID

from backstory.async_state import AsyncStateOperations, AsyncTransaction, Scoped
from backstory.context import WriteContext
from backstory.core import PAGE, Core, Filter, Metrics, check_limit, filter_of
from backstory.domain.branches import Branch
from backstory.domain.errors import BackstoryError, StoreClosedError
from backstory.domain.events import Change, Difference, RecordedEvent, from_micros
from backstory.domain.ports import ProjectionInfo, Recovery
from backstory.domain.scopes import Scope
from backstory.importing import ImportReport, import_runs
from backstory.projections.points import At, Point
from backstory.runners import AsyncRunner
from backstory.verification import Progress, VerificationReport

if TYPE_CHECKING:
    from networkx import DiGraph

    from backstory.async_replay import AsyncReplay
    from backstory.backups.async_face import AsyncBackups
    from backstory.counterfactuals import Counterfactual
    from backstory.hooks.async_face import AsyncHooks
    from backstory.migrations.async_face import AsyncMigrations
    from backstory.replay.explanation import Explanation, Impact
    from backstory.replay.inspection import Inspection
    from backstory.replay.timeline import Timeline
    from backstory.schemas.async_face import AsyncSchemas

EventLike = RecordedEvent | UUID | str | int

_WAIT_S: Final = 3600.0


def tracing() -> Any:
    """Return the programs of causes and effects, imported when they are first wanted."""
    return import_module("backstory.tracing")


def inspecting() -> Any:
    """Return the programs of inspections, imported when they are first wanted."""
    return import_module("backstory.inspecting")


def counterfactuals() -> Any:
    """Return the programs of what-if questions, imported when they are first wanted."""
    return import_module("backstory.counterfactuals")


class AsyncStateView:
    """The state at one point, for reading."""

    def __init__(self, core: Core, runner: AsyncRunner, point: Point) -> None:
        self._core = core
        self._runner = runner
        self._point = point
        self._at: At | None = None

    # <async>
    def __await__(self) -> Any:
        """Resolve the point, so that `.position` is known; raises `InvalidPointError`."""
        yield from self._resolve().__await__()
        return self

    # </async>
    async def _resolve(self) -> At:
        if self._at is None:
            self._at = await self._runner.run(self._core.at(self._point))
        return self._at

    def _resolved(self) -> At:
        if self._at is None:
            msg = "the view's point is not resolved yet"
            raise BackstoryError(msg, hint="Await the view, or any of its reads, first.")
        return self._at

    @property
    def position(self) -> int:
        """The last position that the view takes in."""
        return self._resolved().position

    @property
    def recorded_at(self) -> datetime:
        """The instant that the view is seen at, aware UTC."""
        return from_micros(self._resolved().instant_us)

    async def get(self, scope: Scoped, key: str, default: Any = None) -> Any:
        """Return a key's value, or the default."""
        at = await self._resolve()
        return await self._runner.run(self._core.operations.get(scope, key, default, at, None))

    async def keys(self, scope: Scoped, *, prefix: str = "") -> list[str]:
        """Return the scope's keys, sorted."""
        at = await self._resolve()
        return await self._runner.run(self._core.operations.keys(scope, prefix, at))

    async def items(self, scope: Scoped, *, prefix: str = "") -> dict[str, Any]:
        """Return the scope's values by key, sorted."""
        at = await self._resolve()
        return await self._runner.run(self._core.operations.items(scope, prefix, at))

    async def exists(self, scope: Scoped, key: str) -> bool:
        """Return whether a key has a value."""
        at = await self._resolve()
        return await self._runner.run(self._core.operations.exists(scope, key, at))

    async def scopes(self, *, all: bool = False) -> list[Scope]:
        """Return the scopes with keys, or with any event."""
        at = await self._resolve()
        return await self._runner.run(self._core.scopes(at, everything=all))


class AsyncSubscription:
    """Events as they come: first what is recorded after a position, then what follows, each once.

    Ends when it is closed, from anywhere. A slow consumer holds up nobody.
    """

    def __init__(self, core: Core, runner: AsyncRunner, wanted: Filter, since: Point | None) -> None:
        self._core = core
        self._runner = runner
        self._wanted = wanted
        self._since = since
        self._after: int | None = None
        self._buffer: deque[RecordedEvent] = deque()
        self._closed = False

    async def _start(self) -> int:
        if self._after is None:
            if self._since is None:
                self._after = await self._runner.run(self._core.position())
            else:
                self._after = (await self._runner.run(self._core.state.at(self._since))).position
        return self._after

    @property
    def position(self) -> int | None:
        """How far the log has been looked through; None before the first look."""
        return self._after

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordedEvent:
        while True:
            found = await self.poll(_WAIT_S)
            if found is not None:
                return found
            if self._closed:
                raise StopAsyncIteration

    async def poll(self, timeout_s: float = 0.0) -> RecordedEvent | None:
        """Return the next event, or None if there is none within `timeout_s` seconds."""
        deadline = monotonic() + timeout_s
        try:
            await self._fill(deadline)
        except StoreClosedError:
            self._closed = True
        return self._buffer.popleft() if self._buffer and not self._closed else None

    async def _fill(self, deadline: float) -> None:
        after = await self._start()
        while not (self._ended() or self._buffer):
            events, after = await self._runner.run(self._core.tail(self._wanted, after))
            self._after = after
            self._buffer.extend(events)
            left_s = deadline - monotonic()
            if events or left_s <= 0:
                return
            await self._core.engine.wait_async(after, left_s, self._ended)

    def _ended(self) -> bool:
        self._closed = self._closed or self._runner.closed
        return self._closed

    async def close(self) -> None:
        """End the subscription; who waits for it is let go."""
        self._closed = True
        self._core.engine.wake()

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncStateStore(AsyncStateOperations):
    """An open store. Make one with `open_async`; use it from one event loop."""

    def __init__(self, core: Core, runner: AsyncRunner) -> None:
        self._core = core
        self._runner = runner
        self._operations = core.operations

    @property
    def branch_name(self) -> str:
        """The branch that this store reads and writes."""
        return self._core.branch.name

    @property
    def recovery(self) -> Recovery | None:
        """What opening found of writers that did not close the store, or None."""
        return self._core.engine.recovery

    # State of many keys

    async def scopes(self, *, as_of: Point | None = None, all: bool = False) -> list[Scope]:
        """Return the scopes that hold keys at a point; with `all`, those with any event; sorted by text."""
        return await self._runner.run(self._core.scopes(as_of, everything=all))

    async def snapshot(self, *, as_of: Point | None = None) -> dict[Scope, dict[str, Any]]:
        """Return the whole state at a point: values by scope and key."""
        return await self._runner.run(self._core.snapshot(as_of))

    async def sweep(self) -> int:
        """Record what expired as `state.expired`, which changes no answer; return how many."""
        return await self._runner.run(self._core.sweep())

    def at(self, point: Point) -> AsyncStateView:
        """Return a read-only view of the state at a point."""
        # <async>
        return AsyncStateView(self._core, self._runner, point)
        # </async>
        # <sync>
        # view = StateView(self._core, self._runner, point)
        # view._resolve()
        # return view
        # </sync>

    def transaction(self, **context: Unpack[WriteContext]) -> AsyncTransaction:
        """Return a transaction, to be entered with `async with`."""
        return AsyncTransaction(self._core, self._runner, context)

    # The past

    async def history(self, scope: Scoped, key: str) -> list[Change]:
        """Return every change of a key, oldest first; deletes and clears too."""
        return await self._runner.run(self._core.history(scope, key))

    async def diff(self, from_: Point, to: Point, *, scope: Scoped | None = None) -> list[Difference]:
        """Return what differs between two points, in either order, sorted by scope and key."""
        return await self._runner.run(self._core.diff(from_, to, scope))

    async def blame(
        self, scope: Scoped, key: str, *, path: str | None = None, as_of: Point | None = None
    ) -> RecordedEvent:
        """Return the event that gave a key, or a path inside its value, what it holds at a point.

        Of an absent key: what removed it. Raises `NotFoundError` where nothing ever was.
        """
        return await self._runner.run(self._core.blame(scope, key, path, as_of))

    # The log

    def log(
        self,
        *,
        since: Point | None = 0,
        until: Point | None = None,
        scope: Scoped | None = None,
        types: str | Sequence[str] | None = None,
        key: str | None = None,
        correlation_id: str | None = None,
        actor: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> AsyncIterator[RecordedEvent]:
        """Iterate over the log's events after `since` up to `until`, in order.

        `types` are names or patterns like `hook.*`; `limit` counts events.
        """
        wanted = filter_of(scope=scope, types=types, key=key, correlation_id=correlation_id, actor=actor)
        check_limit(limit)
        # <async>
        return self._pages(wanted, (since, until), limit, reverse=reverse)
        # </async>
        # <sync>
        # return self._pages(wanted, self._runner.run(self._core.bounds(since, until)), limit, reverse=reverse)
        # </sync>

    async def _pages(
        self, wanted: Filter, bounds: tuple[Point | None, Point | None], limit: int | None, *, reverse: bool
    ) -> AsyncIterator[RecordedEvent]:
        after, last = await self._runner.run(self._core.bounds(*bounds))
        left = limit
        while after < last and (left is None or left > 0):
            size = PAGE if left is None else min(PAGE, left)
            events = await self._runner.run(self._core.page(wanted, after, last, size, reverse=reverse))
            for event in events:
                yield event
            if len(events) < size:
                return
            left = None if left is None else left - size
            if reverse:
                last = events[-1].position - 1
            else:
                after = events[-1].position

    async def event(self, event_id: UUID) -> RecordedEvent:
        """Return the event with this id; raises `NotFoundError`."""
        return await self._runner.run(self._core.event(event_id))

    async def position(self) -> int:
        """Return the position of the log's last event, whichever branch it is on; 0 for an empty log."""
        return await self._runner.run(self._core.position())

    def subscribe(
        self,
        *,
        since: Point | None = None,
        scope: Scoped | None = None,
        types: str | Sequence[str] | None = None,
        correlation_id: str | None = None,
    ) -> AsyncSubscription:
        """Return the events after a point (None: from now on) and all that follow, each once, in order."""
        wanted = filter_of(scope=scope, types=types, correlation_id=correlation_id)
        # <async>
        return AsyncSubscription(self._core, self._runner, wanted, since)
        # </async>
        # <sync>
        # subscription = Subscription(self._core, self._runner, wanted, since)
        # subscription._start()
        # return subscription
        # </sync>

    # Causes and effects

    async def link(
        self, cause: EventLike, effect: EventLike, kind: str = "caused_by", *, strength: float = 1.0
    ) -> RecordedEvent:
        """Say that one event led to another, or belongs to it, and return the event that says so.

        `kind` is one of `caused_by`, `part_of`, `related_to`, `response_to`, `follows_from`, `concurrent_with` and
        `read`; events are given as such, as ids or as positions. Raises `NotFoundError`, and `InvalidValueError` for
        a link that would close a cycle.
        """
        answer: RecordedEvent = await self._runner.run(tracing().link(self._core, cause, effect, kind, strength))
        return answer

    async def causality(
        self,
        *,
        correlation_id: str | None = None,
        event: EventLike | None = None,
        direction: str = "both",
        depth: int | None = None,
        since: Point | None = None,
        until: Point | None = None,
    ) -> DiGraph[UUID]:
        """Return the causality graph of a correlation, around an event, or of a range, as a `networkx.DiGraph`.

        Nodes are event ids with the attribute `event`; edges run from cause to effect with `kind` and `strength`.
        Around an event, `direction` is `causes`, `effects` or `both`, and `depth` how many steps to go.
        """
        question = tracing().causality(
            self._core,
            correlation_id=correlation_id,
            event=event,
            direction=direction,
            depth=depth,
            since=since,
            until=until,
        )
        answer: DiGraph[UUID] = await self._runner.run(question)
        return answer

    async def timeline(
        self,
        *,
        correlation_id: str | None = None,
        scope: Scoped | None = None,
        key: str | None = None,
        actor: str | None = None,
        session: Scoped | None = None,
        artifact: str | None = None,
        tags: Iterable[str] | None = None,
        since: Point | None = None,
        until: Point | None = None,
        types: str | Sequence[str] | None = None,
        max_depth: int | None = None,
        roots_only: bool = False,
        leaves_only: bool = False,
        order: str = "chronological",
        limit: int | None = None,
    ) -> Timeline:
        """Return the events that fit all of this, each with its depth, causes and effects, ready to be rendered.

        Depth is the longest way from an event without causes. `order` is `chronological`, `reverse`, `depth` or
        `type`; the next page begins `since` the last position. A session is given by its id or its scope.
        """
        question = tracing().timeline(
            self._core,
            correlation_id=correlation_id,
            scope=scope,
            key=key,
            actor=actor,
            session=session,
            artifact=artifact,
            tags=tags,
            since=since,
            until=until,
            types=types,
            max_depth=max_depth,
            roots_only=roots_only,
            leaves_only=leaves_only,
            order=order,
            limit=limit,
        )
        answer: Timeline = await self._runner.run(question)
        return answer

    async def why(self, scope: Scoped, key: str, *, as_of: Point | None = None) -> Explanation:
        """Return why a key holds what it does at a point: what it follows from, and what that was caused by.

        Raises `NotFoundError` for a key that was never written.
        """
        answer: Explanation = await self._runner.run(tracing().explain(self._core, scope, key, as_of))
        return answer

    async def impact(self, event: EventLike) -> Impact:
        """Return all that an event led to, along causes and reads; raises `NotFoundError`."""
        answer: Impact = await self._runner.run(tracing().led_to(self._core, event))
        return answer

    async def inspect(
        self,
        *,
        since: Point | None = None,
        until: Point | None = None,
        scope: Scoped | None = None,
        correlation_id: str | None = None,
        what: str | Iterable[str] | None = None,
        threshold: int = 3,
        limit: int | None = 10,
    ) -> Inspection:
        """Return the slowest hooks, failures that led to failures, loops, and rates by hour and day of UTC.

        `what` is any of `slowest`, `cascades`, `loops` and `rates`, None all of them. Of a scope its events are looked
        at, and the runs of hooks for it. A loop has at least `threshold` turns, 2 or more. At most `limit` of each are
        listed, None lists all; rates are never cut. Loops and rates read every event of the span.
        """
        question = inspecting().inspect(
            self._core,
            since=since,
            until=until,
            scope=scope,
            correlation_id=correlation_id,
            what=what,
            threshold=threshold,
            limit=limit,
        )
        answer: Inspection = await self._runner.run(question)
        return answer

    async def what_if(
        self,
        *,
        without: EventLike | Iterable[EventLike] = (),
        replace: Mapping[EventLike, Any] | None = None,
        insert: Iterable[tuple[Any, ...]] | None = None,
        cascade: bool = True,
    ) -> Counterfactual:
        """Return what would have happened without some events, with other values, or with writes that were not made.

        `replace` maps events to other values; `insert` holds `(point, scope, what)`, where `what` is an
        `Event`, `("set", key, value)` or `("delete", key)`. What was caused by what vanishes vanishes too; without
        `cascade` it stays and is listed as stale. Nothing is written.
        """
        question = counterfactuals().what_if(
            self._core, without=without, replace=replace, insert=insert, cascade=cascade, keep=self._kept
        )
        answer: Counterfactual = await self._runner.run(question)
        return answer

    async def _kept(self, differences: Sequence[Difference], name: str) -> AsyncStateStore:
        return self._on(await self._runner.run(counterfactuals().kept(self._core, differences, name)))

    # Branches

    async def fork(self, name: str | None = None, *, as_of: Point | None = None) -> AsyncStateStore:
        """Make a branch that leaves this one at a point, in constant time; return a store on it.

        Raises `ConflictError` if a branch of this name exists.
        """
        return self._on(await self._runner.run(self._core.fork(name, as_of)))

    async def branch(self, name: str) -> AsyncStateStore:
        """Return a store on the branch of this name; raises `NotFoundError`."""
        return self._on(await self._runner.run(self._core.switch(name)))

    async def branches(self) -> list[Branch]:
        """Return the living branches, `main` first."""
        return await self._runner.run(self._core.branches())

    async def diff_branch(self, name: str, *, scope: Scoped | None = None) -> list[Difference]:
        """Return what differs now between this branch and another, sorted; `before` is here, `after` is there.

        Raises `NotFoundError`.
        """
        return await self._runner.run(self._core.diff_branch(name, scope))

    async def drop_branch(self, name: str) -> None:
        """End a branch: its events stay in the log, nobody can write to it any more."""
        await self._runner.run(self._core.drop_branch(name))

    def _on(self, core: Core) -> AsyncStateStore:
        return AsyncStateStore(core, self._runner.child())

    # Hooks

    @property
    def hooks(self) -> AsyncHooks:
        """The hooks of this open store, shared by all its branches."""
        from backstory.hooks.async_face import AsyncHooks  # noqa: PLC0415 - only where there are any

        return AsyncHooks(self._core, self._runner)

    @property
    def replay(self) -> AsyncReplay:
        """Replays of recorded runs of hooks."""
        from backstory.async_replay import AsyncReplay  # noqa: PLC0415 - only where something is replayed

        return AsyncReplay(self._core, self._runner)

    # Schemas

    @property
    def schemas(self) -> AsyncSchemas:
        """The schemas that values must meet, and where."""
        from backstory.schemas.async_face import AsyncSchemas  # noqa: PLC0415 - only where there are any

        return AsyncSchemas(self._core, self._runner)

    @property
    def migrations(self) -> AsyncMigrations:
        """The ways from one version of a schema to another, and the runs that take values there."""
        from backstory.migrations.async_face import AsyncMigrations  # noqa: PLC0415 - only where there are any

        return AsyncMigrations(self._core, self._runner)

    @property
    def backups(self) -> AsyncBackups:
        """The backups of the store: made, looked at, restored and given up."""
        from backstory.backups.async_face import AsyncBackups  # noqa: PLC0415 - only where there are any

        return AsyncBackups(self._core, self._runner)

    # Import and care

    async def import_runs(
        self,
        path: str | os.PathLike[str],
        *,
        format: str = "openai-chat",
        progress: Callable[[int, int], None] | None = None,
    ) -> ImportReport:
        """Import recorded agent runs (JSON or JSONL) with their causes and state; again, it adds only what is new.

        What cannot be read is in the report with its line, and the rest goes on. `progress` gets the bytes done and
        the bytes in all. Raises `NotFoundError` for a file that is not there.
        """
        return await import_runs(self._core, self._runner, path, format=format, progress=progress)

    async def verify(self, *, since: Point = 0, progress: Progress | None = None) -> VerificationReport:
        """Walk the log after a point and check numbering, hashes, times, encoding and projections."""
        return await self._runner.run(self._core.verify(since, progress))

    async def rebuild(self, projection: str | None = None) -> list[ProjectionInfo]:
        """Drop a projection (None: all) and build it again from the events, while the store serves."""
        return await self._runner.run(self._core.rebuild(projection))

    async def metrics(self) -> Metrics:
        """Return the store's numbers."""
        return await self._runner.run(self._core.metrics())

    # Closing

    async def aclose(self) -> None:
        """Let background hooks end, then give back every resource; idempotent. A fork leaves its parent open."""
        path, scheduler = self._core.gate.path, self._core.gate.scheduler
        own = self._runner.root is self._runner and not self._runner.closed
        if self._core.session.guard.pending and not self._runner.closed:
            await self._runner.run(self._core.session.guard.settle())
        if scheduler is not None and own:
            await scheduler.close()
        if path is not None and own:
            await path.end()
            await self._runner.run(path.leave())
        await self._runner.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
