"""Checking: everything that a store answers about its past, compared with the model at every position."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from backstory.domain.errors import NotFoundError
from backstory.domain.events import MISSING, RecordedEvent, from_micros
from backstory.domain.paths import render_path
from backstory.store import StateStore
from backstory.testing.model import Fact, Model, Point, differences, same

__all__ = ["check_branch", "check_events", "check_now", "check_same"]

Ids = dict[object, bytes]
_MICROSECOND = timedelta(microseconds=1)


def check_same(expected: Any, actual: Any, *about: Any) -> None:
    """Fail, naming what it is about, unless two values are the same to the last bit."""
    assert same(expected, actual), f"{' '.join(map(str, about))}:\n  model {expected!r}\n  store {actual!r}"


def check_events(model: Model, facts: Iterable[Fact], events: Iterable[RecordedEvent], about: str = "log") -> None:
    """Fail unless events are the facts, in this order, in every part that is known of them."""
    expected, actual = [_shown_fact(model.ids, fact) for fact in facts], [_shown_event(event) for event in events]
    for fact, event in zip(expected, actual, strict=False):
        check_same(fact, event, about, fact["position"])
    check_same(len(expected), len(actual), about)


def _shown_fact(ids: Ids, fact: Fact) -> dict[str, Any]:
    causes = (() if fact.cause is None else (fact.cause,)) + fact.causes
    data = fact.data
    if fact.about is not None:
        data = {
            **data,
            "operation": _text(ids, fact.about),
            "input": _sorted(data["input"]),
            "result": _sorted(data["result"]),
        }
    return {
        "position": fact.position,
        "branch": fact.branch,
        "stream": fact.stream,
        "version": fact.version,
        "type": fact.type,
        "key": fact.key,
        "data": _sorted(data),
        "recorded_at": from_micros(fact.recorded_us),
        "actor": fact.actor,
        "correlation_id": _correlation(ids, fact),
        "causes": tuple(ids.get(cause.token) for cause in causes),
        "event_id": ids.get(fact.token),
    }


def _correlation(ids: Ids, fact: Fact) -> str:
    if fact.correlation is not None:
        return fact.correlation
    whole = fact.root or fact.cause
    return _text(ids, fact) if whole is None else _correlation(ids, whole)


def _text(ids: Ids, fact: Fact) -> str:
    return str(UUID(bytes=ids[fact.token])) if fact.token in ids else "unknown"


def _shown_event(event: RecordedEvent) -> dict[str, Any]:
    data = event.data
    if event.type in {"hook.executed", "hook.failed"}:
        # How long it took, and in what words it failed, nobody can know before.
        data = {
            **data,
            "error": data["error"] is not None,
            "input": _sorted(data["input"]),
            "result": _sorted(data["result"]),
        }
        del data["duration_us"]
    elif event.type == "hook.registered":
        data = {name: part for name, part in data.items() if name not in {"code", "timeout_s"}}
    return {
        "position": event.position,
        "branch": event.branch_id,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "key": event.key,
        "data": _sorted(data),
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "correlation_id": event.correlation_id,
        "causes": tuple(cause.bytes for cause in event.causation_ids),
        "event_id": event.event_id.bytes,
    }


def _sorted(data: Any) -> Any:
    return dict(sorted(data.items())) if isinstance(data, dict) else data


def check_now(model: Model, store: StateStore, branch: int, clock_us: int) -> None:
    """Compare the state that a branch shows now."""
    expected = model.state(branch, (len(model.facts), max(clock_us, model.head_us)))
    actual = {str(scope): items for scope, items in store.snapshot().items()}
    check_same(expected, actual, "snapshot now on", branch)
    check_same(sorted(expected), list(map(str, store.scopes())), "scopes now on", branch)
    for stream in {fact.stream for fact in model.facts}:
        check_same(expected.get(stream, {}), store.items(stream), "items now of", stream, "on", branch)


def check_branch(model: Model, store: StateStore, branch: int) -> None:
    """Compare a branch's log, its state at every position and time, and the history of every key."""
    facts = model.log(branch, len(model.facts))
    check_events(model, facts, store.log(), f"log of {branch}")
    check_events(model, reversed(facts), store.log(reverse=True), f"log of {branch}, reversed")
    for position in range(len(model.facts) + 1):
        _check_position(model, store, branch, position)
    for stream, key in sorted(model.cells(branch, len(model.facts))):
        _check_history(model, store, branch, stream=stream, key=key)
    _check_differences(model, store, branch)


def _check_position(model: Model, store: StateStore, branch: int, position: int) -> None:
    expected = model.state(branch, model.at(position))
    _check_state(expected, store, position, f"on {branch}")
    fact = model.facts[position - 1] if position else None
    if fact is None:
        return
    assert fact.event_id is not None
    view = store.at(from_micros(fact.recorded_us) - _MICROSECOND)
    point = model.at_time(fact.recorded_us - 1)
    check_same(point[0], view.position, "position just before", position)
    check_same(model.state(branch, point).get(fact.stream, {}), view.items(fact.stream), "just before", position)
    point = model.at_time(fact.recorded_us)
    expected = model.state(branch, point)
    check_same(
        expected.get(fact.stream, {}), store.items(fact.stream, as_of=from_micros(point[1])), "at the time of", position
    )
    if fact.key is not None:
        _check_key(model, store, branch, stream=fact.stream, key=fact.key, position=position)


def _check_state(expected: dict[str, dict[str, Any]], store: StateStore, position: int, about: str) -> None:
    actual = {str(scope): items for scope, items in store.snapshot(as_of=position).items()}
    check_same(expected, actual, "snapshot at", position, about)
    check_same(sorted(expected), list(map(str, store.scopes(as_of=position))), "scopes at", position, about)
    for stream, items in expected.items():
        check_same(items, store.items(stream, as_of=position), "items of", stream, "at", position, about)
        check_same(list(items), store.keys(stream, as_of=position), "keys of", stream, "at", position, about)


def _check_key(model: Model, store: StateStore, branch: int, *, stream: str, key: str, position: int) -> None:
    value = model.state(branch, model.at(position)).get(stream, {}).get(key, MISSING)
    check_same(value, store.get(stream, key, MISSING, as_of=position), "get", stream, key, "at", position)
    check_same(value is not MISSING, store.exists(stream, key, as_of=position), "exists", stream, key, "at", position)
    for steps in _paths_into(value):
        guilty = model.blame(branch, stream, key, steps, position)
        path = render_path(steps) or None
        try:
            found = store.blame(stream, key, path=path, as_of=position).position
        except NotFoundError:
            found = None
        check_same(None if guilty is None else guilty.position, found, "blame", stream, key, path, "at", position)


def _paths_into(value: Any) -> list[tuple[str | int, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), ("gone",), *((step, *rest) for step, part in parts for rest in _paths_into(part) if rest != ("gone",))]


def _check_history(model: Model, store: StateStore, branch: int, *, stream: str, key: str) -> None:
    steps = model.history(branch, stream, key, len(model.facts))
    expected = [(fact.position, fact.version, fact.event_id, fact.type, before, after) for fact, before, after in steps]
    changes = store.history(stream, key)
    actual = [(one.position, one.version, one.event_id.bytes, one.type, one.before, one.after) for one in changes]
    check_same(expected, actual, "history of", stream, key, "on", branch)


def _check_differences(model: Model, store: StateStore, branch: int) -> None:
    state = cache(partial(model.state, branch))  # each is compared with many others, and nothing is written meanwhile
    head = len(model.facts)
    for position in range(head + 1):
        for other in {0, max(position - 1, 0), head // 2, head}:
            here, there = state(model.at(position)), state(model.at(other))
            check_same(differences(here, there), _diff(store, position, other), "diff of", position, "and", other)
            check_same(differences(there, here), _diff(store, other, position), "diff of", other, "and", position)
    points = [model.at_time(fact.recorded_us) for fact in model.facts]
    for one, two in zip(points, points[1:] + points[:1], strict=True):
        expected = differences(state(one), state(two))
        check_same(expected, _diff_of_times(store, one, two), "diff of", one, "and", two)


def _diff(store: StateStore, from_: Any, to: Any) -> list[tuple[str, str, Any, Any]]:
    return [(str(one.scope), one.key, one.before, one.after) for one in store.diff(from_, to)]


def _diff_of_times(store: StateStore, one: Point, two: Point) -> list[tuple[str, str, Any, Any]]:
    return _diff(store, from_micros(one[1]), from_micros(two[1]))
