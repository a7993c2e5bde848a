"""The blocking face: `StateStore` and what it hands out.

Made from `async_store.py` by `tools/unasync.py`: change that one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self, Unpack
from uuid import UUID

from backstory.context import WriteContext
from backstory.core import PAGE, Core, Filter, Metrics, check_limit, filter_of
from backstory.domain.branches import Branch
from backstory.domain.errors import BackstoryError, StoreClosedError
from backstory.domain.events import Change, Difference, RecordedEvent, from_micros
from backstory.domain.ports import ProjectionInfo, Recovery
from backstory.domain.scopes import Scope
from backstory.importing_sync import ImportReport, import_runs
from backstory.projections.points import At, Point
from backstory.runners import Runner
from backstory.state import Scoped, StateOperations, Transaction
from backstory.verification import Progress, VerificationReport

if TYPE_CHECKING:
    from networkx import DiGraph

    from backstory.backups.face import Backups
    from backstory.counterfactuals import Counterfactual
    from backstory.hooks.face import Hooks
    from backstory.migrations.face import Migrations
    from backstory.replay.explanation import Explanation, Impact
    from backstory.replay.inspection import Inspection
    from backstory.replay.timeline import Timeline
    from backstory.replay_face import Replay
    from backstory.schemas.face import Schemas

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


class StateView:
    """The state at one point, for reading."""

    def __init__(self, core: Core, runner: Runner, point: Point) -> None:
        self._core = core
        self._runner = runner
        self._point = point
        self._at: At | None = None

    def _resolve(self) -> At:
        if self._at is None:
            self._at = self._runner.run(self._core.at(self._point))
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

    def get(self, scope: Scoped, key: str, default: Any = None) -> Any:
        """Return a key's value, or the default."""
        at = self._resolve()
        return self._runner.run(self._core.operations.get(scope, key, default, at, None))

    def keys(self, scope: Scoped, *, prefix: str = "") -> list[str]:
        """Return the scope's keys, sorted."""
        at = self._resolve()
        return self._runner.run(self._core.operations.keys(scope, prefix, at))

    def items(self, scope: Scoped, *, prefix: str = "") -> dict[str, Any]:
        """Return the scope's values by key, sorted."""
        at = self._resolve()
        return self._runner.run(self._core.operations.items(scope, prefix, at))

    def exists(self, scope: Scoped, key: str) -> bool:
        """Return whether a key has a value."""
        at = self._resolve()
        return self._runner.run(self._core.operations.exists(scope, key, at))

    def scopes(self, *, all: bool = False) -> list[Scope]:
        """Return the scopes with keys, or with any event."""
        at = self._resolve()
        return self._runner.run(self._core.scopes(at, everything=all))


class Subscription:
    """Events as they come: first what is recorded after a position, then what follows, each once.

    Ends when it is closed, from anywhere. A slow consumer holds up nobody.
    """

    def __init__(self, core: Core, runner: Runner, wanted: Filter, since: Point | None) -> None:
        self._core = core
        self._runner = runner
        self._wanted = wanted
        self._since = since
        self._after: int | None = None
        self._buffer: deque[RecordedEvent] = deque()
        self._closed = False

    def _start(self) -> int:
        if self._after is None:
            if self._since is None:
                self._after = self._runner.run(self._core.position())
            else:
                self._after = (self._runner.run(self._core.state.at(self._since))).position
        return self._after

    @property
    def position(self) -> int | None:
        """How far the log has been looked through; None before the first look."""
        return self._after

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordedEvent:
        while True:
            found = self.poll(_WAIT_S)
            if found is not None:
                return found
            if self._closed:
                raise StopIteration

    def poll(self, timeout_s: float = 0.0) -> RecordedEvent | None:
        """Return the next event, or None if there is none within `timeout_s` seconds."""
        deadline = monotonic() + timeout_s
        try:
            self._fill(deadline)
        except StoreClosedError:
            self._closed = True
        return self._buffer.popleft() if self._buffer and not self._closed else None

    def _fill(self, deadline: float) -> None:
        after = self._start()
        while not (self._ended() or self._buffer):
            events, after = self._runner.run(self._core.tail(self._wanted, after))
            self._after = after
            self._buffer.extend(events)
            left_s = deadline - monotonic()
            if events or left_s <= 0:
                return
            self._core.engine.wait(after, left_s, self._ended)

    def _ended(self) -> bool:
        self._closed = self._closed or self._runner.closed
        return self._closed

    def close(self) -> None:
        """End the subscription; who waits for it is let go."""
        self._closed = True
        self._core.engine.wake()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StateStore(StateOperations):
    """An open store. Make one with `open`; any number of threads may use it."""

    def __init__(self, core: Core, runner: Runner) -> None:
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

    def scopes(self, *, as_of: Point | None = None, all: bool = False) -> list[Scope]:
        """Return the scopes that hold keys at a point; with `all`, those with any event; sorted by text."""
        return self._runner.run(self._core.scopes(as_of, everything=all))

    def snapshot(self, *, as_of: Point | None = None) -> dict[Scope, dict[str, Any]]:
        """Return the whole state at a point: values by scope and key."""
        return self._runner.run(self._core.snapshot(as_of))

    def sweep(self) -> int:
        """Record what expired as `state.expired`, which changes no answer; return how many."""
        return self._runner.run(self._core.sweep())

    def at(self, point: Point) -> StateView:
        """Return a read-only view of the state at a point."""
        view = StateView(self._core, self._runner, point)
        view._resolve()
        return view

    def transaction(self, **context: Unpack[WriteContext]) -> Transaction:
        """Return a transaction, to be entered with `async with`."""
        return Transaction(self._core, self._runner, context)

    # The past

    def history(self, scope: Scoped, key: str) -> list[Change]:
        """Return every change of a key, oldest first; deletes and clears too."""
        return self._runner.run(self._core.history(scope, key))

    def diff(self, from_: Point, to: Point, *, scope: Scoped | None = None) -> list[Difference]:
        """Return what differs between two points, in either order, sorted by scope and key."""
        return self._runner.run(self._core.diff(from_, to, scope))

    def blame(self, scope: Scoped, key: str, *, path: str | None = None, as_of: Point | None = None) -> RecordedEvent:
        """Return the event that gave a key, or a path inside its value, what it holds at a point.

        Of an absent key: what removed it. Raises `NotFoundError` where nothing ever was.
        """
        return self._runner.run(self._core.blame(scope, key, path, as_of))

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
    ) -> Iterator[RecordedEvent]:
        """Iterate over the log's events after `since` up to `until`, in order.

        `types` are names or patterns like `hook.*`; `limit` counts events.
        """
        wanted = filter_of(scope=scope, types=types, key=key, correlation_id=correlation_id, actor=actor)
        check_limit(limit)
        return self._pages(wanted, self._runner.run(self._core.bounds(since, until)), limit, reverse=reverse)

    def _pages(
        self, wanted: Filter, bounds: tuple[Point | None, Point | None], limit: int | None, *, reverse: bool
    ) -> Iterator[RecordedEvent]:
        after, last = self._runner.run(self._core.bounds(*bounds))
        left = limit
        while after < last and (left is None or left > 0):
            size = PAGE if left is None else min(PAGE, left)
            events = self._runner.run(self._core.page(wanted, after, last, size, reverse=reverse))
            for event in events:
                yield event
            if len(events) < size:
                return
            left = None if left is None else left - size
            if reverse:
                last = events[-1].position - 1
            else:
                after = events[-1].position

    def event(self, event_id: UUID) -> RecordedEvent:
        """Return the event with this id; raises `NotFoundError`."""
        return self._runner.run(self._core.event(event_id))

    def position(self) -> int:
        """Return the position of the log's last event, whichever branch it is on; 0 for an empty log."""
        return self._runner.run(self._core.position())

    def subscribe(
        self,
        *,
        since: Point | None = None,
        scope: Scoped | None = None,
        types: str | Sequence[str] | None = None,
        correlation_id: str | None = None,
    ) -> Subscription:
        """Return the events after a point (None: from now on) and all that follow, each once, in order."""
        wanted = filter_of(scope=scope, types=types, correlation_id=correlation_id)
        subscription = Subscription(self._core, self._runner, wanted, since)
        subscription._start()
        return subscription

    # Causes and effects

    def link(
        self, cause: EventLike, effect: EventLike, kind: str = "caused_by", *, strength: float = 1.0
    ) -> RecordedEvent:
        """Say that one event led to another, or belongs to it, and return the event that says so.

        `kind` is one of `caused_by`, `part_of`, `related_to`, `response_to`, `follows_from`, `concurrent_with` and
        `read`; events are given as such, as ids or as positions. Raises `NotFoundError`, and `InvalidValueError` for
        a link that would close a cycle.
        """
        answer: RecordedEvent = self._runner.run(tracing().link(self._core, cause, effect, kind, strength))
        return answer

    def causality(
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
        answer: DiGraph[UUID] = self._runner.run(question)
        return answer

    def timeline(
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
        answer: Timeline = self._runner.run(question)
        return answer

    def why(self, scope: Scoped, key: str, *, as_of: Point | None = None) -> Explanation:
        """Return why a key holds what it does at a point: what it follows from, and what that was caused by.

        Raises `NotFoundError` for a key that was never written.
        """
        answer: Explanation = self._runner.run(tracing().explain(self._core, scope, key, as_of))
        return answer

    def impact(self, event: EventLike) -> Impact:
        """Return all that an event led to, along causes and reads; raises `NotFoundError`."""
        answer: Impact = self._runner.run(tracing().led_to(self._core, event))
        return answer

    def inspect(
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
        answer: Inspection = self._runner.run(question)
        return answer

    def what_if(
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
        answer: Counterfactual = self._runner.run(question)
        return answer

    def _kept(self, differences: Sequence[Difference], name: str) -> StateStore:
        return self._on(self._runner.run(counterfactuals().kept(self._core, differences, name)))

    # Branches

    def fork(self, name: str | None = None, *, as_of: Point | None = None) -> StateStore:
        """Make a branch that leaves this one at a point, in constant time; return a store on it.

        Raises `ConflictError` if a branch of this name exists.
        """
        return self._on(self._runner.run(self._core.fork(name, as_of)))

    def branch(self, name: str) -> StateStore:
        """Return a store on the branch of this name; raises `NotFoundError`."""
        return self._on(self._runner.run(self._core.switch(name)))

    def branches(self) -> list[Branch]:
        """Return the living branches, `main` first."""
        return self._runner.run(self._core.branches())

    def diff_branch(self, name: str, *, scope: Scoped | None = None) -> list[Difference]:
        """Return what differs now between this branch and another, sorted; `before` is here, `after` is there.

        Raises `NotFoundError`.
        """
        return self._runner.run(self._core.diff_branch(name, scope))

    def drop_branch(self, name: str) -> None:
        """End a branch: its events stay in the log, nobody can write to it any more."""
        self._runner.run(self._core.drop_branch(name))

    def _on(self, core: Core) -> StateStore:
        return StateStore(core, self._runner.child())

    # Hooks

    @property
    def hooks(self) -> Hooks:
        """The hooks of this open store, shared by all its branches."""
        from backstory.hooks.face import Hooks  # noqa: PLC0415 - only where there are any

        return Hooks(self._core, self._runner)

    @property
    def replay(self) -> Replay:
        """Replays of recorded runs of hooks."""
        from backstory.replay_face import Replay  # noqa: PLC0415 - only where something is replayed

        return Replay(self._core, self._runner)

    # Schemas

    @property
    def schemas(self) -> Schemas:
        """The schemas that values must meet, and where."""
        from backstory.schemas.face import Schemas  # noqa: PLC0415 - only where there are any

        return Schemas(self._core, self._runner)

    @property
    def migrations(self) -> Migrations:
        """The ways from one version of a schema to another, and the runs that take values there."""
        from backstory.migrations.face import Migrations  # noqa: PLC0415 - only where there are any

        return Migrations(self._core, self._runner)

    @property
    def backups(self) -> Backups:
        """The backups of the store: made, looked at, restored and given up."""
        from backstory.backups.face import Backups  # noqa: PLC0415 - only where there are any

        return Backups(self._core, self._runner)

    # Import and care

    def import_runs(
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
        return import_runs(self._core, self._runner, path, format=format, progress=progress)

    def verify(self, *, since: Point = 0, progress: Progress | None = None) -> VerificationReport:
        """Walk the log after a point and check numbering, hashes, times, encoding and projections."""
        return self._runner.run(self._core.verify(since, progress))

    def rebuild(self, projection: str | None = None) -> list[ProjectionInfo]:
        """Drop a projection (None: all) and build it again from the events, while the store serves."""
        return self._runner.run(self._core.rebuild(projection))

    def metrics(self) -> Metrics:
        """Return the store's numbers."""
        return self._runner.run(self._core.metrics())

    # Closing

    def close(self) -> None:
        """Let background hooks end, then give back every resource; idempotent. A fork leaves its parent open."""
        path, scheduler = self._core.gate.path, self._core.gate.scheduler
        own = self._runner.root is self._runner and not self._runner.closed
        if self._core.session.guard.pending and not self._runner.closed:
            self._runner.run(self._core.session.guard.settle())
        if scheduler is not None and own:
            scheduler.close()
        if path is not None and own:
            path.end()
            self._runner.run(path.leave())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
