"""Replay sessions: event by event through what happened, stops where it matters, what would follow from a change."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

import backstory
from backstory import MISSING, Breakpoint, Event, InvalidValueError, Scope
from backstory.domain.hooks import HookResult
from backstory.testing.clock import ManualClock
from tests.support.causal import KEYS, SCOPES, Engine, histories, values
from tests.support.on_a_loop import FACES, opened
from tests.support.recorded_runs import Run, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.causal import History, Op

S, T, K = "agent:x", "agent:y", "k"


class Blocking:
    """A replay session of either face, as a blocking one."""

    def __init__(self, store: Any, **question: Any) -> None:
        self.store = store
        self.session = getattr(store, "inner", store).replay.session(**question)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.session, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            return self.store._wait(answer) if inspect.isawaitable(answer) else answer

        return call


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as opened_store:
        yield opened_store


def stepped(history: History, steps: list[tuple[int, Op]], counts: list[int]) -> None:
    history.do(steps)
    for store in history.branches:
        log = list(store.log())
        session = store.replay.session()
        at = 0
        for count in counts:
            event = session.step(count)
            at += count
            if at > len(log):
                assert event is None
                at = len(log)
            else:
                assert log[at - 1] == event
            assert (log[at - 1].position if at else 0) == session.position
            assert at == session.count
            for scope in SCOPES:
                assert store.items(scope, as_of=session.position) == session.state(scope)
                for key in KEYS:
                    assert store.get(scope, key, MISSING, as_of=session.position) == session.value(scope, key)


def test_a_session_steps_through_the_log_and_shows_the_state_at_each_event(engine: Engine) -> None:
    engine.holds(stepped, histories, st.lists(st.integers(1, 7), min_size=1, max_size=6), share=0.5)


def modified(
    history: History, steps: list[tuple[int, Op]], counts: list[int], changes: list[tuple[str, str, Any]]
) -> None:
    history.do(steps)
    store = history.store
    head = store.position()
    session = store.replay.session()
    inserted: list[Any] = []
    for count, (scope, key, value) in zip(counts, changes, strict=False):
        session.step(count)
        session.modify(scope, key, value)
        inserted.append((session.position, scope, ("delete", key) if value is MISSING else ("set", key, value)))
        assert value == session.value(scope, key)
    while session.step() is not None:
        pass
    if session.position == head:
        wanted = {str(scope): dict(held) for scope, held in store.snapshot(as_of=head).items()}
        at_the_end = store.fork(as_of=head)
        for each in store.what_if(insert=inserted).diff:
            wanted.setdefault(str(each.scope), {}).pop(each.key, None)
            if each.after is not MISSING:
                wanted[str(each.scope)][each.key] = each.after
        for scope in SCOPES:
            found = session.state(scope)
            # Values that expire do so by the clock in a question of now, by the log's time in a session.
            if not any(event.stored.expires_us for event in at_the_end.log()):
                assert wanted.get(scope, {}) == found
            assert sorted(found) == list(found)
            for key in KEYS:
                assert found.get(key, MISSING) == session.value(scope, key)
    assert list(store.log(until=head)) == list(store.log(until=head))


def test_what_follows_from_a_modification_is_what_would_have_followed(engine: Engine) -> None:
    changes = st.lists(
        st.tuples(st.sampled_from(SCOPES), st.sampled_from(KEYS), values | st.just(MISSING)), min_size=1, max_size=3
    )
    engine.holds(modified, histories, st.lists(st.integers(1, 5), min_size=3, max_size=3), changes)


def filled(store: Any) -> Any:
    """Write nine events."""
    asked = store.append(S, [Event("message.user", {"content": "hi"})])[0]
    with backstory.context(correlation_id="run"):
        store.set(S, K, 1)
        called = store.append(S, [Event("tool.called", {"name": "t"})], cause=asked)[0]
        store.append(S, [Event("tool.returned", {"name": "t", "error": False})], cause=called)
        store.increment(S, K, 2)
        store.append(S, [Event("tool.returned", {"name": "t", "error": True})], cause=called)
        store.set(T, K, None)
        store.increment(S, K, 2)
        store.delete(S, K)
    return store


def stops(session: Any) -> list[int]:
    """Run to the end; return where it stopped."""
    found = []
    while (stop := session.run()) is not None:
        assert stop.event.position == session.position
        assert stop.breakpoint in session.breakpoints
        found.append(stop.event.position)
    return found


@pytest.mark.parametrize(
    ("breakpoint_", "expected"),
    [
        (Breakpoint.event("tool.*"), [3, 4, 6]),
        (Breakpoint.event("tool.called"), [3]),
        (Breakpoint.event(5), [5]),
        (Breakpoint.event("state.*", once=True), [2]),
        (Breakpoint.error(), [6]),
        (Breakpoint.count(4), [4, 8]),
        (Breakpoint.count(4, once=True), [4]),
        (Breakpoint.state(S, K, 3), [5, 6, 7]),
        (Breakpoint.state(S, K, 3, once=True), [5]),
        (Breakpoint.state(Scope.parse(S), K, lambda value: value and value > 2), [5, 6, 7, 8]),
        (Breakpoint.state(S, K, MISSING), [1, 9]),
        (Breakpoint.state(T, K, None), [7, 8, 9]),
        (Breakpoint.state(S, K, True), []),
        (Breakpoint.hook("*"), []),
    ],
)
def test_each_kind_of_breakpoint_stops_where_it_says(store: Any, breakpoint_: Breakpoint, expected: list[int]) -> None:
    breakpoint_.hits, breakpoint_.enabled = 0, True
    session = Blocking(filled(store), breakpoints=[breakpoint_])
    assert expected == stops(session)
    assert len(expected) == breakpoint_.hits
    assert 9 == session.count
    assert session.run() is None


def test_an_event_is_named_by_its_id_too(store: Any) -> None:
    event = list(filled(store).log())[3]
    for given in (event.event_id, str(event.event_id)):
        assert [4] == stops(Blocking(store, breakpoints=[Breakpoint.event(given)]))


def test_runs_of_hooks_stop_it_by_hook_by_point_and_by_failure(store_url: str) -> None:
    with backstory.open(store_url) as store:
        record(store, Run("a"), Run("ab"), Run("b", point="after_state_write"), Run("b", result=None))
        for breakpoint_, expected in (
            (Breakpoint.hook("a"), [1]),
            (Breakpoint.hook("a*"), [1, 2]),
            (Breakpoint.point("after_state_write"), [3]),
            (Breakpoint.point("before_state_write"), [1, 2, 4]),
            (Breakpoint.error(), [4]),
        ):
            assert expected == stops(store.replay.session(breakpoints=[breakpoint_]))


def test_time_stops_it_once_at_the_first_event_from_then_on(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        store.set(S, K, 1)
        instant = clock.advance(5)
        store.set(S, K, 2)
        store.set(S, K, 3)
        assert [2] == stops(store.replay.session(breakpoints=[Breakpoint.time(instant)]))
        assert [2, 3] == stops(store.replay.session(breakpoints=[Breakpoint.time(instant, once=False)]))
        clock.advance(5)
        assert [] == stops(store.replay.session(breakpoints=[Breakpoint.time(clock.now())]))


def test_breakpoints_come_and_go_while_it_runs(store: Any) -> None:
    first, second = Breakpoint.event(2), Breakpoint.event(4)
    session = Blocking(filled(store), breakpoints=[first, second])
    second.enabled = False
    session.breakpoints.append(Breakpoint.event("state.deleted"))
    assert [2, 9] == stops(session)
    assert (1, 0) == (first.hits, second.hits)
    assert ("event 2", "event 4 (off)") == (str(first), str(second))


def test_a_state_that_only_a_modification_makes_stops_it(store: Any) -> None:
    session = Blocking(filled(store), breakpoints=[Breakpoint.state(S, K, 104, once=True)])
    session.step(2)
    session.modify(S, K, 100)
    assert {K: 100} == session.state(S)
    assert 8 == session.run().event.position
    assert 104 == session.value(S, K)
    assert 5 == store.get(S, K, as_of=8)
    session.step()
    assert {} == session.state(S)
    assert 9 == store.position()


def test_a_modification_before_the_first_event_counts(store: Any) -> None:
    store.increment(S, K, 2)
    session = Blocking(store)
    session.modify(S, K, 40)
    assert 40 == session.value(S, K)
    session.step()
    assert 42 == session.value(S, K)


def test_it_goes_through_what_was_asked_for(store: Any) -> None:
    filled(store)
    whole = [event.position for event in store.log()]
    run = [event.position for event in store.log(correlation_id="run")]
    for question, expected in (
        ({}, whole),
        ({"correlation_id": "run"}, run),
        ({"since": 2, "until": 5}, [3, 4, 5]),
        ({"until": 0}, []),
    ):
        session = Blocking(store, **question)
        found = []
        while (event := session.step()) is not None:
            found.append(event.position)
        assert expected == found
    store.set("session:s", K, 1)
    session = Blocking(store, session="s")
    assert 10 == session.step().position
    assert session.step() is None


def test_what_comes_while_it_goes_on_is_not_in_it(store: Any) -> None:
    store.set(S, K, 1)
    session = Blocking(store)
    session.step()
    store.set(S, K, 2)
    assert session.step() is None


def test_more_than_a_page_is_gone_through(store: Any) -> None:
    with store.transaction() as tx:
        for number in range(1200):
            tx.set(S, K, number)
    session = Blocking(store, breakpoints=[Breakpoint.count(500)])
    assert [500, 1000] == stops(session)
    assert 1200 == session.count


@pytest.mark.parametrize(
    "wrong",
    [
        lambda _: Breakpoint.count(0),
        lambda _: Breakpoint.count(True),
        lambda _: Breakpoint.hook(""),
        lambda _: Breakpoint.point("nowhere"),
        lambda _: Breakpoint.event(None),  # type: ignore[arg-type]
        lambda _: Breakpoint.event(True),
        lambda _: Breakpoint.time(ManualClock().now().replace(tzinfo=None)),
        lambda store: Blocking(store, breakpoints=["tool.*"]),
        lambda store: Blocking(store).step(0),
        lambda store: Blocking(store).step(-1),
        lambda store: Blocking(store).modify(S, K, object()),
        lambda store: Blocking(store).modify(S, K, float("nan")),
    ],
)
def test_what_makes_no_sense_is_refused(store: Any, wrong: Any) -> None:
    with pytest.raises(InvalidValueError):
        wrong(store)


def test_where_no_place_is_named_it_is_refused_when_it_is_said(store: Any) -> None:
    with pytest.raises(backstory.InvalidKeyError):
        Blocking(store).modify(S, "", 1)
    with pytest.raises(backstory.InvalidScopeError):
        Blocking(store).modify("", K, 1)
    with pytest.raises(backstory.InvalidKeyError):
        Breakpoint.state(S, "", 1)


def test_what_the_caller_does_to_a_value_later_is_no_modification(store: Any) -> None:
    store.set(S, K, 1)
    session = Blocking(store)
    session.step()
    value = [1]
    session.modify(S, K, value)
    value.append(2)
    session.state(S)[K].append(3)
    assert {K: [1]} == session.state(S)


def test_hooks_are_not_asked_when_it_looks(store: Any) -> None:
    store.set(S, K, 1)
    store.hooks.register("before_state_read", lambda _: HookResult.replace(7), name="reads")
    session = Blocking(store)
    session.step()
    assert ({K: 1}, 1) == (session.state(S), session.value(S, K))
    assert [] == [event for event in store.log() if event.type.startswith("hook.executed")]
