"""Writing: what a batch becomes in the tables, the same for every SQL engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from backstory.domain.commits import Tracking
from backstory.domain.events import StoredEvent
from backstory.domain.ports import Program
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET, Batch
from backstory.infrastructure.programs import gather
from backstory.infrastructure.sql.names import OTHER, STATE, NewNames
from backstory.infrastructure.sql.statements import Ask

_STATE_TYPES = frozenset((STATE_SET, STATE_DELETED))


class Many(NamedTuple):
    """A request for one statement with many rows of values."""

    name: str
    rows: list[tuple[Any, ...]]


@dataclass(slots=True)
class Rows:
    """A batch as rows: of the events table, and what becomes of the current-state projection."""

    events: list[tuple[Any, ...]] = field(default_factory=list)
    state: dict[tuple[int, int], tuple[int, int | None] | None] = field(default_factory=dict)
    clears: list[tuple[int, int, int, int]] = field(default_factory=list)

    @property
    def upserts(self) -> list[tuple[int, int, int, int | None]]:
        """Rows (stream, key, position, expires_us) that the projection gets."""
        return [(*at, *live) for at, live in self.state.items() if live is not None]

    @property
    def removals(self) -> list[tuple[int, int]]:
        """Rows (stream, key) that the projection loses."""
        return [at for at, live in self.state.items() if live is None]


def rows_of(batch: Batch, names: NewNames) -> Program[Rows]:
    """Return a batch's rows, giving numbers to new names on the way."""
    rows = Rows()
    cleared = {row.position: keys for row, keys in batch.cleared}
    add = rows.events.append
    settled = names.settled  # most names are; asking there first spares calls
    streams, keys, types = settled.streams, settled.keys, settled.types
    for row in batch.rows:
        stream = streams.get((row[1], row[2])) or names.known_stream(row[1], row[2])
        if stream is None:
            yield from _meet(batch, names)
            stream = yield from names.stream(row.branch, row.stream)
        kind = types.get(row[5]) or (yield from names.type(row[5]))
        key = None
        if row.key is not None:
            sort = STATE if row.type in _STATE_TYPES else OTHER
            key = keys.get((stream, sort, row.key)) or names.known_key(stream, sort, row.key)
            if key is None:
                yield from _meet(batch, names)
                key = yield from names.key(stream, sort, row.key)
        add((row[0], row[1], stream, row[3], row[4], kind, key, *row[7:]))
        if row.type == STATE_SET:
            rows.state[stream, key] = (row[0], row[8])  # type: ignore[index]
        elif row.type == STATE_DELETED:
            rows.state[stream, key] = None  # type: ignore[index]
        elif row.type in {SCOPE_CLEARED, STATE_EXPIRED}:
            yield from _removed(row, stream, cleared.get(row.position, ()), names, rows)
    return rows


def tracking_ask(queries: Mapping[str, str], tracking: Tracking) -> Ask:
    """Return what stores a consumer's position, or forgets the consumer."""
    if tracking.position is None:
        return Ask(queries["forget_tracking"], {"name": tracking.name})
    return Ask(queries["put_tracking"], {"name": tracking.name, "position": tracking.position})


def _meet(batch: Batch, names: NewNames) -> Program[None]:
    """Give numbers to all new names, the streams' first, in as few rounds as can be."""
    streams = {(row.branch, row.stream) for row in batch.rows}
    unknown = sorted(at for at in streams if names.known_stream(*at) is None)
    yield from gather([names.stream(*at) for at in unknown])
    keys = {
        (names.known_stream(row.branch, row.stream) or 0, STATE if row.type in _STATE_TYPES else OTHER, row.key)
        for row in batch.rows
        if row.key is not None
    }
    for row, cleared in batch.cleared:
        keys.update((names.known_stream(row.branch, row.stream) or 0, STATE, key) for key in cleared)
    yield from names.meet_keys(sorted(at for at in keys if names.known_key(*at) is None))


def _removed(row: StoredEvent, stream: int, cleared: tuple[str, ...], names: NewNames, rows: Rows) -> Program[None]:
    """Take the keys of a clear or an expiry out of the projection."""
    if row.type == SCOPE_CLEARED:
        rows.clears.append((stream, row.position, row.version, row.recorded_us))
    elif row.key is not None:
        cleared = (row.key,)
    for name in cleared:
        key = names.known_key(stream, STATE, name) or (yield from names.key(stream, STATE, name))
        rows.state[stream, key] = None
