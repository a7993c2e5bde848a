"""Why: what a value follows from and what that was caused by; what for: all that an event led to."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import networkx as nx
import pytest
from hypothesis import strategies as st

import backstory
from backstory import MISSING, Event, NotFoundError, derive
from backstory.domain.hooks import HookResult
from backstory.infrastructure import codec
from backstory.testing.clock import ManualClock
from tests.support.causal import (
    KEYS,
    SCOPES,
    Engine,
    edges_of,
    histories,
    linked_histories,
    reachable,
)
from tests.support.on_a_loop import FACES, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backstory import RecordedEvent
    from tests.support.causal import History, Op

S, T, K = "agent:x", "agent:y", "k"
STRONG = ("caused_by", "read")


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as opened_store:
        yield opened_store


def places(events: Any) -> list[int]:
    return [event.position for event in events]


def came_back(event: RecordedEvent, events: list[RecordedEvent]) -> bool:
    """Whether a value came back with an event to where it had come from."""
    earlier = [(each.stream, each.key) for each in events if each.position < event.position]
    return event.data["op"] in {"copy", "move"} and (event.stream, event.key) in earlier


def assert_sufficient_and_minimal(explanation: Any, value: Any) -> None:
    text = codec.canonical
    where = (explanation.scope, explanation.key)
    events = explanation.events
    assert text(value) == text(explanation.value)
    assert text(value) == text(derive(events, *where))
    assert sorted(places(events)) == places(events)
    for event in events:
        rest = [each for each in events if each != event]
        with suppress(NotFoundError):
            assert text(value) != text(derive(rest, *where)) or came_back(event, events), event


def explained(history: History, steps: list[tuple[int, Op]], at: int) -> None:
    history.do(steps)
    for store in history.branches:
        log = list(store.log())
        strong = edges_of(log, STRONG)
        point = at % (store.position() + 1)
        for scope in SCOPES:
            for key in KEYS:
                for as_of in (None, point):
                    check_one(store, scope, key, as_of, log, strong)


def check_one(  # noqa: PLR0917 - a place, a point, and what is known
    store: Any, scope: str, key: str, as_of: int | None, log: list[RecordedEvent], strong: set[tuple[int, int, str]]
) -> None:
    value = store.get(scope, key, MISSING, as_of=as_of)
    known = [change for change in store.history(scope, key) if as_of is None or change.position <= as_of]
    if not known:
        with pytest.raises(NotFoundError):
            store.why(scope, key, as_of=as_of)
        return
    explanation = store.why(scope, key, as_of=as_of)
    if value is MISSING:
        assert MISSING is explanation.value
        assert [known[-1].position] == places(explanation.events)
    else:
        assert_sufficient_and_minimal(explanation, value)
    if as_of is None:
        expected = set().union(*(reachable(strong, at, back=True) for at in places(explanation.events)))
        assert expected - set(places(explanation.events)) == set(places(explanation.causes))
        if value is not MISSING:
            swept = [event for event in log if event.type != "state.expired"]
            assert codec.canonical(value) == codec.canonical(derive(swept, scope, key))
    assert sorted(places(explanation.causes)) == places(explanation.causes)


def test_a_value_follows_from_the_fewest_events_that_suffice(engine: Engine) -> None:
    engine.holds(explained, histories, st.integers(0, 40))


def test_links_that_say_what_caused_what_lead_to_causes_as_well(engine: Engine) -> None:
    engine.holds(explained, linked_histories, st.integers(0, 40), share=0.5)


def explained_with_a_hook(history: History, steps: list[tuple[int, Op]], at: int) -> None:
    def change(context: Any) -> Any:
        return HookResult.modified(context.after + 3) if type(context.after) is int and context.after % 2 else None

    history.store.hooks.register("before_state_write", change, name="change")
    explained(history, steps, at)


def test_values_that_hooks_changed_follow_from_what_was_written(engine: Engine) -> None:
    engine.holds(explained_with_a_hook, histories, st.integers(0, 40), share=0.4)


def led_to(history: History, steps: list[tuple[int, Op]]) -> None:
    history.do(steps)
    for store in history.branches:
        log = [event for event in store.log() if event.type != "link.added"]
        strong = edges_of(store.log(), STRONG)
        for event in log:
            impact = store.impact(event)
            expected = reachable(strong, event.position)
            assert sorted(expected) == places(impact.events)
            assert event == impact.event
            graph = impact.graph
            assert nx.is_directed_acyclic_graph(graph)
            among = expected | {event.position}
            by_place = {each.event_id: each.position for each in log}
            assert {(cause, effect) for cause, effect, _ in strong if {cause, effect} <= among} == {
                (by_place[cause], by_place[effect]) for cause, effect in graph.edges
            }
            touched = {(each.stream, each.key) for each in impact.events if each.type.startswith("state.")}
            cleared = {
                (each.stream, key)
                for each in impact.events
                if each.type == "scope.cleared"
                for key in each.data["keys"]
            }
            assert sorted(touched | cleared) == impact.keys


def test_an_event_led_to_all_that_names_it_or_rests_on_it_and_on(engine: Engine) -> None:
    engine.holds(led_to, linked_histories)


def test_what_later_writes_share_is_read_for_them_too(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstory.resting.FEW", 0)
    engine.holds(led_to, histories, share=0.5)
    engine.holds(explained, histories, st.integers(0, 40), share=0.5)


def test_a_write_after_much_that_was_read_is_in_the_impact_of_each(store: Any) -> None:
    for number in range(100):
        store.set(S, f"k{number}", number)
    with store.transaction() as tx:
        tx.items(S)
        tx.set(T, "one", 1)
        tx.set(T, "two", 2)
        tx.get(T, K)
        tx.set(T, "three", 3)
    store.update(T, "three", lambda value: value)
    assert [101, 102, 103, 104] == places(store.impact(7).events)
    assert list(range(1, 101)) == places(store.why(T, "two").causes)
    assert [*range(1, 101), 103] == places(store.why(T, "three").causes)


def test_a_value_that_a_hook_changed_was_caused_by_its_run(store: Any) -> None:
    def double(context: Any) -> Any:
        return HookResult.modified(context.after * 2) if context.key == K else None

    store.hooks.register("before_state_write", double, name="double")
    message = store.append(S, [Event("message.user", {"content": "hi"})])[0]
    store.set(S, K, 2, cause=message)
    store.increment(S, K, 3)
    store.copy(S, T)
    explanation = store.why(S, K)
    assert 14 == explanation.value == derive(explanation.events, S, K)
    assert ["state.set"] == [event.type for event in explanation.events]
    assert ["hook.executed"] == [event.type for event in explanation.causes]
    assert 28 == store.why(T, K).value == derive(store.why(T, K).events, T, K)
    assert ["message.user", "hook.executed"] == [
        event.type for event in store.why(S, K, as_of=message.position + 2).causes
    ]


def test_an_absent_key_is_absent_because_of_what_removed_it(store: Any) -> None:
    store.set(S, K, 1)
    store.delete(S, K)
    store.set(S, "other", 1)
    store.clear(S)
    store.set(T, K, 1)
    store.move(T, "agent:z")
    assert (MISSING, [2]) == (store.why(S, K).value, places(store.why(S, K).events))
    assert (MISSING, [4]) == (store.why(S, "other").value, places(store.why(S, "other").events))
    assert (MISSING, [7]) == (store.why(T, K).value, places(store.why(T, K).events))
    assert f"Key {K} in {S} is absent." == store.why(S, K).sentences[0]


def test_a_key_that_was_never_written_is_not_found(store: Any) -> None:
    store.set(S, "other", 1)
    store.clear(S)
    for question in ({}, {"as_of": 1}, {"as_of": 0}):
        with pytest.raises(NotFoundError):
            store.why(S, K, **question)
    store.set(S, K, 1)
    with pytest.raises(NotFoundError):
        store.why(S, K, as_of=2)


def test_an_expired_value_is_gone_because_of_its_end(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        store.set(S, K, 1, ttl=5)
        clock.advance(6)
        assert (MISSING, [1]) == (store.why(S, K).value, places(store.why(S, K).events))
        assert 1 == store.why(S, K, as_of=1).value
        store.increment(S, K, 7)
        assert (7, [2]) == (store.why(S, K).value, places(store.why(S, K).events))


def test_questions_read_as_much_as_they_answer_however_long_the_log_is(sqlite_url: str) -> None:
    with backstory.open(sqlite_url) as store:
        with store.transaction(correlation_id="one") as tx:
            for number in range(4000):
                tx.set(S, f"k{number}", number)
            cause = tx.append(S, [Event("message.user")])[0]
            tx.set(T, K, 1, cause=cause)
            for number in range(4000):
                tx.set(S, f"k{number}", number)
        read = 0
        engine = type(store._runner.engine)
        recorded = engine._recorded  # type: ignore[attr-defined]

        def counting(self: Any, *given: Any) -> Any:
            nonlocal read
            rows = yield from recorded(self, *given)
            read += len(rows)
            return rows

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "_recorded", counting)
            assert [4001] == places(store.why(T, K).causes)
            assert [4002] == places(store.impact(4001).events)
            assert {4001, 4002} == {
                each["event"].position for _, each in store.causality(event=4002, direction="both").nodes(data=True)
            }
        assert read < 1500


def test_sentences_say_who_did_what_because_of_what(store: Any) -> None:
    asked = store.append(S, [Event("message.user", {"content": "hi"})])[0]
    store.set(S, K, 1, cause=asked, actor="ann")
    store.increment(S, K, actor="bob")
    head, first, second, third = store.why(S, K).sentences
    assert head.startswith(f"Key {K} in {S} is 2, since ")
    assert first.startswith(f"Ann set {K} in {S} to 1 (event 2, ")
    assert "because the user said" in first
    assert "bob added 1" in second.lower()
    assert third.startswith("The user said")


def test_an_unknown_event_led_to_nothing_and_is_an_error(store: Any) -> None:
    store.set(S, K, 1)
    for unknown in (9, 0, -1, "no id", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(NotFoundError):
            store.impact(unknown)
    with pytest.raises(backstory.InvalidValueError):
        store.impact(None)
    with pytest.raises(backstory.InvalidValueError):
        store.impact(True)
    assert [] == store.impact(str(next(iter(store.log())).event_id)).events
