"""What if: what would have happened without an event, with another value, or with one more.

The rules. An event whose cause vanishes vanishes too (or stays, and is listed as stale). Increments, copies and moves
are computed again from what they find then; any other write keeps its recorded value. A delete or a clear takes away
what is there then. A copy whose source is absent, and an increment of what is no number then, do not happen. What a
hook did with input that would have been another is kept as it is recorded, and listed as assumed.

Only what follows from the change is looked at: events of the keys that differ, from where they differ on until they do
not any more; what copied them or read them; and what was caused by what vanished. In log order, each once.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from backstory.domain.branches import Lineage
from backstory.domain.commits import split_causes
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.ports import Program, Reader
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_SET
from backstory.projections.points import At
from backstory.domain.decisions import add

Decode = Callable[[bytes], Any]
Place = tuple[str, str]
#: Where in the log: behind the event of a position, inserted events after it in their order.
Order = tuple[int, int]
_COPIES: Final = frozenset({"copy", "move"})
_RUNS: Final = frozenset({"hook.executed", "hook.failed"})
_MOST_RUNS: Final = 64
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


@dataclass(slots=True)
class Held:
    """A value from some place in the log on, until it expires; `MISSING` for none."""

    order: Order
    value: Any
    expires_us: int | None = None

    def seen(self, instant_us: int) -> Any:
        """Return what a reader at an instant sees."""
        return MISSING if self.expires_us is not None and self.expires_us <= instant_us else self.value


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
    """What one key held, and what it would have held: one entry for each event that touches it."""

    def __init__(self, rows: Sequence[StoredEvent], decode: Decode, place: Place) -> None:
        self.rows = [row for row in rows if row.type in _STATE]
        self.real = [Held((row.position, 0), *_held(row, decode)) for row in self.rows]
        self.would: list[Held] = [Held(each.order, each.value, each.expires_us) for each in self.real]
        self.gone: set[Order] = set()
        self.place = place

    def insert(self, held: Held) -> None:
        """Take in a write that did not happen."""
        orders = [each.order for each in self.would]
        self.would.insert(bisect_left(orders, held.order), held)

    def put(self, order: Order, value: Any, expires_us: int | None) -> None:
        """Have an event leave another value."""
        for each in self.would:
            if each.order == order:
                each.value, each.expires_us = value, expires_us

    def before(self, order: Order, instant_us: int) -> tuple[Any, Any]:
        """Return what the key held just before a place, and what it would have held, seen at an instant."""
        real = next((each for each in reversed(self.real) if each.order < order), None)
        left = (each for each in reversed(self.would) if each.order < order and each.order not in self.gone)
        would = next(left, None)
        return (
            MISSING if real is None else real.seen(instant_us),
            MISSING if would is None else would.seen(instant_us),
        )

    def after(self, order: Order) -> Iterator[StoredEvent]:
        """Return the events that touched the key after a place, in log order."""
        return (row for row in self.rows if (row.position, 0) > order)

    def last_before(self, order: Order) -> int | None:
        """Return the position of the last write before or at a place, which readers of the key refer to."""
        return next((row.position for row in reversed(self.rows) if (row.position, 0) <= order), None)


def _held(row: StoredEvent, decode: Decode) -> tuple[Any, int | None]:
    if row.type != STATE_SET:
        return MISSING, None
    return decode(row.data)["value"], row.expires_us


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
    ) -> None:
        self._reader = reader
        self._lineage = lineage
        self._at = at
        self._decode = decode
        self._canonical = canonical
        self._reads_of = reads_of
        self._shared_of = shared_of
        #: Whether an event, by its id, had read something that would have been something else.
        self._misled: dict[bytes, bool] = {}
        self._tracks: dict[Place, _Track] = {}
        self._events: dict[int, StoredEvent] = {}
        self._queue: list[Order] = []
        self._queued: set[Order] = set()
        self._change = Change()
        self._outcome = Outcome()
        self._ids: set[bytes] = set()

    def run(self, change: Change) -> Program[Outcome]:
        """Return what would have happened."""
        self._change = change
        wanted = {*change.without, *change.values}
        yield from self._fetch(wanted)
        for position in sorted(wanted):
            self._enqueue((position, 0))
        inserted: dict[Order, Insertion] = {}
        for number, insertion in enumerate(change.insertions, 1):
            order = (insertion.after, number)
            inserted[order] = insertion
            track = yield from self._track(insertion.place)
            track.insert(Held(order, insertion.value))
            track.gone.add(order)  # until its turn comes
            self._enqueue(order)
        while self._queue:
            order = heapq.heappop(self._queue)
            if order in inserted:
                yield from self._insert(order, inserted[order])
            else:
                yield from self._visit(self._events[order[0]])
        self._conclude()
        return self._outcome

    def _enqueue(self, order: Order) -> None:
        if order not in self._queued:
            self._queued.add(order)
            heapq.heappush(self._queue, order)

    def _fetch(self, positions: Iterable[int]) -> Program[None]:
        missing = sorted(set(positions) - self._events.keys())
        if missing:
            for row in (yield from self._reader.events_at(missing)):
                self._events[row.position] = row

    def _track(self, place: Place) -> Program[_Track]:
        track = self._tracks.get(place)
        if track is None:
            rows = yield from self._reader.key_events(self._lineage, *place, self._at.position)
            self._events.update({row.position: row for row in rows})
            track = self._tracks[place] = _Track(rows, self._decode, place)
        return track

    # One event at a time, in log order

    def _insert(self, order: Order, insertion: Insertion) -> Program[None]:
        track = self._tracks[insertion.place]
        before = track.before(order, insertion.instant_us)[1]
        track.gone.discard(order)
        if self._differ(before, insertion.value):
            yield from self._spread(track, order)

    def _visit(self, row: StoredEvent) -> Program[None]:
        """Decide what becomes of an event."""
        order = (row.position, 0)
        if row.position in self._change.without:
            yield from self._vanish(row)
            return
        causes = [cause for cause in split_causes(row.causes) if cause in self._ids]
        if causes and self._change.cascade:
            self._outcome.vanished.add(row.position)
            yield from self._vanish(row)
            return
        if causes:
            self._outcome.stale.add(row.position)
        yield from self._check_reads(row)
        if row.type == STATE_SET:
            yield from self._set(row, order)
        elif row.type in {STATE_DELETED, SCOPE_CLEARED}:
            for place in self._places(row):
                track = yield from self._track(place)
                yield from self._assume(row, *track.before(order, row.recorded_us))

    def _set(self, row: StoredEvent, order: Order) -> Program[None]:
        assert row.key is not None
        track = yield from self._track((row.stream, row.key))
        data = self._decode(row.data)
        real, would = track.before(order, row.recorded_us)
        value = data["value"]
        if row.position in self._change.values:
            value = self._change.values[row.position]
        elif data["op"] in _COPIES:
            source = yield from self._track((data["source"]["scope"], data["source"]["key"]))
            value = source.before(order, row.recorded_us)[1]
        elif data["op"] == "increment":
            value = _sum(would, data["by"])
        yield from self._assume(row, real, would)
        if value is MISSING:
            self._outcome.vanished.add(row.position)
            yield from self._vanish(row)
            return
        if self._differ(value, data["value"]):
            if row.position not in self._change.values:
                self._outcome.recomputed.add(row.position)
            track.put(order, value, row.expires_us)
            yield from self._spread(track, order)

    def _vanish(self, row: StoredEvent) -> Program[None]:
        """Take an event away: what it caused goes too, and the keys that it touched are what they were before."""
        self._ids.add(row.event_id)
        pairs = yield from self._reader.effects(self._lineage, [row.position], self._at.position)
        yield from self._follow(effect for _, effect in pairs)
        order = (row.position, 0)
        for place in self._places(row):
            track = yield from self._track(place)
            track.gone.add(order)
            yield from self._spread(track, order)

    def _places(self, row: StoredEvent) -> list[Place]:
        if row.type == SCOPE_CLEARED:
            return [(row.stream, key) for key in self._decode(row.data)["keys"]]
        if row.type in {STATE_SET, STATE_DELETED} and row.key is not None:
            return [(row.stream, row.key)]
        return []

    def _spread(self, track: _Track, order: Order) -> Program[None]:
        """Have looked at whatever rests on a key from a place on: the next event of it, its copies, its readers."""
        following = next(track.after(order), None)
        if following is not None:
            self._enqueue((following.position, 0))
        last = track.last_before(order)
        if last is None:
            return
        pairs = yield from self._reader.effects(self._lineage, [last], self._at.position)
        found = [effect for _, effect in pairs if (effect, 0) > order]
        yield from self._follow(found)
        yield from self._follow_sharing(found)

    def _follow_sharing(self, readers: Iterable[int]) -> Program[None]:
        """Have looked at whatever shares what these events have read."""
        readers = [at for at in readers if self._reads_of(self._events[at].extra)]
        while readers:
            pairs = yield from self._reader.effects(self._lineage, readers, self._at.position)
            yield from self._fetch(effect for _, effect in pairs)
            readers = sorted(
                {
                    effect
                    for reader, effect in pairs
                    if self._shared_of(self._events[effect].extra) == self._events[reader].event_id
                }
            )
            yield from self._follow(readers)

    def _follow(self, positions: Iterable[int]) -> Program[None]:
        positions = list(positions)
        yield from self._fetch(positions)
        for position in positions:
            self._enqueue((position, 0))

    def _check_reads(self, row: StoredEvent) -> Program[None]:
        """List an event that stays though what it had read would have been something else."""
        if row.type == STATE_SET and self._decode(row.data)["op"] in _COPIES:
            return
        if (yield from self._was_misled(row)):
            self._outcome.stale.add(row.position)

    def _was_misled(self, row: StoredEvent) -> Program[bool]:
        """Return whether what an event had read, or shares with earlier ones, would have been something else."""
        chain: list[StoredEvent] = []
        each: StoredEvent | None = row
        while each is not None and each.event_id not in self._misled:
            chain.append(each)
            shared = self._shared_of(each.extra)
            each = None if shared is None else (yield from self._reader.event(shared))
        misled = each is not None and self._misled[each.event_id]
        for event in reversed(chain):
            misled = misled or (yield from self._reads_differ(event))
            self._misled[event.event_id] = misled
        return misled

    def _reads_differ(self, row: StoredEvent) -> Program[bool]:
        """Return whether any of what an event itself says that it has read would have been something else."""
        reads = self._reads_of(row.extra)
        yield from self._fetch(reads)
        for position in reads:
            read = self._events.get(position)
            if read is None or read.key is None or read.type not in {STATE_SET, STATE_DELETED}:
                continue
            track = yield from self._track((read.stream, read.key))
            # What was read stood there until the next write: whatever would have come in between counts too.
            following = next(track.after((position, 0)), None)
            end = (row.position, 0) if following is None else min((row.position, 0), (following.position, 0))
            if self._differ(*track.before(end, row.recorded_us)):
                return True
        return False

    def _assume(self, row: StoredEvent, real: Any, would: Any) -> Program[None]:
        """Note that hooks ran for a write whose input would have been another one."""
        if not self._differ(real, would):
            return
        # They stand right before it, in the same commit.
        before = range(max(1, row.position - _MOST_RUNS), row.position)
        operation = str(UUID(bytes=row.event_id))
        for event in (yield from self._reader.events_at(before)):
            if event.type in _RUNS and self._decode(event.data)["operation"] == operation:
                self._events[event.position] = event
                self._outcome.assumed.add(event.position)

    def _differ(self, one: Any, other: Any) -> bool:
        if one is MISSING or other is MISSING:
            return one is not other
        return self._canonical(one) != self._canonical(other)

    def _conclude(self) -> None:
        end = (self._at.position, 1 << 62)
        for place in sorted(self._tracks):
            real, would = self._tracks[place].before(end, self._at.instant_us)
            if self._differ(real, would):
                self._outcome.differences.append((place, real, would))
        self._outcome.events = self._events
        self._outcome.stale -= self._outcome.vanished


def _sum(current: Any, by: Any) -> Any:
    """Return what an increment makes of a value; `MISSING` where it would have been refused."""
    base = 0 if current is MISSING else current
    if isinstance(base, bool) or not isinstance(base, (int, float, type(by))) or isinstance(base, (str, list, dict)):
        return MISSING
    try:
        return add(base, by, "value")
    except (TypeError, ArithmeticError):
        return MISSING
