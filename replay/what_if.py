"""What if: what would have happened without an event, with another value, or with one more.

The rules. An event whose cause vanishes vanishes too (or stays, and is listed as stale). Increments, copies and moves
are computed again from what they find then; any other write keeps its recorded value. A delete or a clear takes away
what is there then. A copy whose source is absent, and an increment of what is no number then, do not happen. What had
read something that would have been something else is listed as stale, what hooks did with input that would have been
another as assumed; unless they can be run again, on what would have been.

Only what follows from the change is looked at: events of the keys that differ, from where they differ on until they do
not any more; what copied them or read them; and what was caused by what vanished. In log order, each once.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from backstory.domain.branches import Lineage
from backstory.domain.decisions import add
from backstory.domain.errors import InvalidValueError
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.ports import LogQuery, Program, Reader
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_SET
from backstory.projections.causes import CAUSED_BY, READ, STRONG, Walker
from backstory.projections.points import At
from backstory.replay.derivation import COPIES, INCREMENT

Decode = Callable[[bytes], Any]
Place = tuple[str, str]
#: Where in the log: behind the event of a position, inserted events after it in their order.
Order = tuple[int, int]
_RUNS: Final = frozenset({"hook.executed", "hook.failed"})
_HOOKS: Final = ("hook.", "circuit.")
_PAGE: Final = 64
_STATE: Final = frozenset({STATE_SET, STATE_DELETED, SCOPE_CLEARED})


class Insertion(NamedTuple):
    """A write that did not happen: after a position, seen at the instant there; `value` `MISSING` deletes."""

    after: int
    instant_us: int
    place: Place
    value: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be otherwise: positions of events that are left out, others' values, and insertions."""

    without: frozenset[int] = frozenset()
    values: Mapping[int, Any] = field(default_factory=dict)
    insertions: Sequence[Insertion] = ()
    cascade: bool = True


class Held(NamedTuple):
    """A value, until it expires; `MISSING` for none."""

    value: Any = MISSING
    expires_us: int | None = None

    def seen(self, instant_us: int) -> Held:
        """Return what a reader at an instant sees."""
        return NOTHING if self.expires_us is not None and self.expires_us <= instant_us else self


NOTHING: Final = Held()


class Redone(NamedTuple):
    """What came of running the hooks of a write again: what it writes then, and the runs that were kept as they are.

    `value` `MISSING`: it does not happen.
    """

    value: Any
    assumed: Sequence[StoredEvent]


#: Runs the hooks of a write again: its event, their runs, the value before it, and what it is to write.
Redo = Callable[[StoredEvent, Sequence[StoredEvent], Any, Any], Program[Redone]]


@dataclass(slots=True)
class Outcome:
    """What would have happened otherwise: positions of events, and (place, what is, what would be) for keys."""

    vanished: set[int] = field(default_factory=set)
    recomputed: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    assumed: set[int] = field(default_factory=set)
    differences: list[tuple[Place, Any, Any]] = field(default_factory=list)
    events: dict[int, StoredEvent] = field(default_factory=dict)


class _Track:
    """What one key held, and what it would have held: one entry for each event that touches it.

    `gone` are the places of what does not happen, of all keys.
    """

    def __init__(self, rows: Sequence[StoredEvent], decode: Decode, gone: set[Order]) -> None:
        self.rows = [row for row in rows if row.type in _STATE]
        self._real_at: list[Order] = [(row.position, 0) for row in self.rows]
        self._real = [_held(row, decode) for row in self.rows]
        self._would_at = list(self._real_at)
        self._would = list(self._real)
        self._gone = gone

    def insert(self, order: Order, held: Held) -> None:
        """Take in a write that did not happen."""
        at = bisect_left(self._would_at, order)
        self._would_at.insert(at, order)
        self._would.insert(at, held)

    def put(self, order: Order, held: Held) -> None:
        """Have an event leave another value."""
        self._would[bisect_left(self._would_at, order)] = held

    def before(self, order: Order, instant_us: int) -> tuple[Held, Held]:
        """Return what the key held just before a place, and what it would have held, seen at an instant."""
        at = bisect_left(self._real_at, order)
        real = self._real[at - 1] if at else NOTHING
        at = bisect_left(self._would_at, order)
        while at and self._would_at[at - 1] in self._gone:
            at -= 1
        would = self._would[at - 1] if at else NOTHING
        return real.seen(instant_us), would.seen(instant_us)

    def next_after(self, order: Order) -> StoredEvent | None:
        """Return the next event that touched the key after a place."""
        at = bisect_left(self._real_at, (order[0] + 1, 0))
        return self.rows[at] if at < len(self.rows) else None

    def last_before(self, order: Order) -> StoredEvent | None:
        """Return the last write before or at a place, which readers of the key refer to."""
        at = bisect_left(self._real_at, (order[0] + 1, 0))
        return self.rows[at - 1] if at else None


def _held(row: StoredEvent, decode: Decode) -> Held:
    return Held(decode(row.data)["value"], row.expires_us) if row.type == STATE_SET else NOTHING


class WhatIf:
    """Works a change out on one branch. `canonical` gives equal values the same bytes."""

    def __init__(
        self,
        reader: Reader,
        lineage: Lineage,
        *,
        at: At,
        decode: Decode,
        canonical: Callable[[object], bytes],
        reads_of: Callable[[bytes | None], tuple[int, ...]],
        shared_of: Callable[[bytes | None], bytes | None],
        redo: Redo | None = None,
    ) -> None:
        """Look at events up to a point. `redo` runs hooks again; without it they are taken as they are recorded."""
        self._reader = reader
        self._lineage = lineage
        self._at = at
        self._decode = decode
        self._canonical = canonical
        self._redo = redo
        self._walker = Walker(
            reader,
            lineage,
            until=at.position,
            decode=decode,
            reads_of=reads_of,
            shared_of=shared_of,
            kinds=STRONG,
        )
        self._change = Change()
        #: Events that a link says were caused by later ones that vanish: what becomes of them is known only then.
        self._orphaned_before: set[int] = set()
        self._begin()

    def _begin(self) -> None:
        self._outcome = Outcome()
        self._tracks: dict[Place, _Track] = {}
        self._queue: list[Order] = []
        self._queued: set[Order] = set()
        self._gone: set[Order] = set()
        self._orphans = set(self._orphaned_before)

    def run(self, change: Change) -> Program[Outcome]:
        """Return what would have happened."""
        self._change = change
        known = -1
        while known < len(self._orphaned_before):
            known = len(self._orphaned_before)
            self._begin()
            yield from self._work()
        self._conclude()
        return self._outcome

    def _work(self) -> Program[None]:
        change = self._change
        yield from self._follow({*change.without, *change.values, *self._orphaned_before})
        inserted: dict[Order, Insertion] = {}
        for number, insertion in enumerate(change.insertions, 1):
            order = (insertion.after, number)
            inserted[order] = insertion
            self._gone.add(order)  # until its turn comes
            track = yield from self._track(insertion.place)
            track.insert(order, Held(insertion.value))
            self._enqueue(order)
        while self._queue:
            order = heapq.heappop(self._queue)
            if order in inserted:
                yield from self._insert(order, inserted[order])
            else:
                yield from self._visit(self._outcome.events[order[0]])

    def _enqueue(self, order: Order) -> None:
        if order not in self._queued:
            self._queued.add(order)
            heapq.heappush(self._queue, order)

    def _follow(self, positions: Iterable[int]) -> Program[None]:
        """Have events looked at when their turn comes."""
        found = yield from self._walker.at(positions)
        self._outcome.events.update(found)
        for position in found:
            self._enqueue((position, 0))

    def _track(self, place: Place) -> Program[_Track]:
        track = self._tracks.get(place)
        if track is None:
            rows = yield from self._reader.key_events(self._lineage, *place, self._at.position)
            self._walker.know(rows)
            self._outcome.events.update({row.position: row for row in rows})
            track = self._tracks[place] = _Track(rows, self._decode, self._gone)
        return track

    # One event at a time, in log order

    def _insert(self, order: Order, insertion: Insertion) -> Program[None]:
        track = yield from self._track(insertion.place)
        before = track.before(order, insertion.instant_us)[1]
        self._gone.discard(order)
        if self._differ(before, Held(insertion.value)):
            yield from self._spread(track, order)

    def _visit(self, row: StoredEvent) -> Program[None]:
        """Decide what becomes of an event."""
        if row.position in self._change.without:
            yield from self._vanish(row)
            return
        if row.position in self._orphans:
            if self._change.cascade:
                yield from self._drop(row)
                return
            self._outcome.stale.add(row.position)
        yield from self._check_reads(row)
        if row.type == STATE_SET:
            yield from self._set(row)
        elif row.type == STATE_DELETED and row.key is not None:
            track = yield from self._track((row.stream, row.key))
            real, would = track.before((row.position, 0), row.recorded_us)
            if self._differ(real, would):
                yield from self._removed(row, would.value)
        elif row.type == SCOPE_CLEARED:
            yield from self._cleared(row)

    def _set(self, row: StoredEvent) -> Program[None]:
        assert row.key is not None
        order = (row.position, 0)
        track = yield from self._track((row.stream, row.key))
        data = self._decode(row.data)
        recorded = Held(data["value"], row.expires_us)
        real, would = track.before(order, row.recorded_us)
        held = recorded
        if row.position in self._change.values:
            held = Held(self._change.values[row.position], row.expires_us)
        elif data["op"] in COPIES:
            source = yield from self._track((data["source"]["scope"], data["source"]["key"]))
            was, then = source.before(order, row.recorded_us)
            held = then if self._differ(was, then) else recorded
        elif data["op"] == INCREMENT and self._differ(real, would):
            held = Held(_sum(would.value, data["by"]), row.expires_us)
        if row.position not in self._change.values:
            other = self._differ(Held(real.value), Held(would.value))
            if held.value is not MISSING and (other or self._differ(Held(recorded.value), Held(held.value))):
                held = Held((yield from self._hooked(row, would.value, held.value)), held.expires_us)
        if held.value is MISSING:
            yield from self._drop(row)
        elif self._differ(recorded, held):
            if row.position not in self._change.values:
                self._outcome.recomputed.add(row.position)
            track.put(order, held)
            yield from self._spread(track, order)

    def _cleared(self, row: StoredEvent) -> Program[None]:
        """Run a clear's hooks again where it finds other keys: every key that differs is tracked."""
        order = (row.position, 0)
        found = set(self._decode(row.data)["keys"])
        differs = False
        for (stream, key), track in self._tracks.items():
            if stream == row.stream:
                real, would = track.before(order, row.recorded_us)
                if (real.value is MISSING) != (would.value is MISSING):
                    differs = True
                    found.symmetric_difference_update({key})
        if differs:
            yield from self._removed(row, sorted(found))

    def _removed(self, row: StoredEvent, before: Any) -> Program[None]:
        """Run the hooks of a removal again."""
        if (yield from self._hooked(row, before, None)) is MISSING:
            yield from self._drop(row)

    def _drop(self, row: StoredEvent) -> Program[None]:
        self._outcome.vanished.add(row.position)
        yield from self._vanish(row)

    def _vanish(self, row: StoredEvent) -> Program[None]:
        """Take an event away: what it caused goes too, and the keys that it touched are what they were before."""
        order = (row.position, 0)
        self._gone.add(order)
        edges = yield from self._walker.effects([row])
        orphans = {edge.effect for edge in edges if edge.kind == CAUSED_BY}
        self._orphaned_before |= {at for at in orphans if at < row.position}
        self._orphans |= orphans
        yield from self._follow(at for at in orphans if at > row.position)
        for place in self._places(row):
            yield from self._spread((yield from self._track(place)), order)

    def _places(self, row: StoredEvent) -> list[Place]:
        """Return the places that an event touches; of a clear, those too that it would have found."""
        if row.type == SCOPE_CLEARED:
            own = [(row.stream, key) for key in self._decode(row.data)["keys"]]
            return list(dict.fromkeys([*own, *(place for place in self._tracks if place[0] == row.stream)]))
        if row.type in {STATE_SET, STATE_DELETED} and row.key is not None:
            return [(row.stream, row.key)]
        return []

    def _spread(self, track: _Track, order: Order) -> Program[None]:
        """Have looked at whatever rests on a key from a place on: the next event of it, its copies, its readers."""
        following = track.next_after(order)
        if following is not None:
            self._enqueue((following.position, 0))
        last = track.last_before(order)
        if last is not None:
            edges = yield from self._walker.effects([last])
            yield from self._follow(edge.effect for edge in edges if edge.kind == READ and edge.effect > order[0])

    def _check_reads(self, row: StoredEvent) -> Program[None]:
        """List an event that stays though what it had read would have been something else."""
        reads = (yield from self._walker.reads([row]))[row.event_id]
        if row.type == STATE_SET:
            data = self._decode(row.data)
            if data["op"] in COPIES:
                reads -= {data["source"]["position"]}  # that is computed again
        for position, read in sorted((yield from self._walker.at(reads)).items()):
            for place in self._read_places(read):
                track = yield from self._track(place)
                # What was read stood there until the next write: whatever would have come in between counts too.
                following = track.next_after((position, 0))
                end = row.position if following is None else min(row.position, following.position)
                real, would = track.before((end, 0), row.recorded_us)
                if self._differ(Held(real.value), Held(would.value)):
                    self._outcome.stale.add(row.position)

    def _read_places(self, read: StoredEvent) -> list[Place]:
        if read.type == SCOPE_CLEARED:
            return [(read.stream, key) for key in self._decode(read.data)["keys"]]
        return [(read.stream, read.key)] if read.type in _STATE and read.key is not None else []

    # Hooks

    def _hooked(self, row: StoredEvent, before: Any, value: Any) -> Program[Any]:
        """Return what a write comes to with its hooks, whose input is another then; `MISSING` where they stop it."""
        runs = yield from self._runs_before(row)
        behind = yield from self._runs_behind(row)
        self._assume(behind)
        if not runs:
            return value
        if self._redo is None:
            self._assume(runs)
            return value
        redone = yield from self._redo(row, runs, before, value)
        self._assume(redone.assumed)
        return redone.value

    def _assume(self, runs: Iterable[StoredEvent]) -> None:
        for run in runs:
            self._outcome.events[run.position] = run
            self._outcome.assumed.add(run.position)

    def _runs_before(self, row: StoredEvent) -> Program[list[StoredEvent]]:
        """Return the runs of a write's hooks that stand right before it, in its commit."""
        found: list[StoredEvent] = []
        last = row.position
        while True:
            # They belong to the same as the write: nothing else is read.
            correlation = row.correlation or b"u" + row.event_id
            bounds = (max(0, last - 1 - _PAGE), last - 1)
            rows = yield from self._reader.page(LogQuery(self._lineage, *bounds, correlation=correlation, reverse=True))
            for each in rows:
                if each.position != last - 1 or not each.type.startswith(_HOOKS):
                    return found[::-1]
                last = each.position
                if self._is_run_of(each, row):
                    found.append(each)
            if len(rows) < _PAGE:
                return found[::-1]

    def _runs_behind(self, row: StoredEvent) -> Program[list[StoredEvent]]:
        """Return the runs of hooks behind a write, which it caused."""
        edges = yield from self._walker.effects([row])
        found = yield from self._walker.at(edge.effect for edge in edges if edge.kind == CAUSED_BY)
        return [each for at, each in sorted(found.items()) if self._is_run_of(each, row)]

    def _is_run_of(self, run: StoredEvent, row: StoredEvent) -> bool:
        return run.type in _RUNS and self._decode(run.data)["operation"] == str(UUID(bytes=row.event_id))

    def _differ(self, one: Held, other: Held) -> bool:
        if one.value is MISSING or other.value is MISSING:
            return one.value is not other.value
        return one.expires_us != other.expires_us or self._canonical(one.value) != self._canonical(other.value)

    def _conclude(self) -> None:
        outcome = self._outcome
        end = (self._at.position, 1 << 62)
        for place in sorted(self._tracks):
            real, would = self._tracks[place].before(end, self._at.instant_us)
            if self._differ(Held(real.value), Held(would.value)):
                outcome.differences.append((place, real.value, would.value))
        outcome.stale -= outcome.vanished


def _sum(current: Any, by: Any) -> Any:
    """Return what an increment makes of a value; `MISSING` where it would have been refused."""
    try:
        total = add(0 if current is MISSING else current, by, "by")
    except InvalidValueError:
        return MISSING
    return MISSING if isinstance(total, float) and not math.isfinite(total) else total
