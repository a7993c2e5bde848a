"""Writes under faults, and what each was answered: the log must agree with every answer.

Acknowledged: written once, whole. `not_written`, or `unavailable` before that: not there. `unknown`:
there once and whole, or not.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from backstory import Event, Scope, StoreUnavailableError
from tests.support.awaited import awaited, run_blocking
from tests.support.folding import assert_whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from backstory import RecordedEvent, StateStore

    Write = Callable[[Any, str], Awaitable[Sequence[RecordedEvent]]]

LEFT: Final = Scope.agent("left")
RIGHT: Final = Scope.agent("right")
PLAIN: Final = Scope.user("plain")
NOTES: Final = Scope.session("notes")
TOTALS: Final = Scope.custom("totals")


async def write_value(store: Any, marker: str) -> Sequence[RecordedEvent]:
    return [await store.set(PLAIN, "value", {"by": marker})]


async def write_many(store: Any, marker: str) -> Sequence[RecordedEvent]:
    values = {f"key-{number}": {"by": marker, "text": "x" * 3000} for number in range(4)}
    events: Sequence[RecordedEvent] = await store.set_many(PLAIN, values)
    return events


async def write_pair(store: Any, marker: str) -> Sequence[RecordedEvent]:
    async with store.transaction() as tx:
        pair = (await tx.get(LEFT, "pair", {"number": 0}))["number"] + 1
        value = {"by": marker, "number": pair}
        written = [await tx.set(LEFT, "pair", value), await tx.set(RIGHT, "pair", value)]
        return [*written, *await tx.append(NOTES, Event("pair.made", value))]


async def write_notes(store: Any, marker: str) -> Sequence[RecordedEvent]:
    """Append events with ids of their own, as long as nobody knows whether they were written: they are stored once."""
    notes = [Event("note.taken", {"by": marker}, event_id=uuid4()) for _ in range(2)]
    try:
        events: Sequence[RecordedEvent] = await store.append(NOTES, notes)
    except StoreUnavailableError as error:
        if error.outcome != "unknown":
            raise
        with suppress(StoreUnavailableError):
            return list(await store.append(NOTES, notes))
        raise
    return events


async def add_one(store: Any, marker: str) -> Sequence[RecordedEvent]:
    await store.increment(TOTALS, "sum", metadata={"by": marker})
    return []


WRITES: Final[tuple[Write, ...]] = (write_value, write_pair, write_many, add_one, write_notes, write_pair, write_value)


@dataclass
class FaultLedger:
    """What writers were answered, by marker."""

    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    not_written: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    errors: list[StoreUnavailableError] = field(default_factory=list)

    def write(self, store: StateStore, write: Write) -> StoreUnavailableError | None:
        """Make a write and note the answer; return the error if it was one."""
        return run_blocking(self.write_async(awaited(store), write))

    async def write_async(self, store: Any, write: Write) -> StoreUnavailableError | None:
        """Do as `write` on an asynchronous store."""
        marker = uuid4().hex
        try:
            events = await write(store, marker)
        except StoreUnavailableError as error:
            self.errors.append(error)
            (self.unknown if error.outcome == "unknown" else self.not_written).add(marker)
            return error
        self.acknowledged[marker] = [event.event_id.hex for event in events]
        return None

    def add(self, other: FaultLedger) -> None:
        """Take another writer's notes in."""
        self.acknowledged.update(other.acknowledged)
        self.not_written |= other.not_written
        self.unknown |= other.unknown
        self.errors += other.errors

    @property
    def failed(self) -> int:
        """How many writes were not acknowledged."""
        return len(self.not_written) + len(self.unknown)

    def assert_true(self, store: StateStore) -> None:
        """Assert that a store's log is whole and agrees with every answer."""
        assert all(error.hint and str(error).endswith(error.hint) for error in self.errors)
        log = assert_whole(store)
        found: dict[str, list[RecordedEvent]] = defaultdict(list)
        for event in log:
            found[_marker(event)].append(event)
        assert found.keys() <= self.acknowledged.keys() | self.unknown
        for marker, ids in self.acknowledged.items():
            assert marker in found
            assert ids in ([], [event.event_id.hex for event in found[marker]])
        for events in found.values():
            _assert_whole_write(events)
        assert store.get(TOTALS, "sum", 0) == sum(event.stream == str(TOTALS) for event in log)
        assert store.get(LEFT, "pair") == store.get(RIGHT, "pair")


@dataclass
class ForgivingLedger(FaultLedger):
    """A ledger for stores that may lose what they acknowledged: it counts that, and insists on all else."""

    lost: int = 0

    def assert_true(self, store: StateStore) -> None:
        """Assert that a store's log is whole, whatever it has lost."""
        kept = {event.event_id.hex for event in store.log()}
        self.lost += sum(not kept.issuperset(ids) for ids in self.acknowledged.values())
        told, self.acknowledged = self.acknowledged, {}
        self.unknown |= told.keys()
        super().assert_true(store)
        self.acknowledged = told


def _marker(event: RecordedEvent) -> str:
    if event.metadata:
        return str(event.metadata["by"])
    value: Any = event.data
    return str(value["value"]["by"] if event.type == "state.set" else value["by"])


def _assert_whole_write(events: list[RecordedEvent]) -> None:
    """Assert that a write's events are all there and lie side by side."""
    assert all(after.position == before.position + 1 for before, after in pairwise(events))
    kinds = [(event.stream, event.type, event.key) for event in events]
    assert kinds in WHOLE


WHOLE: Final = (
    [(str(PLAIN), "state.set", "value")],
    [(str(PLAIN), "state.set", f"key-{number}") for number in range(4)],
    [(str(LEFT), "state.set", "pair"), (str(RIGHT), "state.set", "pair"), (str(NOTES), "pair.made", None)],
    [(str(NOTES), "note.taken", None)] * 2,
    [(str(TOTALS), "state.set", "sum")],
)
