"""The plain fold of a log, written here once more: what the store's own state must equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backstory import RecordedEvent, Scope, StateStore


def folded(events: Iterable[RecordedEvent]) -> dict[str, dict[str, Any]]:
    """Return the values that these events leave, by scope and key; for logs without ttl."""
    state: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.type == "state.set":
            assert event.key is not None
            state.setdefault(event.stream, {})[event.key] = event.data["value"]
        elif event.type == "state.deleted":
            state[event.stream].pop(str(event.key))
        elif event.type == "scope.cleared":
            for key in event.data["keys"]:
                state[event.stream].pop(key)
    return {scope: values for scope, values in state.items() if values}


def as_text(snapshot: dict[Scope, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a snapshot with its scopes as text."""
    return {str(scope): values for scope, values in snapshot.items()}


def current(store: StateStore) -> dict[str, dict[str, Any]]:
    """Return what the store says key by key scope by scope now: from its projection, not from a point."""
    return {str(scope): store.items(scope) for scope in store.scopes()}


def assert_whole(store: StateStore) -> list[RecordedEvent]:
    """Assert that a log is dense, in order and verified, and that state equals its fold; return the log."""
    log = list(store.log())
    assert list(range(1, len(log) + 1)) == [event.position for event in log]
    assert len({event.event_id for event in log}) == len(log)
    versions: dict[str, int] = {}
    for event in log:
        versions[event.stream] = versions.get(event.stream, 0) + 1
        assert versions[event.stream] == event.version
    times = [event.recorded_at for event in log]
    assert sorted(times) == times
    fold = folded(log)
    assert fold == current(store)
    assert fold == as_text(store.snapshot())
    report = store.verify()
    assert report.problems == []
    assert report.ok
    assert len(log) == report.events
    return log
