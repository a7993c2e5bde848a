"""What if: the outcome equals a plain replay of the whole log, and touches only what follows from the change."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backstory
from backstory import MISSING, Event, InvalidValueError, NotFoundError
from backstory.domain.hooks import HookResult
from backstory.infrastructure import codec
from backstory.testing.clock import ManualClock
from tests.support.brute import brute_force
from tests.support.causal import KEYS, SCOPES, Engine, histories, linked_histories, values
from tests.support.folding import as_text
from tests.support.on_a_loop import FACES, OnALoop, opened
from tests.support.runs import lines, real_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.causal import History, Op

S, T, K = "agent:x", "agent:y", "k"


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path, request)


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as opened_store:
        yield opened_store


def places(events: Any) -> list[int]:
    return [event.position for event in events]


_many = st.lists(st.integers(0, 40), max_size=2)
_insertions = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(SCOPES),
        st.one_of(
            st.tuples(st.just("set"), st.sampled_from(KEYS), values),
            st.tuples(st.just("delete"), st.sampled_from(KEYS)),
        ),
    ),
    max_size=2,
)
changes = st.tuples(_many, st.lists(st.tuples(st.integers(0, 40), values), max_size=2), _insertions, st.booleans())


def asked(log: list[Any], head: int, change: tuple[Any, ...]) -> dict[str, Any]:
    """Return a question about what is there."""
    without, replace, insert, cascade = change
    events = [event for event in log if event.type != "link.added"]
    sets = [event for event in events if event.type == "state.set"]
    return {
        "without": [events[at % len(events)].position for at in without] if events else [],
        "replace": {sets[at % len(sets)]: value for at, value in replace} if sets else {},
        "insert": [(at % (head + 1), scope, what) for at, scope, what in insert],
        "cascade": cascade,
    }


def assert_equal(store: Any, question: dict[str, Any]) -> Any:
    """Assert that an outcome equals that of the plain replay."""
    outcome = store.what_if(**question)
    expected = brute_force(store, **question)
    found = {(str(each.scope), each.key): (each.before, each.after) for each in outcome.diff}
    assert expected.diff.keys() == found.keys()
    text = codec.canonical
    for place, pair in expected.diff.items():
        for one, other in zip(pair, found[place], strict=True):
            assert one is other if one is MISSING or other is MISSING else text(one) == text(other)
    for name in ("vanished", "recomputed", "stale"):
        assert (name, sorted(getattr(expected, name))) == (name, places(getattr(outcome, name)))
    assert [] == outcome.assumed
    return outcome


def other_way(history: History, steps: list[tuple[int, Op]], change: tuple[Any, ...]) -> None:
    history.do(steps)
    for number, store in enumerate(history.branches):
        head = store.position()
        before = as_text(store.snapshot())
        outcome = assert_equal(store, asked(list(store.log()), head, change))
        assert (head, before) == (store.position(), as_text(store.snapshot()))
        wanted = {scope: dict(held) for scope, held in before.items()}
        for each in outcome.diff:
            held = wanted.setdefault(str(each.scope), {})
            assert held.pop(each.key, MISSING) == each.before
            if each.after is not MISSING:
                held[each.key] = each.after
        if number == 0:
            kept = outcome.keep("kept")
            assert {scope: held for scope, held in wanted.items() if held} == as_text(kept.snapshot())
            assert before == as_text(store.snapshot())


def test_what_would_have_happened_is_what_a_replay_of_the_whole_log_comes_to(engine: Engine) -> None:
    engine.holds(other_way, histories, changes, share=1.5)


def test_what_links_say_was_caused_vanishes_as_well(engine: Engine) -> None:
    engine.holds(other_way, linked_histories, changes, share=0.7)


def test_what_transactions_share_is_read_all_the_same(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstory.resting.FEW", 0)
    engine.holds(other_way, histories, changes, share=0.7)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("runs") / "runs.jsonl"
    lines(path, *real_runs()[:8])
    with backstory.open("memory://") as store:
        store.import_runs(path)
        yield store


def test_on_real_runs_it_equals_the_replay_as_well(imported: Any) -> None:
    log = list(imported.log())

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from(log), min_size=1, max_size=2), st.sampled_from(log), st.booleans())
    def check(without: list[Any], other: Any, cascade: bool) -> None:
        replace = {other: {"other": 1}} if other.type == "state.set" else {}
        question = {"without": without, "replace": replace, "insert": [], "cascade": cascade}
        assert_equal(imported, question)

    check()


def test_without_a_tool_s_result_what_it_brought_is_not_there(imported: Any) -> None:
    returned = next(event for event in imported.log(types="tool.returned"))
    outcome = imported.what_if(without=returned)
    assert {str(each.scope) for each in outcome.diff} == {returned.stream}
    assert imported.impact(returned).events == outcome.vanished


# The rules, one by one


def test_increments_copies_and_moves_are_computed_again_and_plain_sets_are_not(store: Any) -> None:
    first = store.set(S, K, 10)
    store.increment(S, K, 5)
    store.copy(S, T)
    store.move(T, "agent:z")
    store.set(S, "plain", 15)
    store.update(S, "plain", lambda value: value)
    outcome = store.what_if(replace={first: 20})
    assert {("agent:x", K): (15, 25), ("agent:z", K): (15, 25)} == {
        (str(each.scope), each.key): (each.before, each.after) for each in outcome.diff
    }
    assert [2, 3, 4] == places(outcome.recomputed)
    assert ([], [], []) == (outcome.vanished, outcome.stale, outcome.assumed)
    assert [20, 21, 22] == [
        store.what_if(replace={given: 20 + number}).diff[0].after - 5
        for number, given in enumerate((first, first.event_id, first.position))
    ]


def test_what_had_read_something_else_is_stale(store: Any) -> None:
    store.set(S, K, 10)
    with store.transaction() as tx:
        tx.get(S, K)
        tx.set(T, "sum", 11)
    store.update(S, K, lambda value: value + 1)
    outcome = store.what_if(without=1)
    assert [2, 3] == places(outcome.stale)
    assert [] == outcome.diff
    assert [2] == places(store.what_if(insert=[(1, S, ("set", K, 9))]).stale)[:1]
    assert [3] == places(store.what_if(insert=[(2, S, ("set", K, 9))]).stale)
    assert [] == store.what_if(insert=[(1, S, ("set", K, 10))]).stale


def test_what_was_caused_vanishes_or_is_stale(store: Any) -> None:
    asked = store.append(S, [Event("message.user")])[0]
    second = store.set(S, K, 1, cause=asked)
    third = store.set(T, K, 1, cause=second)
    outcome = store.what_if(without=[asked, second])
    assert ([third], [], 2) == (outcome.vanished, outcome.stale, len(outcome.diff))
    outcome = store.what_if(without=asked, cascade=False)
    assert ([], [second], []) == (outcome.vanished, outcome.stale, outcome.diff)


def test_what_a_link_says_was_caused_by_something_later_vanishes_with_it(store: Any) -> None:
    first = store.set(S, "a", 1)
    store.increment(S, "a")
    third = store.set(S, "c", 1)
    store.link(third, first)
    other = store.set(S, "d", 1)
    store.link(third, other, "response_to")
    outcome = assert_equal(store, {"without": [third], "replace": {}, "insert": [], "cascade": True})
    assert ([first], [2]) == (outcome.vanished, places(outcome.recomputed))
    outcome = assert_equal(store, {"without": [third], "replace": {}, "insert": [], "cascade": False})
    assert ([], [first]) == (outcome.vanished, outcome.stale)


def test_a_clear_clears_what_is_there_then(store: Any) -> None:
    store.set(S, "a", 1)
    clear_at = store.position() + 1
    store.clear(S)
    store.set(S, "b", 1)
    assert [] == store.what_if(insert=[(1, S, ("set", "c", 1))]).diff
    outcome = store.what_if(without=clear_at, insert=[(1, S, ("set", "c", 1))])
    assert ["a", "c"] == [each.key for each in outcome.diff]


def test_without_a_clear_what_came_after_it_goes_on_from_what_was_inserted_before(store: Any) -> None:
    store.set(S, "a", 1)
    store.clear(S)
    store.increment(S, "c")
    question = {"without": [2], "replace": {}, "insert": [(1, S, ("set", "c", 5))], "cascade": True}
    assert [3] == places(assert_equal(store, question).recomputed)
    assert {"a": 1, "c": 6} == {each.key: each.after for each in store.what_if(**question).diff}


def test_a_copy_is_stale_where_something_else_was_read_for_it(store: Any) -> None:
    store.set(S, K, 1)
    store.set("session:s", K, 1)
    with store.transaction() as tx:
        tx.get("session:s", K)
        tx.copy(S, T)
    question = {"without": [], "replace": {}, "insert": [], "cascade": True}
    assert [3] == places(assert_equal(store, {**question, "without": [2]}).stale)
    assert [3] == places(assert_equal(store, {**question, "insert": [(1, S, ("set", K, 5))]}).recomputed)
    assert [] == assert_equal(store, {**question, "insert": [(1, S, ("set", K, 5))]}).stale


def test_a_copy_without_a_source_and_a_sum_of_no_number_do_not_happen(store: Any) -> None:
    first = store.set(S, K, 1)
    store.copy(S, T)
    store.increment(S, K)
    store.set(T, "other", 1, cause=list(store.log(since=1, limit=1)))
    assert [2, 4] == places(store.what_if(without=first).vanished)
    assert [3] == places(store.what_if(replace={first: "text"}).vanished)
    assert [2] == places(store.what_if(replace={first: "text"}).recomputed)


def test_a_copy_takes_the_end_of_its_source_along(store_url: str) -> None:
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as store:
        store.set(S, K, 1, ttl=5)
        lasting = store.set(S, K, 1)
        store.copy(S, T)
        outcome = store.what_if(without=lasting)
        assert ([3], []) == (places(outcome.recomputed), outcome.diff)
        clock.advance(9)
        outcome = store.what_if(without=lasting)
        assert [(S, MISSING), (T, MISSING)] == [(str(each.scope), each.after) for each in outcome.diff]


def test_values_are_taken_as_they_would_come_back(store: Any) -> None:
    first = store.set(S, K, 1)
    assert [1, [2]] == store.what_if(replace={first: (1, (2,))}).diff[0].after
    assert [1] == store.what_if(insert=[(1, S, ("set", K, (1,)))]).diff[0].after
    assert 7 == store.what_if(replace={first: Event("state.set", {"value": 7})}).diff[0].after


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ({"without": 99}, NotFoundError),
        ({"without": [None]}, InvalidValueError),
        ({"replace": {99: 1}}, NotFoundError),
        ({"replace": {1: object()}}, InvalidValueError),
        ({"replace": {1: float("nan")}}, InvalidValueError),
        ({"replace": {2: 1}}, InvalidValueError),
        ({"replace": {1: Event("message.user")}}, InvalidValueError),
        ({"replace": {1: Event("state.set", {})}}, InvalidValueError),
        ({"replace": {1: Event("state.set", {"value": 1}, key="other")}}, InvalidValueError),
        ({"insert": [(99, S, ("set", K, 1))]}, backstory.InvalidPointError),
        ({"insert": [(None, S, ("set", K, 1))]}, backstory.InvalidPointError),
        ({"insert": [(0, "", ("set", K, 1))]}, backstory.InvalidScopeError),
        ({"insert": [(0, S, ("set", "", 1))]}, backstory.InvalidKeyError),
        ({"insert": [(0, S, ("set", K))]}, InvalidValueError),
        ({"insert": [(0, S, ("put", K, 1))]}, InvalidValueError),
        ({"insert": [(0, S, "set")]}, InvalidValueError),
        ({"insert": [(0, S)]}, InvalidValueError),
        ({"insert": [(0, S, ("set", K, object()))]}, InvalidValueError),
    ],
)
def test_what_is_no_question_is_refused(store: Any, question: dict[str, Any], error: type[Exception]) -> None:
    store.set(S, K, 1)
    store.delete(S, K)
    with pytest.raises(error):
        store.what_if(**question)
    assert 2 == store.position()


def test_nothing_is_a_question_as_well_and_changes_nothing(store: Any) -> None:
    store.set(S, K, 1)
    outcome = store.what_if()
    assert ([], [], [], [], []) == (
        outcome.diff,
        outcome.vanished,
        outcome.recomputed,
        outcome.stale,
        outcome.assumed,
    )
    store.what_if(insert=[(1, S, Event("a.b"))])
    assert 1 == store.position()


def test_a_kept_outcome_is_a_branch_with_its_state(store: Any) -> None:
    first = store.set(S, K, 1)
    store.increment(S, K)
    store.set(S, "b", 1)
    outcome = store.what_if(replace={first: 5}, insert=[(3, S, ("delete", "b"))])
    kept = kept_by(store, outcome, "other way")
    assert {K: 6} == kept.items(S)
    assert {K: 2, "b": 1} == store.items(S)
    assert ["main", "other way"] == [branch.name for branch in store.branches()]
    with pytest.raises(backstory.ConflictError):
        kept_by(store, outcome, "other way")


def kept_by(store: Any, outcome: Any, name: str) -> Any:
    """Return the branch that an outcome is kept as, on either face."""
    branch = outcome.keep(name)
    return OnALoop(store._wait(branch), store.loop) if inspect.isawaitable(branch) else branch


def test_runs_of_hooks_with_another_input_are_assumed(store: Any) -> None:
    store.set(S, K, 1)
    handle = store.hooks.register("before_state_write", lambda _: None, name="looks")
    store.increment(S, K)
    store.set(T, K, 1)
    store.hooks.unregister(handle)
    outcome = store.what_if(without=1)
    assert ["looks"] == [event.data["hook"] for event in outcome.assumed]
    assert [1] == [event.data["input"]["before"] for event in outcome.assumed]


def test_runs_of_hooks_behind_a_write_are_assumed_too(store: Any) -> None:
    first = store.set(S, K, 1)
    store.hooks.register("after_state_write", lambda _: None, name="behind")
    store.increment(S, K)
    store.hooks.flush()
    assert ["behind"] == [event.data["hook"] for event in store.what_if(replace={first: 5}).assumed]


def clamp(context: Any) -> Any:
    """Let no number above ten through, and no text at all."""
    if isinstance(context.after, str):
        return HookResult.cancel("no text")
    return HookResult.modified(10) if isinstance(context.after, int) and context.after > 10 else None


def test_hooks_that_are_registered_run_again_on_what_would_have_been(store: Any) -> None:
    first = store.set(S, K, 1)
    handle = store.hooks.register("before_state_write", clamp, name="clamp")
    store.increment(S, K, 8)
    store.increment(S, K, 8)
    store.copy(S, T)
    assert 10 == store.get(T, K)
    outcome = store.what_if(replace={first: 5})
    assert ([], []) == (outcome.diff, outcome.assumed)
    assert [10] == [event.data["value"] + 1 for event in outcome.recomputed]
    outcome = store.what_if(replace={first: -10})
    assert [(S, 6), (T, 6)] == [(str(each.scope), each.after) for each in outcome.diff]
    assert [] == outcome.assumed
    store.hooks.unregister(handle)
    outcome = store.what_if(replace={first: -10})
    assert [] == outcome.diff
    assert ["clamp"] * 2 == [event.data["hook"] for event in outcome.assumed]


def test_a_hook_that_would_have_stopped_a_write_stops_it(store: Any) -> None:
    first = store.set(S, K, 1)
    store.hooks.register("before_state_write", clamp, name="clamp")
    store.copy(S, T)
    outcome = store.what_if(replace={first: "text"})
    assert ["copy"] == [event.data["op"] for event in outcome.vanished]
    assert [(S, "text"), (T, MISSING)] == [(str(each.scope), each.after) for each in outcome.diff]


def test_a_hook_that_asks_for_what_is_not_recorded_is_assumed(store: Any) -> None:
    def curious(context: Any) -> Any:
        return HookResult.modified(context.random()) if context.before == 7 else None

    first = store.set(S, K, 1)
    store.hooks.register("before_state_write", curious, name="curious")
    store.set(S, K, 2)
    outcome = store.what_if(replace={first: 7})
    assert ([], ["curious"]) == (outcome.diff, [event.data["hook"] for event in outcome.assumed])


def test_what_hooks_took_from_outside_is_as_it_was(store: Any) -> None:
    first = store.set(S, K, 1)

    def dated(context: Any) -> Any:
        return HookResult.modified([context.random(), context.before])

    store.hooks.register("before_state_write", dated, name="dated")
    store.set(S, K, 2)
    number = store.get(S, K)[0]
    outcome = store.what_if(replace={first: 7})
    assert [[number, 7]] == [each.after for each in outcome.diff]
    assert ([], 1) == (outcome.assumed, len(outcome.recomputed))


def test_hooks_that_run_again_change_nothing_in_the_store(store: Any) -> None:
    first = store.set(S, K, 1)
    calls: list[int] = []

    def writing(context: Any) -> Any:
        calls.append(context.before)
        return HookResult.modified(context.after + context.before)

    store.hooks.register("before_state_write", writing, name="writing")
    store.set(S, K, 2)
    head = store.position()
    assert 9 == store.what_if(replace={first: 7}).diff[0].after
    assert ([1, 7], head) == (calls, store.position())


def test_only_what_follows_from_the_change_is_read(sqlite_url: str) -> None:
    with backstory.open(sqlite_url) as store:
        with store.transaction() as tx:
            for _ in range(3):
                for number in range(1000):
                    tx.increment(f"agent:a{number}", K)
        first = next(store.log(scope="agent:a500"))
        read: list[str] = []
        engine = type(store._runner.engine)
        recorded = engine._recorded  # type: ignore[attr-defined]

        def watching(self: Any, *given: Any) -> Any:
            rows = yield from recorded(self, *given)
            read.extend(row.stream for row in rows)
            return rows

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "_recorded", watching)
            outcome = store.what_if(replace={first: 5})
        assert 7 == outcome.diff[0].after
        assert {"agent:a500"} == set(read)
        assert len(read) <= 10
