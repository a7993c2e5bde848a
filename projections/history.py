"""History: how one key came to be what it is, and how two points differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from backstory.domain.branches import FOREVER, Lineage
from backstory.domain.events import MISSING, Change, StoredEvent, from_micros, value_in
from backstory.domain.ports import LogQuery, Program
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_SET
from backstory.projections.points import At
from backstory.projections.state import StateReader

_PAGE: Final = 1000
#: What `extra` holds where a value carries a schema; most do not, and need no decoding.
_SCHEMA: Final = b'"schema"'
Step = tuple[StoredEvent, Any, Any]


def steps(events: Iterable[StoredEvent], decode: Callable[[bytes], Any]) -> list[Step]:
    """Return (event, before, after) for each event that changed a key.

    `events` are the key's state events and its stream's clears, in log order. A clear counts
    only where the key was there to be cleared; a value that expired before is `MISSING` before.
    """
    found: list[Step] = []
    current: Any = MISSING
    expires_us: int | None = None
    for event in events:
        before = MISSING if expires_us is not None and expires_us <= event.recorded_us else current
        if event.type == SCOPE_CLEARED:
            if before is MISSING:
                continue
            current, expires_us = MISSING, None
        elif event.type == STATE_DELETED:
            current, expires_us = MISSING, None
        else:
            current, expires_us = value_in(event.data, decode), event.expires_us
        found.append((event, before, current))
    return found


def history(state: StateReader, stream: str, key: str, decode: Callable[[bytes], Any]) -> Program[list[Change]]:
    """Return every change of a key, oldest first."""
    events = yield from state.reader.key_events(state.lineage, stream, key, FOREVER)
    return [_change(event, before, after, decode) for event, before, after in steps(events, decode)]


def _change(event: StoredEvent, before: Any, after: Any, decode: Callable[[bytes], Any]) -> Change:
    return Change(
        position=event.position,
        version=event.version,
        event_id=UUID(bytes=event.event_id),
        before=before,
        after=after,
        recorded_at=from_micros(event.recorded_us),
        actor=None if event.actor is None else event.actor.decode(),
        type=event.type,
        schema=_schema_of(event.extra, decode),
    )


def _schema_of(extra: bytes | None, decode: Callable[[bytes], Any]) -> tuple[str, str] | None:
    if extra is None or _SCHEMA not in extra:
        return None
    found = decode(extra).get("schema")
    return None if found is None else (found[0], found[1])


def touched(
    state: StateReader, low: At, high: At, stream: str | None, decode: Callable[[bytes], Any]
) -> Program[list[tuple[str, str]]]:
    """Return the (stream, key) that may differ between two points: written, cleared or expired between."""
    keys: set[tuple[str, str]] = set()
    after = low.position
    while after < high.position:
        query = LogQuery(
            state.lineage,
            after=after,
            until=high.position,
            stream=stream,
            types=(STATE_SET, STATE_DELETED, SCOPE_CLEARED),
            limit=_PAGE,
        )
        page = yield from state.reader.page(query)
        for event in page:
            keys.update(_keys_of(event, decode))
        if len(page) < _PAGE:
            break
        after = page[-1].position
    span = sorted((low.instant_us, high.instant_us))
    expiring = yield from state.reader.expiring(state.lineage, span[0], span[1])
    keys.update(at for at in expiring if stream is None or at[0] == stream)
    return sorted(keys)


def _keys_of(event: StoredEvent, decode: Callable[[bytes], Any]) -> Sequence[tuple[str, str]]:
    if event.type == SCOPE_CLEARED:
        return [(event.stream, key) for key in decode(event.data)["keys"]]
    assert event.key is not None
    return [(event.stream, event.key)]


def differences(
    state: StateReader, from_: At, to: At, stream: str | None, decode: Callable[[bytes], Any]
) -> Program[list[tuple[str, str, Any, Any]]]:
    """Return (stream, key, before, after) for each key that differs between two points, sorted."""
    low, high = sorted((from_, to))
    keys = yield from touched(state, low, high, stream, decode)
    return (yield from _between((state, from_), (state, to), keys, decode))


def branch_differences(
    one: StateReader, other: StateReader, at: At, stream: str | None, decode: Callable[[bytes], Any]
) -> Program[list[tuple[str, str, Any, Any]]]:
    """Return (stream, key, here, there) for each key that differs between two branches of a log, sorted.

    Only what either has written since they parted is looked at.
    """
    parted = At(parting(one.lineage, other.lineage), at.instant_us)
    keys = yield from touched(one, parted, at, stream, decode)
    there = yield from touched(other, parted, at, stream, decode)
    return (yield from _between((one, at), (other, at), sorted({*keys, *there}), decode))


def parting(one: Lineage, other: Lineage) -> int:
    """Return the last position that two branches share."""
    limits = dict(other)
    return next((min(limit, limits[branch]) for branch, limit in one if branch in limits), 0)


def _between(
    left: tuple[StateReader, At],
    right: tuple[StateReader, At],
    keys: Iterable[tuple[str, str]],
    decode: Callable[[bytes], Any],
) -> Program[list[tuple[str, str, Any, Any]]]:
    """Return those keys that differ between two places, with what each holds."""
    (state, from_), (other_state, to) = left, right
    found: list[tuple[str, str, Any, Any]] = []
    for home, key in keys:
        before = yield from state.reader.key_head(state.lineage, home, key, from_.position)
        after = yield from other_state.reader.key_head(other_state.lineage, home, key, to.position)
        was = before.data if before.present(from_.instant_us) else None
        is_ = after.data if after.present(to.instant_us) else None
        one = MISSING if was is None else value_in(was, decode)
        other = MISSING if is_ is None else value_in(is_, decode)
        if _differs(one, other):
            found.append((home, key, one, other))
    return found


def _differs(one: Any, other: Any) -> bool:
    """Return whether two values differ as JSON does: True is not 1, 1 is not 1.0."""
    if type(one) is not type(other):
        return True
    if isinstance(one, dict):
        return one.keys() != other.keys() or any(_differs(part, other[key]) for key, part in one.items())
    if isinstance(one, list):
        return len(one) != len(other) or any(_differs(*pair) for pair in zip(one, other, strict=True))
    return bool(one != other)


differs = _differs
