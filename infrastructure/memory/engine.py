"""The in-memory engine: lists and dictionaries behind the same port as the databases."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

from backstory.domain.branches import FOREVER, MAIN, MAIN_NAME, BranchRow, Lineage
from backstory.domain.chain import genesis
from backstory.domain.commits import NEVER, Commit, KeyHead, Outcome, split_causes
from backstory.domain.errors import StoreClosedError
from backstory.domain.events import JSON_FORMAT, StoredEvent
from backstory.domain.packed_events import PackedPage, packed_page
from backstory.domain.patterns import any_match
from backstory.domain.ports import (
    Clock,
    Held,
    LogHead,
    LogQuery,
    Program,
    ProjectionInfo,
    Recovery,
    StateRow,
    Step,
    Stop,
    never,
)
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET, Batch
from backstory.infrastructure.appending import Memory, append
from backstory.infrastructure.codec import reads_of, shared_reads_of
from backstory.infrastructure.programs import advance, drive
from backstory.infrastructure.waiting import Signal

P = ParamSpec("P")
T = TypeVar("T")


def _locked(method: Callable[Concatenate[MemoryEngine, P], T]) -> Callable[Concatenate[MemoryEngine, P], Program[T]]:
    """Make a program of a method that runs at once, under the lock of an open engine."""

    def program(self: MemoryEngine, /, *args: P.args, **kwargs: P.kwargs) -> Program[T]:
        with self._lock:
            if self._closed:
                raise StoreClosedError
            return method(self, *args, **kwargs)
        yield

    return program


def _no_request(request: object) -> object:
    msg = f"the memory engine has nothing to wait for, yet was asked {request!r}"
    raise AssertionError(msg)


class MemoryEngine:
    """A log in this process's memory; gone with `close`."""

    recovery: Recovery | None = None

    def __init__(self, clock: Clock, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self.log_id = uuid4().bytes
        self.writer_id = uuid4().hex
        self._clock = clock
        self._lock = threading.RLock()
        self._closed = False
        self._memory = Memory()
        self._rows: list[StoredEvent] = []
        self._by_id: dict[bytes, int] = {}
        self._streams: dict[tuple[int, str], list[int]] = {}
        self._correlations: dict[bytes, list[int]] = {}
        self._peaks: dict[tuple[int, str], list[int]] = {}
        self._keys: dict[tuple[int, str], dict[str, list[int]]] = {}
        self._clears: dict[tuple[int, str], list[int]] = {}
        self._effects: dict[int, list[int]] = {}
        self._branches = [BranchRow(MAIN, MAIN_NAME, None, 0, 0, 0)]
        self._tracking: dict[str, int] = {}
        self._state: dict[tuple[int, str], dict[str, int]] | None = {}
        self._signal = Signal(lambda position: len(self._rows) > position, poll_s=None)

    # Driving

    def advance(self, program: Program[Any], request: Any) -> Step:
        """Answer requests; there are none, for memory answers at once."""
        return advance(program, request, _no_request)

    async def advance_async(self, program: Program[Any], request: Any) -> Step:
        """Answer requests; there are none, for memory answers at once."""
        return advance(program, request, _no_request)

    def commit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Store a group of commits."""
        with self._lock:
            if self._closed:
                raise StoreClosedError
            before = len(self._rows), list(self._branches), dict(self._tracking)
            try:
                batch = drive(append(self, commits, self._memory, self._clock.now_us()), _no_request)
            except BaseException:
                self._undo(*before)
                raise
        if batch.rows:
            self._signal.wake()
        return batch.outcomes

    async def commit_async(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Store a group of commits."""
        return self.commit(commits)

    def wait(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Block until the log grew past a position."""
        return self._signal.wait(position, timeout_s, stop)

    async def wait_async(self, position: int, timeout_s: float, stop: Stop = never) -> bool:
        """Wait until the log grew past a position."""
        return await self._signal.wait_async(position, timeout_s, stop)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._signal.wake()

    def close(self) -> None:
        """Forget the log."""
        self._closed = True
        self._signal.wake()

    async def close_async(self) -> None:
        """Forget the log."""
        self.close()

    # Storing

    @_locked
    def insert(self, batch: Batch) -> None:
        """Store a batch."""
        for row in batch.rows:
            self._rows.append(row)
            self._index(row)
        for row, keys in batch.cleared:
            self._clears.setdefault((row.branch, row.stream), []).append(row.position)
            if self._state is not None:
                held = self._state.get((row.branch, row.stream), {})
                for key in keys:
                    if held.get(key, FOREVER) < row.position:
                        held.pop(key)
        self._branches.extend(batch.forks)
        for branch, position in batch.drops:
            self._branches[branch] = self._branches[branch]._replace(dropped=position)
        for tracking in batch.tracking:
            if tracking.position is None:
                self._tracking.pop(tracking.name, None)
            else:
                self._tracking[tracking.name] = tracking.position

    def _undo(self, count: int, branches: list[BranchRow], tracking: dict[str, int]) -> None:
        """Go back to so many events, wherever an interrupt struck: all else is made from them again."""
        del self._rows[count:]
        self._branches, self._tracking = branches, tracking
        self._memory.forget()
        for index in (self._by_id, self._streams, self._peaks, self._keys, self._clears, self._effects):
            index.clear()
        kept, self._state = self._state is not None, None
        for row in self._rows:
            self._index(row)
            if row.type == SCOPE_CLEARED and row.format == JSON_FORMAT:
                self._clears.setdefault((row.branch, row.stream), []).append(row.position)
        if kept:
            self._state = self._built_state()

    def _index(self, row: StoredEvent) -> None:
        at = (row.branch, row.stream)
        self._by_id[row.event_id] = row.position
        self._streams.setdefault(at, []).append(row.position)
        peaks = self._peaks.setdefault(at, [])
        peaks.append(max(row.version, peaks[-1]) if peaks else row.version)
        if row.correlation is not None:
            self._correlations.setdefault(row.correlation, []).append(row.position)
        if row.causes is not None or row.extra is not None:
            self._link(row)
        if row.key is None:
            return
        if row.type in {STATE_SET, STATE_DELETED}:
            self._keys.setdefault(at, {}).setdefault(row.key, []).append(row.position)
        if self._state is None:
            return
        if row.type == STATE_SET:
            self._state.setdefault(at, {})[row.key] = row.position
        elif row.type in {STATE_DELETED, STATE_EXPIRED}:
            self._state.get(at, {}).pop(row.key, None)

    def _link(self, row: StoredEvent) -> None:
        for cause in self._referred(row):
            self._effects.setdefault(cause, []).append(row.position)

    def _referred(self, row: StoredEvent) -> set[int]:
        """Return the positions of an event's causes, of what it read, and of the write with which it shares reads."""
        shared = shared_reads_of(row.extra)
        named = split_causes(row.causes) if shared is None else [*split_causes(row.causes), shared]
        return {self._by_id[event_id] for event_id in named}.union(reads_of(row.extra))

    # Reading

    @_locked
    def head(self) -> LogHead:
        """Return the log's last event's place."""
        if not self._rows:
            return LogHead(0, 0, genesis(self.log_id))
        last = self._rows[-1]
        return LogHead(last.position, last.recorded_us, last.hash)

    @_locked
    def instant_of(self, position: int) -> int:
        """Return when the event at a position was recorded."""
        return self._rows[position - 1].recorded_us if position else 0

    @_locked
    def position_at(self, instant_us: int) -> int:
        """Return the last position recorded at or before an instant."""
        return bisect_right(self._rows, instant_us, key=lambda row: row.recorded_us)

    @_locked
    def event(self, event_id: bytes) -> StoredEvent | None:
        """Return the event with this id, or None."""
        position = self._by_id.get(event_id)
        return None if position is None else self._rows[position - 1]

    @_locked
    def events(self, ids: Sequence[bytes]) -> list[StoredEvent | None]:
        """Return the event of each id, or None, in the order asked."""
        positions = map(self._by_id.get, ids)
        return [None if position is None else self._rows[position - 1] for position in positions]

    @_locked
    def events_at(self, positions: Sequence[int]) -> list[StoredEvent]:
        """Return the events at these positions, in log order."""
        return [self._rows[at - 1] for at in sorted(set(positions)) if 0 < at <= len(self._rows)]

    @_locked
    def effects(self, lineage: Lineage, positions: Sequence[int], until: int) -> list[tuple[int, int]]:
        """Return (cause, effect) of these causes' effects on a lineage."""
        limits = dict(lineage)
        pairs = ((cause, effect) for cause in sorted(set(positions)) for effect in self._effects.get(cause, ()))
        return [(cause, at) for cause, at in pairs if at <= min(until, limits.get(self._rows[at - 1].branch, 0))]

    @_locked
    def named_as_cause(self, positions: Sequence[int]) -> set[int]:
        """Return those of these positions that an event names as a cause."""
        return self._effects.keys() & set(positions)

    def key_now(self, lineage: Lineage, stream: str, key: str) -> Program[KeyHead]:
        """Return what last happened to a key so far."""
        return self.key_head(lineage, stream, key, FOREVER)

    @_locked
    def key_head(self, lineage: Lineage, stream: str, key: str, position: int) -> KeyHead:
        """Return what last happened to a key."""
        return self._key_head(lineage, stream, key, position)

    def _key_head(self, lineage: Lineage, stream: str, key: str, position: int) -> KeyHead:
        cleared_at = 0
        for branch, limit in lineage:
            bound = min(limit, position)
            cleared_at = cleared_at or _last(self._clears.get((branch, stream), ()), bound)
            found = _last(self._keys.get((branch, stream), {}).get(key, ()), bound)
            if found:
                return self._turned(self._rows[found - 1], cleared_at, lineage, stream, position)
        return NEVER

    def _turned(self, event: StoredEvent, cleared_at: int, lineage: Lineage, stream: str, position: int) -> KeyHead:
        if event.type == STATE_DELETED:
            return KeyHead(event.version, event.position, False, None, None)
        if cleared_at < event.position:
            return KeyHead(event.version, event.position, True, event.expires_us, event.data)
        for clear in self._clears_after(event.position, lineage, stream, position):
            if event.expires_us is None or event.expires_us > clear.recorded_us:
                return KeyHead(clear.version, clear.position, False, None, None)
            break
        return KeyHead(event.version, event.position, True, event.expires_us, event.data)

    def _clears_after(self, after: int, lineage: Lineage, stream: str, position: int) -> Iterator[StoredEvent]:
        found = [
            at
            for branch, limit in lineage
            for at in self._clears.get((branch, stream), ())
            if after < at <= min(limit, position)
        ]
        return (self._rows[at - 1] for at in sorted(found))

    @_locked
    def key_events(self, lineage: Lineage, stream: str, key: str, position: int) -> list[StoredEvent]:
        """Return the key's state events and its stream's clears, in log order."""
        found: list[int] = []
        for branch, limit in lineage:
            bound = min(limit, position)
            for positions in (
                self._keys.get((branch, stream), {}).get(key, ()),
                self._clears.get((branch, stream), ()),
            ):
                found.extend(at for at in positions if at <= bound)
        return [self._rows[at - 1] for at in sorted(found)]

    @_locked
    def listing(self, lineage: Lineage, stream: str, position: int | None, prefix: str) -> list[tuple[str, KeyHead]]:
        """Return the live keys of a stream, sorted."""
        if position is None and len(lineage) == 1 and self._state is not None:
            held = self._state.get((lineage[0][0], stream), {})
            return [(key, _set_head(self._rows[held[key] - 1])) for key in sorted(held) if key.startswith(prefix)]
        return self._listing(lineage, stream, FOREVER if position is None else position, prefix)

    def _listing(self, lineage: Lineage, stream: str, position: int, prefix: str) -> list[tuple[str, KeyHead]]:
        keys = {key for branch, _ in lineage for key in self._keys.get((branch, stream), ()) if key.startswith(prefix)}
        heads = ((key, self._key_head(lineage, stream, key, position)) for key in sorted(keys))
        return [(key, head) for key, head in heads if head.live]

    @_locked
    def whole(self, lineage: Lineage, position: int) -> dict[str, dict[str, Held]]:
        """Return the live values of all streams."""
        branches = {branch for branch, _ in lineage}
        streams = {stream for branch, stream in self._keys if branch in branches}
        return {stream: self._held(lineage, stream, position) for stream in streams}

    def _held(self, lineage: Lineage, stream: str, position: int) -> dict[str, Held]:
        heads = self._listing(lineage, stream, position, "")
        return {key: (head.expires_us, head.data) for key, head in heads if head.data is not None}

    @_locked
    def streams(self, lineage: Lineage, position: int) -> list[str]:
        """Return the streams with an event."""
        limits = dict(lineage)
        return sorted(
            {
                stream
                for (branch, stream), positions in self._streams.items()
                if branch in limits and positions[0] <= min(limits[branch], position)
            }
        )

    @_locked
    def present(self, branch: int, now_us: int) -> list[str] | None:
        """Return the streams of a branch of its own that hold a value now."""
        if self._state is None:
            return None
        return sorted(
            stream
            for (home, stream), held in self._state.items()
            if home == branch and any(_set_head(self._rows[at - 1]).present(now_us) for at in held.values())
        )

    @_locked
    def stream_version(self, lineage: Lineage, stream: str, position: int) -> int:
        """Return how many events a stream has."""
        for branch, limit in lineage:
            count = bisect_right(self._streams.get((branch, stream), ()), min(limit, position))
            if count:
                return self._peaks[branch, stream][count - 1]
        return 0

    @_locked
    def page(self, query: LogQuery) -> list[StoredEvent]:
        """Return events that match."""
        found: list[StoredEvent] = []
        rows = self._candidates(query)
        for row in rows:
            if _matches(row, query):
                found.append(row)
                if len(found) == query.limit:
                    break
        return found

    def packed(self, query: LogQuery) -> Program[PackedPage]:
        """Return events that match, as records; these are made with the lock let go."""
        return packed_page((yield from self.page(query)))

    def weight(self, query: LogQuery) -> Program[int]:
        """Return how many bytes of data match."""
        return sum(len(row.data) for row in (yield from self.page(query)))

    def _candidates(self, query: LogQuery) -> Iterable[StoredEvent]:
        until = min(query.until, len(self._rows))
        if query.stream is None and query.correlation is not None:
            together = self._correlated(query.correlation)
            positions: Sequence[int] = together[bisect_right(together, query.after) : bisect_right(together, until)]
        elif query.stream is None:
            positions = range(max(query.after, 0) + 1, until + 1)
        else:
            merged: list[int] = []
            for branch, _ in query.lineage:
                merged.extend(self._streams.get((branch, query.stream), ()))
            merged.sort()
            positions = merged[bisect_right(merged, query.after) : bisect_right(merged, until)]
            if query.versions is not None:
                positions = sorted(positions, key=lambda at: self._rows[at - 1].version)
        return (self._rows[at - 1] for at in (reversed(positions) if query.reverse else positions))

    def _correlated(self, correlation: bytes) -> list[int]:
        """Return the positions of a correlation's events; the one that began it may not name it."""
        together = self._correlations.get(correlation, [])
        first = self._by_id.get(correlation[1:]) if correlation[:1] == b"u" else None
        if first is None or self._rows[first - 1].correlation is not None:
            return together
        return sorted((first, *together))

    @_locked
    def expiring(self, lineage: Lineage, since_us: int, until_us: int) -> list[tuple[str, str]]:
        """Return keys whose set expires in a span of time."""
        limits = dict(lineage)
        return sorted(
            {
                (row.stream, row.key)
                for row in self._rows
                if row.expires_us is not None
                and row.key is not None
                and since_us < row.expires_us <= until_us
                and row.position <= limits.get(row.branch, -1)
            }
        )

    @_locked
    def expired(self, branch: int, now_us: int) -> list[tuple[str, str]]:
        """Return live keys whose value is expired and not swept."""
        found: list[tuple[str, str]] = []
        for (home, stream), held in (self._state or {}).items():
            if home == branch:
                rows = ((key, self._rows[position - 1].expires_us) for key, position in held.items())
                found.extend((stream, key) for key, expires in rows if expires is not None and expires <= now_us)
        return sorted(found)

    @_locked
    def branches(self) -> list[BranchRow]:
        """Return all branches ever made."""
        return list(self._branches)

    @_locked
    def tracking(self, name: str) -> int | None:
        """Return the highest position that a consumer stored."""
        return self._tracking.get(name)

    @_locked
    def trackings(self, prefix: str) -> dict[str, int]:
        """Return the position of every consumer whose name begins with a text."""
        return {name: position for name, position in self._tracking.items() if name.startswith(prefix)}

    @_locked
    def living_writers(self) -> set[str]:
        """Return this engine's id: nobody else can write."""
        return {self.writer_id}

    # Care

    @_locked
    def rebuild_state(self) -> ProjectionInfo:
        """Build the current-state projection again."""
        self._state = self._built_state()
        return self._state_info()

    @_locked
    def rebuild_causes(self) -> ProjectionInfo:
        """Build the index from causes to effects again."""
        self._effects.clear()
        for row in self._rows:
            self._link(row)
        return self._causes_info()

    @_locked
    def causes_amiss(self) -> list[int]:
        """Return the effects of which the index says something else than the events."""
        named = {(cause, row.position) for row in self._rows for cause in self._referred(row)}
        indexed = {(cause, effect) for cause, effects in self._effects.items() for effect in effects}
        return sorted({effect for _, effect in named ^ indexed})

    def _built_state(self) -> dict[tuple[int, str], dict[str, int]]:
        state: dict[tuple[int, str], dict[str, int]] = {}
        swept: dict[tuple[int, str, str], int] = {}
        for row in self._rows:
            if row.type == STATE_EXPIRED and row.key is not None:
                swept[row.branch, row.stream, row.key] = row.position
        for (branch, stream), keys in self._keys.items():
            for key in keys:
                head = self._key_head(((branch, FOREVER),), stream, key, FOREVER)
                if head.live and swept.get((branch, stream, key), 0) < head.position:
                    state.setdefault((branch, stream), {})[key] = head.position
        return state

    def _state_info(self) -> ProjectionInfo:
        rows = sum(len(keys) for keys in (self._state or {}).values())
        return ProjectionInfo("state", len(self._rows) if self._state is not None else 0, rows)

    def _causes_info(self) -> ProjectionInfo:
        return ProjectionInfo("causes", len(self._rows), sum(map(len, self._effects.values())))

    @_locked
    def drop_state(self) -> None:
        """Drop the current-state projection."""
        self._state = None

    @_locked
    def state_rows(self, after: tuple[int, int]) -> list[StateRow]:
        """Return all of the projection's rows at once."""
        held = self._state or {}
        rows = sorted((b, stream, key, at) for (b, stream), keys in held.items() for key, at in keys.items())
        return [StateRow((number, 0), *row) for number, row in enumerate(rows, 1) if number > after[0]]

    @_locked
    def projections(self) -> list[ProjectionInfo]:
        """Return the stored projections."""
        return [self._state_info(), self._causes_info()]

    @_locked
    def damage(self) -> list[str]:
        """Return nothing: there are no files."""
        return []

    @_locked
    def numbers(self) -> dict[str, int]:
        """Return counts and sizes."""
        return {
            "events": len(self._rows),
            "streams": len(self._streams),
            "keys": sum(len(keys) for keys in self._keys.values()),
            "branches": sum(not row.dropped for row in self._branches),
            "bytes": sum(len(row.data) for row in self._rows),
        }


def _last(positions: Sequence[int], bound: int) -> int:
    at = bisect_right(positions, bound)
    return positions[at - 1] if at else 0


def _set_head(row: StoredEvent) -> KeyHead:
    return KeyHead(row.version, row.position, True, row.expires_us, row.data)


def _matches(row: StoredEvent, query: LogQuery) -> bool:
    versions = query.versions
    return (
        any(row.branch == branch and row.position <= limit for branch, limit in query.lineage)
        and (query.types is None or any_match(query.types, row.type))
        and query.key in {None, row.key}
        and query.actor in {None, row.actor}
        and query.format in {None, row.format}
        and query.correlation in {None, row.correlation or b"u" + row.event_id}
        and (versions is None or versions[0] < row.version <= versions[1])
    )
