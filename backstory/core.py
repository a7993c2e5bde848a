"""The core of an open store: what both faces share, written once as programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID, uuid4

from backstory.committing import append, commit_of
from backstory.context import WriteContext, author_of, packed_actor, packed_correlation
from backstory.domain.branches import (
    MAIN,
    MAIN_NAME,
    Branch,
    BranchRow,
    Lineage,
    get_branch,
    lineage_of,
)
from backstory.domain.commits import Commit, NewBranch
from backstory.domain.decisions import Decisions
from backstory.domain.errors import (
    InvalidPointError,
    InvalidScopeError,
    InvalidValueError,
    NotFoundError,
    ReadOnlyError,
)
from backstory.domain.events import Change, Difference, RecordedEvent, StoredEvent, from_micros
from backstory.domain.keys import normalise_key
from backstory.domain.ports import Clock, Engine, LogQuery, Program, ProjectionInfo
from backstory.domain.scopes import Scope
from backstory.domain.sequencer import BRANCH_CREATED, BRANCH_DROPPED
from backstory.gate import Gate
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.infrastructure.configuration import Settings
from backstory.operations import Operations, stream_of
from backstory.projections.history import branch_differences, differences, history
from backstory.projections.points import At
from backstory.projections.state import StateReader
from backstory.replay.blame import blame
from backstory.sessions import DirectSession
from backstory.transactions import TransactionSession
from backstory.verification import VerificationReport, verify

T = TypeVar("T")
PAGE: Final = 500
BRANCHES: Final = "custom:branches"
_LONGEST_BRANCH: Final = 128


class Filter(NamedTuple):
    """What a log query or a subscription looks for, checked."""

    stream: str | None = None
    types: tuple[str, ...] | None = None
    key: str | None = None
    correlation: bytes | None = None
    actor: bytes | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Numbers of a store. `bytes` is what it takes on disk (in memory: the events' data)."""

    position: int
    events: int
    streams: int
    keys: int
    branches: int
    bytes: int
    projections: tuple[ProjectionInfo, ...]


def filter_of(
    *,
    scope: Scope | str | None = None,
    types: str | Sequence[str] | None = None,
    key: str | None = None,
    correlation_id: str | None = None,
    actor: str | None = None,
) -> Filter:
    """Return a checked filter; raises `InvalidScopeError`, `InvalidKeyError` or `InvalidValueError`."""
    names = None if types is None else _names(types)
    return Filter(
        None if scope is None else stream_of(scope),
        names,
        None if key is None else normalise_key(key),
        None if correlation_id is None else packed_correlation(correlation_id),
        None if actor is None else packed_actor(actor),
    )


def _names(types: object) -> tuple[str, ...]:
    many = (types,) if isinstance(types, str) else tuple(types) if isinstance(types, Iterable) else (types,)
    for name in many:
        if not isinstance(name, str):
            raise InvalidValueError("types", rule=f"{name!r} is no text", hint="Give names like `hook.*`.")
    return many


def check_limit(limit: object) -> None:
    """Raise `InvalidValueError` unless a limit is None or a count."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise InvalidValueError("limit", rule=f"is no count: {limit!r}", hint="Give a whole number from 0, or None.")


class Core:
    """An engine, a branch of its log, and the operations on it."""

    def __init__(
        self,
        engine: Engine,
        branch: BranchRow,
        lineage: Lineage,
        *,
        clock: Clock,
        actor: str | None,
        settings: Settings,
        gate: Gate | None = None,
    ) -> None:
        if actor is not None:
            packed_actor(actor)
        self.engine: Final = engine
        self.branch: Final = branch
        self.lineage: Final = lineage
        self.clock: Final = clock
        self.actor: Final = actor
        self.settings: Final = settings
        #: Shared by all branches of an open store: hooks are the store's.
        self.gate: Final = Gate() if gate is None else gate
        self.state: Final = StateReader(engine, lineage, clock, codec.decode_value)
        self.decisions: Final = Decisions(codec, new_id, max_bytes=settings.max_value_bytes)
        self.session: Final = DirectSession(self.state, branch.id, self.gate, track_reads=settings.track_reads)
        self.operations: Final = Operations(self.session, self.state, self.decisions, actor)

    def on(self, branch: BranchRow, lineage: Lineage) -> Core:
        """Return the core of another branch of the same log."""
        return Core(
            self.engine,
            branch,
            lineage,
            clock=self.clock,
            actor=self.actor,
            settings=self.settings,
            gate=self.gate,
        )

    def transaction(self) -> TransactionSession:
        """Return a new transaction's session."""
        return self.session.transaction()

    def transaction_operations(self, session: TransactionSession, given: WriteContext) -> Operations:
        """Return operations whose writes go to a transaction."""
        author_of(given, self.actor)
        return Operations(session, self.state, self.decisions, self.actor)

    def shows(self, row: StoredEvent) -> bool:
        """Return whether this branch shows an event."""
        return any(row.branch == branch and row.position <= limit for branch, limit in self.lineage)

    def at(self, point: object) -> Program[At]:
        """Return a point's place; raises `InvalidPointError` for None too, which elsewhere is now."""
        if point is None:
            raise InvalidPointError(point, rule="is no position, datetime or event id")
        return self.state.at(point)

    # State of many keys

    def scopes(self, as_of: object, *, everything: bool) -> Program[list[Scope]]:
        if everything:
            at = yield from self.state.at(as_of)
            streams = yield from self.engine.streams(self.lineage, at.position)
        else:
            streams = yield from self.state.present_streams(as_of)
        return [scope for scope in map(scope_of, streams) if scope is not None]

    def snapshot(self, as_of: object) -> Program[dict[Scope, dict[str, Any]]]:
        at = yield from self.state.at(as_of)
        state = yield from self.state.snapshot(at)
        pairs = ((scope_of(stream), values) for stream, values in state.items())
        return {scope: values for scope, values in pairs if scope is not None}

    def sweep(self) -> Program[int]:
        now_us = yield from self.state.now_us()
        if (yield from self.engine.present(self.branch.id, now_us)) is None and not self.engine.read_only:
            # Only the projection knows what is swept already: bring it back where it was dropped.
            yield from self.engine.rebuild_state()
        expired = yield from self.engine.expired(self.branch.id, now_us)
        if not expired:
            return 0
        author = author_of({}, self.actor)
        outcome = yield from append(commit_of(self.decisions.sweep(expired), author, self.branch.id))
        return int(outcome.result)

    # The past

    def history(self, scope: Scope | str, key: str) -> Program[list[Change]]:
        return history(self.state, stream_of(scope), normalise_key(key), codec.decode_value)

    def diff(self, from_: object, to: object, scope: Scope | str | None) -> Program[list[Difference]]:
        stream = None if scope is None else stream_of(scope)
        before = yield from self.at(from_)
        after = yield from self.at(to)
        found = yield from differences(self.state, before, after, stream, codec.decode_value)
        pairs = ((scope_of(home), key, was, is_) for home, key, was, is_ in found)
        return [Difference(home, key, was, is_) for home, key, was, is_ in pairs if home is not None]

    def diff_branch(self, name: str, scope: Scope | str | None) -> Program[list[Difference]]:
        stream = None if scope is None else stream_of(scope)
        other = yield from self.switch(name)
        at = yield from self.state.at(None)
        found = yield from branch_differences(self.state, other.state, at, stream, codec.decode_value)
        pairs = ((scope_of(home), key, was, is_) for home, key, was, is_ in found)
        return [Difference(home, key, was, is_) for home, key, was, is_ in pairs if home is not None]

    def blame(self, scope: Scope | str, key: str, path: str | None, as_of: object) -> Program[RecordedEvent]:
        stream, name = stream_of(scope), normalise_key(key)
        at = yield from self.state.at(as_of)
        row = yield from blame(self.state, stream, name, path=path, at=at, decode=codec.decode_value)
        return RecordedEvent(row, codec.decode_value)

    # The log

    def event(self, event_id: object) -> Program[RecordedEvent]:
        if isinstance(event_id, str):
            try:
                event_id = UUID(event_id)
            except ValueError:
                raise NotFoundError("event", event_id) from None
        if not isinstance(event_id, UUID):
            raise InvalidValueError("event_id", rule="is no UUID", hint="Give a uuid.UUID.")
        row = yield from self.engine.event(event_id.bytes)
        if row is None:
            raise NotFoundError("event", event_id)
        return RecordedEvent(row, codec.decode_value)

    def position(self) -> Program[int]:
        head = yield from self.engine.head()
        return head.position

    def bounds(self, since: object, until: object) -> Program[tuple[int, int]]:
        """Return the positions between which a query looks."""
        after = 0 if since is None else (yield from self.state.at(since)).position
        last = (yield from self.engine.head()).position if until is None else (yield from self.state.at(until)).position
        return after, last

    def page(
        self, wanted: Filter, after: int, until: int, limit: int, *, reverse: bool
    ) -> Program[list[RecordedEvent]]:
        query = LogQuery(
            self.lineage,
            after,
            until,
            wanted.stream,
            wanted.types,
            wanted.key,
            wanted.correlation,
            wanted.actor,
            limit,
            reverse,
        )
        rows = yield from self.engine.page(query)
        return [RecordedEvent(row, codec.decode_value) for row in rows]

    def tail(self, wanted: Filter, after: int) -> Program[tuple[list[RecordedEvent], int]]:
        """Return the next events after a position, and how far the log has been looked through."""
        head = yield from self.engine.head()
        if head.position <= after:
            return [], after
        events = yield from self.page(wanted, after, head.position, PAGE, reverse=False)
        return events, events[-1].position if len(events) == PAGE else head.position

    # Branches

    def fork(self, name: str | None, as_of: object) -> Program[Core]:
        chosen = _branch_name(f"fork-{uuid4().hex[:8]}" if name is None else name)
        at = yield from self.state.at(as_of)
        data = {"name": chosen, "parent": self.branch.name, "position": at.position}
        author = author_of({}, self.actor)
        intent = self.decisions.record(BRANCHES, BRANCH_CREATED, data, author=author)
        fork = NewBranch(chosen, self.branch.id, at.position)
        yield from append(Commit(self.branch.id, intent.drafts, fork=fork))
        return (yield from self.switch(chosen))

    def switch(self, name: str) -> Program[Core]:
        """Return the core of the living branch of this name."""
        rows = yield from self.engine.branches()
        row = get_branch(rows, name)
        return self.on(row, lineage_of(rows, row.id))

    def branches(self) -> Program[list[Branch]]:
        rows = yield from self.engine.branches()
        names = {row.id: row.name for row in rows}
        return [
            Branch(
                row.name,
                None if row.parent is None else names[row.parent],
                row.position,
                from_micros(row.created_us) if row.parent is not None else None,
            )
            for row in rows
            if not row.dropped
        ]

    def drop_branch(self, name: str) -> Program[None]:
        rows = yield from self.engine.branches()
        row = get_branch(rows, name)
        if row.id == MAIN:
            raise InvalidValueError("name", rule="`main` cannot be dropped", hint="Drop forks only.")
        author = author_of({}, self.actor)
        intent = self.decisions.record(BRANCHES, BRANCH_DROPPED, {"name": name}, author=author)
        yield from append(Commit(MAIN, intent.drafts, drop=row.id))

    # Care

    def verify(self, since: object, progress: Any) -> Program[VerificationReport]:
        after = 0 if since == 0 else (yield from self.state.at(since)).position
        return (yield from verify(self.engine, self.engine, self.engine.log_id, after=after, progress=progress))

    def rebuild(self, projection: str | None) -> Program[list[ProjectionInfo]]:
        known = yield from self.engine.projections()
        if projection is not None and projection not in {info.name for info in known}:
            raise NotFoundError("projection", projection, hint="Known: " + ", ".join(info.name for info in known) + ".")
        if self.engine.read_only:
            raise ReadOnlyError("rebuild")
        built: list[ProjectionInfo] = []
        if projection in {None, "state"}:
            built.append((yield from self.engine.rebuild_state()))
        if projection in {None, "causes"}:
            built.append((yield from self.engine.rebuild_causes()))
        return built

    def metrics(self) -> Program[Metrics]:
        head = yield from self.engine.head()
        numbers = yield from self.engine.numbers()
        projections = yield from self.engine.projections()
        return Metrics(position=head.position, projections=tuple(projections), **numbers)


def scope_of(stream: str) -> Scope | None:
    """Return the scope of a stream; None where the stream is no scope's text (another library's)."""
    try:
        scope = Scope.parse(stream)
    except InvalidScopeError:
        return None
    return scope if str(scope) == stream else None


def _branch_name(name: object) -> str:
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= _LONGEST_BRANCH
        or not name.isprintable()
        or name == MAIN_NAME
    ):
        raise InvalidValueError(
            "name",
            rule=f"is no name for a branch: {name!r}",
            hint=f"Use 1 to {_LONGEST_BRANCH} printable characters, and not `main`.",
        )
    return name
