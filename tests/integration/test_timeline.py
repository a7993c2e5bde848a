"""Timelines: what fits is in them, in order, page by page as at once, with what each event came of and led to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

import backstory
from backstory import Event, InvalidValueError
from backstory.testing.clock import ManualClock
from tests.support.causal import KEYS, SCOPES, Engine, depths_of, edges_of, linked_histories
from tests.support.on_a_loop import FACES, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backstory import RecordedEvent
    from tests.support.causal import History, Op

S, K = "agent:x", "k"


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as opened_store:
        yield opened_store


def places(events: Any) -> list[int]:
    return [event.position for event in events]


filters = st.fixed_dictionaries(
    {},
    optional={
        "scope": st.sampled_from(SCOPES),
        "key": st.sampled_from(KEYS),
        "actor": st.sampled_from(("ann", "nobody")),
        "types": st.sampled_from(("state.*", ["tool.called", "*.cleared"], "nothing")),
        "tags": st.sampled_from(("t", ["t"], ["t", "u"], [])),
        "artifact": st.sampled_from(("art", "other")),
        "correlation_id": st.just("tx"),
        "max_depth": st.integers(0, 3),
        "roots_only": st.booleans(),
        "leaves_only": st.booleans(),
    },
)
bounds = st.tuples(st.none() | st.integers(0, 40), st.none() | st.integers(0, 40))
orders = st.sampled_from(("chronological", "reverse", "depth", "type"))


def fits(event: RecordedEvent, asked: dict[str, Any]) -> bool:
    types = asked.get("types")
    many = [types] if isinstance(types, str) else types
    return (
        asked.get("scope", event.stream) == event.stream
        and asked.get("key", event.key) == event.key
        and asked.get("actor", event.actor) == event.actor
        and asked.get("correlation_id", event.correlation_id) == event.correlation_id
        and (many is None or any(_matches(event.type, each) for each in many))
        and set(asked.get("tags", ())) <= set(event.tags)
        and ("artifact" not in asked or asked["artifact"] in event.metadata.get("artifacts", ()))
    )


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def asked_for(  # noqa: PLR0917 - what is drawn
    history: History,
    steps: list[tuple[int, Op]],
    asked: dict[str, Any],
    bounds: tuple[int | None, int | None],
    order: str,
    limit: int,
) -> None:
    history.do(steps)
    for store in history.branches:
        log = list(store.log())
        head = store.position()
        since, until = (None if at is None else at % (head + 1) for at in bounds)
        depths = depths_of(log)
        edges = {edge[:2] for edge in edges_of(log)}
        effects, causes = {cause for cause, _ in edges}, {effect for _, effect in edges}
        found = [
            event
            for event in log
            if event.type != "link.added"
            and (since or 0) < event.position <= (head if until is None else until)
            and fits(event, asked)
            and depths[event.position] <= asked.get("max_depth", 10**9)
            and not (asked.get("roots_only") and event.position in causes)
            and not (asked.get("leaves_only") and event.position in effects)
        ]
        if order == "reverse":
            found.reverse()
        elif order == "depth":
            found.sort(key=lambda event: (depths[event.position], event.position))
        elif order == "type":
            found.sort(key=lambda event: (event.type, event.position))
        question = {**asked, "since": since, "until": until, "order": order}
        timeline = store.timeline(**question)
        assert found == [entry.event for entry in timeline.entries]
        assert [depths[event.position] for event in found] == [entry.depth for entry in timeline.entries]
        by_place = {event.position: event for event in log}
        for entry in timeline.entries:
            at = entry.event.position
            assert tuple(by_place[cause] for cause, effect in sorted(edges) if effect == at) == entry.causes
            assert tuple(by_place[effect] for cause, effect in sorted(edges) if cause == at) == entry.effects
        assert len(found) == len(timeline)
        assert found[:limit] == [entry.event for entry in store.timeline(**question, limit=limit).entries]
        assert timeline.entries == list(paged(store, question, order, limit or 1))


def paged(store: Any, question: dict[str, Any], order: str, limit: int) -> Iterator[Any]:
    """Return the entries of all pages; orders that are no places in the log have but one."""
    if order not in {"chronological", "reverse"}:
        yield from store.timeline(**question).entries
        return
    question = dict(question)
    while True:
        page = store.timeline(**question, limit=limit).entries
        yield from page
        if len(page) < limit:
            return
        last = page[-1].event.position
        if order == "reverse":
            question["until"] = last - 1
        else:
            question["since"] = last


def test_what_fits_is_there_in_order_and_page_by_page(engine: Engine) -> None:
    engine.holds(asked_for, linked_histories, filters, bounds, orders, st.integers(0, 7))


def test_pages_of_the_log_that_are_read_one_by_one_are_no_matter(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backstory.tracing._PAGE", 2)
    monkeypatch.setattr("backstory.projections.causes._PAGE", 2)
    monkeypatch.setattr("backstory.projections.causes._AHEAD", 1)
    engine.holds(asked_for, linked_histories, filters, bounds, orders, st.integers(0, 7), share=0.3)


def counted(history: History, steps: list[tuple[int, Op]], asked: dict[str, Any]) -> None:
    history.do(steps)
    store = history.store
    timeline = store.timeline(**asked)
    shown = {entry.event.position: entry.event for entry in timeline.entries}
    edges = {edge[:2] for edge in edges_of(store.log()) if {edge[0], edge[1]} <= set(shown)}
    stats = timeline.stats
    roots = [at for at in shown if not any(effect == at for _, effect in edges)]
    leaves = [at for at in shown if not any(cause == at for cause, _ in edges)]
    chains = longest(edges, list(shown))
    assert (len(shown), len(edges), len(roots), len(leaves)) == (stats.events, stats.edges, stats.roots, stats.leaves)
    assert max((len(chain) for chain in chains), default=1) - 1 == stats.depth
    assert stats.critical_path in chains or not shown
    assert stats.depth + 1 == len(stats.critical_path) or not shown
    times = [event.recorded_at for _, event in sorted(shown.items())]
    assert ((times[-1] - times[0]).total_seconds() if times else 0) == stats.duration_s
    assert {kind: sum(event.type == kind for event in shown.values()) for kind in stats.types} == stats.types
    assert len(shown) == sum(stats.types.values())
    assert sum(event.actor is not None for event in shown.values()) == sum(stats.actors.values())
    sources = {at: frozenset(cause for cause, effect in edges if effect == at) for at in shown}
    together = {tuple(sorted(at for at in shown if sources[at] == each)) for each in set(sources.values()) if each}
    assert {group for group in together if len(group) > 1} == set(stats.concurrent)


def longest(edges: set[tuple[int, int]], nodes: list[int]) -> set[tuple[int, ...]]:
    """Return all longest chains."""
    chains: set[tuple[int, ...]] = {(at,) for at in nodes}
    while True:
        longer = {(*chain, effect) for chain in chains for cause, effect in edges if chain[-1] == cause}
        if not longer:
            return chains
        chains = longer


def test_the_numbers_are_those_of_what_is_shown(engine: Engine) -> None:
    engine.holds(counted, linked_histories, filters, share=0.5)


def test_a_session_is_given_by_its_id_or_its_scope(store: Any) -> None:
    event = store.set("session:s1", K, 1)
    store.set("session:s2", K, 1)
    store.set("agent:s1", K, 1)
    scope = backstory.Scope.session("s1")
    for given in ("s1", "session:s1", scope):
        assert [event] == [entry.event for entry in store.timeline(session=given).entries]


def test_depth_counts_the_longest_way_also_through_what_is_not_shown(store: Any) -> None:
    first = store.append(S, [Event("a.b")])[0]
    second = store.append(S, [Event("hidden")], cause=first)[0]
    third = store.append(S, [Event("a.b")], cause=[first, second])[0]
    timeline = store.timeline(types="a.*")
    assert [(first, 0), (third, 2)] == [(entry.event, entry.depth) for entry in timeline.entries]
    assert (second,) == timeline.entries[0].effects[:1]
    assert [first, third] == [entry.event for entry in store.timeline(types="a.*", order="depth").entries]
    assert [(third, 2)] == [
        (each.event, each.depth) for each in store.timeline(types="a.*", since=first.position).entries
    ]


def test_bounds_are_points(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        first = store.set(S, K, 1)
        between = clock.advance(1)
        clock.advance(1)
        second = store.set(S, K, 2)
        assert [1] == places(entry.event for entry in store.timeline(until=between).entries)
        assert [2] == places(entry.event for entry in store.timeline(since=first.event_id).entries)
        assert [1, 2] == places(entry.event for entry in store.timeline(until=second.event_id).entries)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"order": "random"}, InvalidValueError),
        ({"limit": -1}, InvalidValueError),
        ({"limit": True}, InvalidValueError),
        ({"max_depth": -1}, InvalidValueError),
        ({"tags": [1]}, InvalidValueError),
        ({"types": [1]}, InvalidValueError),
        ({"scope": S, "session": "s"}, InvalidValueError),
        ({"scope": ""}, backstory.InvalidScopeError),
        ({"key": ""}, backstory.InvalidKeyError),
        ({"actor": ""}, InvalidValueError),
        ({"correlation_id": ""}, InvalidValueError),
        ({"since": 99}, backstory.InvalidPointError),
    ],
)
def test_what_is_no_question_is_refused(store: Any, given: dict[str, Any], error: type[Exception]) -> None:
    store.set(S, K, 1)
    with pytest.raises(error):
        store.timeline(**given)


def test_nothing_is_a_timeline_as_well(store: Any) -> None:
    timeline = store.timeline()
    assert (0, [], (), 0.0) == (
        len(timeline),
        timeline.entries,
        timeline.stats.critical_path,
        timeline.stats.duration_s,
    )


def test_a_page_reads_no_more_of_the_log_than_it_needs(sqlite_url: str) -> None:
    with backstory.open(sqlite_url) as store:
        with store.transaction() as tx:
            for number in range(3000):
                tx.set(S, f"k{number}", number)
        read = 0
        recorded = type(store._runner.engine)._recorded  # type: ignore[attr-defined]

        def counting(self: Any, *given: Any) -> Any:
            nonlocal read
            rows = yield from recorded(self, *given)
            read += len(rows)
            return rows

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(store._runner.engine), "_recorded", counting)
            assert 10 == len(store.timeline(limit=10))
            assert 10 == len(store.timeline(limit=10, order="reverse"))
            assert 10 == len(store.timeline(limit=10, roots_only=True, max_depth=0))
        assert read <= 100
