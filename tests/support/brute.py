"""What if, the slow way: the whole log once more, event by event, under the rules and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from backstory import MISSING, Scope
from backstory.domain.events import from_micros
from backstory.infrastructure import codec
from tests.support.causal import reads_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backstory import RecordedEvent

Place = tuple[str, str]
State = dict[Place, tuple[Any, Any]]


@dataclass
class Replayed:
    """What a replay comes to."""

    diff: dict[Place, tuple[Any, Any]] = field(default_factory=dict)
    vanished: set[int] = field(default_factory=set)
    recomputed: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)


def seen(state: State, place: Place, instant: Any) -> Any:
    value, expires = state.get(place, (MISSING, None))
    return MISSING if expires is not None and expires <= instant else value


def same(one: Any, other: Any) -> bool:
    if one is MISSING or other is MISSING:
        return one is other
    return codec.canonical(one) == codec.canonical(other)


def total(base: Any, by: Any) -> Any:
    base = 0 if base is MISSING else base
    if isinstance(base, bool) or not isinstance(base, (int, float, Decimal)):
        return MISSING
    if {type(base), type(by)} == {float, Decimal}:
        return MISSING
    found = base + by
    return MISSING if isinstance(found, float) and not math.isfinite(found) else found


def brute_force(
    store: Any, *, without: Iterable[Any], replace: dict[Any, Any], insert: Iterable[Any], cascade: bool
) -> Replayed:
    """Replay a branch's whole log."""
    log = [event for event in store.log() if event.type != "link.added"]
    left_out = {given if isinstance(given, int) else given.position for given in without}
    values = {event.position: value for event, value in replace.items()}
    linked: dict[Any, set[Any]] = {}
    for event in store.log(types="link.added"):
        if event.data["kind"] == "caused_by":
            cause, effect = event.causation_ids
            linked.setdefault(effect, set()).add(cause)
    gone_ids: set[Any] = set()
    while True:  # once more for what links say was caused by something later
        before = set(gone_ids)
        outcome = _once(store, log, left_out, values, list(insert), linked, gone_ids, cascade)
        if before == gone_ids:
            return outcome


def _once(  # noqa: PLR0912, PLR0915, PLR0917, C901 - the rules, one after the other
    store: Any,
    log: list[RecordedEvent],
    left_out: set[int],
    values: dict[int, Any],
    insert: list[Any],
    linked: dict[Any, set[Any]],
    gone_ids: set[Any],
    cascade: bool,
) -> Replayed:
    outcome = Replayed()
    real: State = {}
    would: State = {}
    reads = reads_of(log)
    by_place = {event.position: event for event in log}
    items = sorted(
        [((event.position, 0), event) for event in log]
        + [((point, number), (scope, what)) for number, (point, scope, what) in enumerate(insert, 1)],
        key=lambda item: item[0],
    )
    past: list[tuple[int, State, State]] = []  # as it was right before each event
    for (position, _), item in items:
        if isinstance(item, tuple):
            scope, (verb, key, *value) = item
            would[str(Scope.parse(scope)), key] = (value[0], None) if verb == "set" else (MISSING, None)
            continue
        past.append((position, dict(real), dict(would)))
        event, now = item, item.recorded_at
        causes = {*event.causation_ids, *linked.get(event.event_id, ())}
        vanishes = position in left_out
        if not vanishes and causes & gone_ids:
            if cascade:
                vanishes = True
                outcome.vanished.add(position)
            else:
                outcome.stale.add(position)
        data = event.data if event.type.startswith(("state.", "scope.")) else {}
        place = (event.stream, event.key or "")
        copied = data.get("source", {}).get("position")
        if not vanishes:
            for at in reads[position] - {copied}:
                if at in by_place and _differs_for(by_place[at], event, log, past):
                    outcome.stale.add(position)
        if event.type == "state.set":
            recorded = (data["value"], data.get("expires_at"))
            new = recorded
            if position in values:
                new = (values[position], data.get("expires_at"))
            elif copied is not None:
                source = (data["source"]["scope"], data["source"]["key"])
                new = would.get(source, (MISSING, None))
                new = (seen(would, source, now), new[1])
            elif data["op"] == "increment":
                new = (total(seen(would, place, now), data["by"]), data.get("expires_at"))
            if not vanishes and new[0] is MISSING:
                vanishes = True
                outcome.vanished.add(position)
            if not vanishes:
                would[place] = new
                if position not in values and not (same(recorded[0], new[0]) and recorded[1] == new[1]):
                    outcome.recomputed.add(position)
            real[place] = recorded
        elif event.type == "state.deleted":
            real[place] = (MISSING, None)
            if not vanishes:
                would[place] = (MISSING, None)
        elif event.type == "scope.cleared":
            for state in (real, *([] if vanishes else [would])):
                for each in [each for each in state if each[0] == event.stream]:
                    state[each] = (MISSING, None)
        if vanishes:
            gone_ids.add(event.event_id)
    outcome.stale -= outcome.vanished | left_out
    now = _now(store)
    for place in {*real, *would}:
        pair = (seen(real, place, now), seen(would, place, now))
        if not same(*pair):
            outcome.diff[place] = pair
    return outcome


def _differs_for(
    read: RecordedEvent, event: RecordedEvent, log: list[RecordedEvent], past: list[tuple[int, State, State]]
) -> bool:
    """Whether what an event had read would have been something else by the time of the next write to it."""
    if read.type == "scope.cleared":
        places = [(read.stream, key) for key in read.data["keys"]]
    else:
        places = [(read.stream, read.key or "")] if read.type in {"state.set", "state.deleted"} else []
    for place in places:
        end = next((each.position for each in log if each.position > read.position and _touches(each, place)), None)
        end = event.position if end is None else min(end, event.position)
        _, real, would = next(each for each in past if each[0] == end)
        if not same(seen(real, place, event.recorded_at), seen(would, place, event.recorded_at)):
            return True
    return False


def _touches(event: RecordedEvent, place: Place) -> bool:
    if event.type == "scope.cleared":
        return event.stream == place[0]
    return event.type in {"state.set", "state.deleted"} and (event.stream, event.key) == place


def _now(store: Any) -> Any:
    last = next(iter(store.log(reverse=True, limit=1)), None)
    now = from_micros(store._core.clock.now_us())
    return now if last is None else max(now, last.recorded_at)
