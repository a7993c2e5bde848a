"""The history of hooks: what it lists and counts, and what retention leaves out of it, on every engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from itertools import count, product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backstory
from backstory import CompactionReport, HookExecution, HookResult, Retention
from backstory.domain.errors import InvalidScopeError, InvalidValueError, NotFoundError, ReadOnlyError
from backstory.hooks import retention
from backstory.infrastructure.clock import new_id
from backstory.testing.clock import ManualClock
from tests.support.recorded_runs import Run, record

NewStore = Callable[[ManualClock], Any]
HOOKS = ("a", "a/b", "ä:*")
POINTS = ("before_state_write", "after_state_write")
DAY = timedelta(days=1)
_ONCE = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture
def new_store(store_url: str, tmp_path: Path) -> NewStore:
    """What opens a new, empty store at each call."""
    numbers = count()

    def new(clock: ManualClock) -> Any:
        if store_url.startswith("sqlite"):
            return backstory.open(f"sqlite:///{tmp_path}/{next(numbers)}.db", clock=clock, durability="relaxed")
        if store_url.startswith("postgres"):
            return backstory.open(store_url, clock=clock, namespace=f"s{next(numbers)}", durability="relaxed")
        return backstory.open(store_url, clock=clock)

    return new


@pytest.fixture
def store(store_url: str) -> Iterator[Any]:
    with backstory.open(store_url) as store:
        yield store


def places(executions: Any) -> list[int]:
    return [execution.event.position for execution in executions]


# What is listed


def test_a_run_is_listed_with_what_its_event_says(store: Any) -> None:
    (row,) = record(store, Run("a", POINTS[1], 1_500_000, HookResult.modified({"n": 1}), "work"))

    (found,) = store.hooks.history()

    assert (
        HookExecution(
            event=store.event(found.event.event_id),
            hook="a",
            point=POINTS[1],
            result=HookResult.modified({"n": 1}),
            duration_s=1.5,
            error=None,
            operation_id=found.operation_id,
        )
        == found
    )
    assert row.position == found.event.position
    assert str(found.operation_id) == found.event.data["operation"]


def test_a_failed_run_has_an_error_and_no_result(store: Any) -> None:
    record(store, Run(result=None))

    (found,) = store.hooks.history()

    assert (None, "ValueError: no") == (found.result, found.error)


@pytest.mark.parametrize(
    "result",
    [
        HookResult.CONTINUE,
        HookResult.modified(None),
        HookResult.replace([1]),
        HookResult.cancel("no"),
        HookResult.skipped("not mine"),
        HookResult.redirect("agent:a", "k"),
        HookResult.retry(1.5, 3),
        HookResult.fork([("set", "agent:a", "k", 1), ("delete", "agent:a", "l")]),
        HookResult.cache("k", 2.5),
    ],
)
def test_every_kind_of_result_comes_back_as_it_was_given(result: HookResult) -> None:
    with backstory.open("memory://") as store:
        record(store, Run(result=result))
        assert [result] == [execution.result for execution in store.hooks.history()]


def test_an_answer_that_was_kept_is_listed_as_the_hook_gave_it(store: Any) -> None:
    store.hooks.register("before_state_read", lambda _: HookResult.cache("k", 60), name="keeper")
    store.set("agent:a", "k", 1)
    assert [1, 1] == [store.get("agent:a", "k"), store.get("agent:a", "k")]

    assert [HookResult.cache("k", 60)] * 2 == [found.result for found in store.hooks.history(name="keeper")]


def test_every_combination_of_filters_lists_what_meets_all_of_them(store: Any) -> None:
    correlations = ("one", "two", str(uuid4()))
    for number, (hook, where, work) in enumerate(product(HOOKS, POINTS, correlations)):
        record(store, Run(hook, where, number, correlation_id=work))
        store.append("agent:a", backstory.Event("note.taken"), correlation_id=work)
    runs = [event for event in store.log() if event.type.startswith("hook.")]
    middle, later = runs[4].position, runs[-4].position

    for name, point, correlation, since, until in product(
        (None, *HOOKS, "nobody"), (None, *POINTS), (None, *correlations, "none"), (None, middle), (None, later)
    ):
        expected = [
            event.position
            for event in runs
            if name in {None, event.data["hook"]}
            and point in {None, event.data["point"]}
            and correlation in {None, event.correlation_id}
            and (since or 0) < event.position <= (until or runs[-1].position)
        ]
        found = store.hooks.history(name=name, point=point, correlation_id=correlation, since=since, until=until)
        assert expected == places(found)


def test_points_of_history_may_be_times_and_ids(store: Any) -> None:
    first, _, third = (record(store, Run())[0] for _ in range(3))
    found = list(store.hooks.history(since=store.event(_id(first)).event_id))
    assert [third.position - 1, third.position] == places(found)
    assert places(store.hooks.history()) == places(store.hooks.history(until=found[-1].event.recorded_at))


def _id(row: Any) -> Any:
    return UUID(bytes=row.event_id)


def test_more_runs_than_a_page_holds_are_listed_once_each(store: Any) -> None:
    record(store, *(Run(HOOKS[number % 2]) for number in range(1203)))

    assert list(range(1, 1204)) == places(store.hooks.history())
    assert list(range(1, 1204)) == places(store.hooks.history(correlation_id="work"))
    assert list(range(1, 1204, 2)) == places(store.hooks.history(name=HOOKS[0]))


def test_a_history_ends_where_the_log_ended_when_it_was_begun(store: Any) -> None:
    record(store, *(Run() for _ in range(1000)))
    history = store.hooks.history()
    first = next(history)
    record(store, Run())
    assert 1000 == len(places([first, *history]))


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ({"name": ""}, InvalidScopeError),
        ({"name": 5}, InvalidScopeError),
        ({"point": "before_lunch"}, InvalidValueError),
        ({"correlation_id": ""}, InvalidValueError),
        ({"since": 99}, backstory.InvalidPointError),
        ({"until": -1}, backstory.InvalidPointError),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_when_the_history_is_asked_for(
    filters: dict[str, Any], error: type[Exception]
) -> None:
    with backstory.open("memory://") as store, pytest.raises(error):
        store.hooks.history(**filters)


# What is counted


def test_counts_and_durations_are_those_of_all_runs(store: Any) -> None:
    record(store, Run("b", duration_us=2_000_000), Run("a", duration_us=1, result=None))
    record(store, Run("b", duration_us=4_000_000, result=HookResult.skipped("no")))

    one, two = store.hooks.stats()

    assert ("a", 1, 1, {}) == (one.hook, one.runs, one.failed, one.results)
    assert ("b", 2, 0, {"continue": 1, "skipped": 1}) == (two.hook, two.runs, two.failed, two.results)
    assert (6.0, 4.0, 3.0) == (two.total_s, two.longest_s, two.mean_s)
    assert [one] == list(store.hooks.stats(name="a"))
    assert 2.0 == pytest.approx(two.p50_s, rel=0.0625)
    assert 4.0 == pytest.approx(two.p95_s, rel=0.0625)
    assert two.last_at == store.event(list(store.hooks.history())[-1].event.event_id).recorded_at


def test_a_hook_that_is_registered_and_never_ran_has_no_counts(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: None, name="idle")
    assert [] == list(store.hooks.stats())
    assert [] == list(store.hooks.stats(name="idle"))


def test_counts_of_an_unknown_hook_are_refused(store: Any) -> None:
    with pytest.raises(NotFoundError):
        store.hooks.stats(name="nobody")
    with pytest.raises(NotFoundError):
        store.hooks.compact(Retention(max_count=1), name="nobody")


def nearest_rank(durations: list[int], percent: int) -> float:
    return sorted(durations)[-(-len(durations) * percent // 100) - 1] / 1_000_000


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50))
def test_quantiles_are_the_nearest_ranks_to_a_sixteenth(durations: list[int]) -> None:
    with backstory.open("memory://") as store:
        record(store, *(Run(duration_us=duration) for duration in durations))
        (found,) = store.hooks.stats()

    assert nearest_rank(durations, 50) == pytest.approx(found.p50_s, rel=0.0625)
    assert nearest_rank(durations, 95) == pytest.approx(found.p95_s, rel=0.0625)


# Retention


class Model:
    """A branch as a brute-force reader sees it: each run with what is known of it, and which are left out."""

    def __init__(self, store: Any, out: set[int] | None = None) -> None:
        self.store = store
        self.out = set(out or ())

    def runs(self) -> list[Any]:
        return [event for event in self.store.log() if event.type in {"hook.executed", "hook.failed"}]

    def named(self) -> set[Any]:
        return {
            cause for branch in self.store.branches() for event in self._log(branch) for cause in event.causation_ids
        }

    def _log(self, branch: Any) -> Iterator[Any]:
        yield from self.store.branch(branch.name).log()

    def listed(self) -> list[Any]:
        named = self.named()
        return [run for run in self.runs() if run.position not in self.out or run.event_id in named]

    def compact(self, policy: Retention, name: str | None, now: Any, *, dry_run: bool) -> dict[str, int]:
        named, gone = self.named(), {}
        for hook in HOOKS:
            runs = [run for run in self.listed() if run.data["hook"] == hook]
            last = len(runs) - len(runs if policy.max_count is None else runs[-policy.max_count or len(runs) :])
            beyond = [
                run
                for at, run in enumerate(runs)
                if at < last or (policy.max_age is not None and now - run.recorded_at > policy.max_age)
            ]
            out = {
                run.position
                for run in beyond
                if run.event_id not in named and not (policy.keep_failed and run.type == "hook.failed")
            }
            if out and name in {None, hook}:
                gone[hook] = len(out)
                if not dry_run:
                    self.out |= out
        return gone


_RUN = st.tuples(
    st.just("run"),
    st.lists(
        st.builds(
            Run,
            st.sampled_from(HOOKS),
            st.sampled_from(POINTS),
            st.integers(0, 10**7),
            st.sampled_from([None, HookResult.CONTINUE, HookResult.skipped("no")]),
            st.just("work"),
        ),
        min_size=1,
        max_size=6,
    ),
)
_POLICY = st.builds(
    Retention,
    st.sampled_from([timedelta(), timedelta(seconds=2), timedelta(seconds=5)]) | st.none(),
    st.integers(0, 4),
    st.booleans(),
) | st.builds(Retention, st.sampled_from([timedelta(), timedelta(seconds=3)]), st.none(), st.booleans())
_STEP = st.one_of(
    _RUN,
    _RUN,
    st.tuples(st.just("name"), st.integers(0, 30)),
    st.tuples(st.just("wait"), st.integers(1, 4)),
    st.tuples(st.just("compact"), _POLICY, st.none() | st.sampled_from(HOOKS), st.booleans()),
    st.tuples(st.just("compact"), _POLICY, st.none(), st.just(False)),
    st.tuples(st.just("fork")),
)


@_ONCE
@given(st.lists(st.tuples(st.integers(0, 2), _STEP), max_size=20))
def test_retention_lists_and_counts_what_a_brute_force_reader_does(new_store: NewStore, steps: list[Any]) -> None:
    """Listed and left out are all; counts never change; what an event names as its cause is never left out."""
    clock = ManualClock()
    with new_store(clock) as store:
        models = [Model(store)]
        for which, (what, *given) in steps:
            model = models[which % len(models)]
            before = {each.hook: each for each in model.store.hooks.stats()}
            if what == "run":
                record(model.store, *given[0])
            elif what == "name" and (runs := model.runs()):
                model.store.append("agent:a", backstory.Event("seen"), cause=runs[given[0] % len(runs)].event_id)
            elif what == "wait":
                clock.advance(given[0])
                model.store.append("agent:a", backstory.Event("tick"))
            elif what == "fork":
                models.append(Model(model.store.fork(), model.out))
            elif what == "compact":
                compact(model, *given, clock=clock)
                assert before == {each.hook: each for each in model.store.hooks.stats()}
            for each in models:
                check(each)


def compact(model: Model, policy: Retention, name: str | None, dry_run: bool, *, clock: ManualClock) -> None:
    if name is not None and name not in {run.data["hook"] for run in model.runs()}:
        with pytest.raises(NotFoundError):
            model.store.hooks.compact(policy, name=name, dry_run=dry_run)
        return
    expected = model.compact(policy, name, clock.now(), dry_run=dry_run)
    report = model.store.hooks.compact(policy, name=name, dry_run=dry_run)
    assert expected == report.by_hook
    assert sum(expected.values()) == report.left_out


def check(model: Model) -> None:
    hooks, runs, listed = model.store.hooks, model.runs(), model.listed()
    assert [run.position for run in runs] == places(hooks.history(compacted=True))
    assert [run.position for run in listed] == places(hooks.history())
    assert [run.position for run in listed] == places(hooks.history(correlation_id="work"))
    for hook in HOOKS:
        assert [run.position for run in listed if run.data["hook"] == hook] == places(hooks.history(name=hook))
    named = model.named()
    assert {run.position for run in runs if run.event_id in named} <= set(places(hooks.history()))
    found = {each.hook: each for each in hooks.stats()}
    for hook in HOOKS:
        mine = [run for run in runs if run.data["hook"] == hook]
        durations = [run.data["duration_us"] for run in mine]
        assert bool(mine) == (hook in found)
        if mine:
            stats = found[hook]
            assert len(mine) == stats.runs == stats.failed + sum(stats.results.values())
            assert sum(run.type == "hook.failed" for run in mine) == stats.failed
            assert sum(durations) / 1e6 == stats.total_s
            assert max(durations) / 1e6 == stats.longest_s
            assert mine[-1].recorded_at == stats.last_at
            assert nearest_rank(durations, 95) == pytest.approx(stats.p95_s, rel=0.0625)


def test_a_compaction_is_one_event_a_hook_and_none_where_nothing_is_left_out(store: Any) -> None:
    record(store, *(Run("a") for _ in range(5)), Run("b"))
    head = store.position()

    report = store.hooks.compact(Retention(max_count=2))
    assert CompactionReport(3, 0, {"a": 3}) == report
    (event,) = store.log(since=head)
    assert ("hook.compacted", "a", 3, 3) == (event.type, *(event.data[name] for name in ("hook", "until", "left_out")))
    assert 3 == event.data["summary"]["runs"]

    assert CompactionReport(0, 0, {}) == store.hooks.compact(Retention(max_count=2))
    assert head + 1 == store.position()


def test_a_dry_run_counts_and_writes_nothing(store_url: str, tmp_path: Path) -> None:  # noqa: ARG001
    with backstory.open(store_url) as store:
        record(store, *(Run("a") for _ in range(5)))
        head = store.position()
        assert 4 == store.hooks.compact(Retention(max_count=1), dry_run=True).left_out
        assert (head, 5) == (store.position(), len(list(store.hooks.history())))


def test_a_store_that_only_reads_can_count_and_not_compact(lasting_url: str) -> None:
    with backstory.open(lasting_url) as store:
        record(store, *(Run("a") for _ in range(5)))
    with backstory.open(lasting_url, read_only=True) as store:
        assert 4 == store.hooks.compact(Retention(max_count=1), dry_run=True).left_out
        with pytest.raises(ReadOnlyError):
            store.hooks.compact(Retention(max_count=1))


def test_failed_runs_stay_until_they_are_told_to_go(store: Any) -> None:
    record(store, Run(result=None), Run(), Run(result=None), Run())
    counts = list(store.hooks.stats())

    assert CompactionReport(1, 2, {"check": 1}) == store.hooks.compact(Retention(max_count=1))
    assert [1, 3, 4] == places(store.hooks.history())
    assert CompactionReport(0, 0, {}) == store.hooks.compact(Retention(max_count=1))
    assert CompactionReport(2, 0, {"check": 2}) == store.hooks.compact(Retention(max_count=1, keep_failed=False))
    assert [4] == places(store.hooks.history())
    assert [1, 2, 3, 4] == places(store.hooks.history(compacted=True))
    assert counts == list(store.hooks.stats())


def test_what_one_policy_left_out_another_does_not_bring_back(store: Any) -> None:
    failed = {1, 2, 4, 9}
    record(store, *(Run(result=None if number in failed else HookResult.CONTINUE) for number in range(1, 13)))
    counts = list(store.hooks.stats())

    store.hooks.compact(Retention(max_count=0))
    assert sorted(failed) == places(store.hooks.history())
    assert CompactionReport(2, 0, {"check": 2}) == store.hooks.compact(Retention(max_count=2, keep_failed=False))
    assert [4, 9] == places(store.hooks.history())
    assert 0 == store.hooks.compact(Retention(max_count=50)).left_out
    assert [4, 9] == places(store.hooks.history())
    assert counts == list(store.hooks.stats())


def test_of_two_compactions_at_once_the_later_goes_on_from_the_earlier(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *(Run() for _ in range(5)))

    def another_is_faster() -> bytes:
        monkeypatch.setattr(retention, "new_id", new_id)
        assert 5 == store.hooks.compact(Retention(max_count=0)).left_out
        return new_id()

    monkeypatch.setattr(retention, "new_id", another_is_faster)

    assert 0 == store.hooks.compact(Retention(max_count=3)).left_out
    assert [] == places(store.hooks.history())
    assert 5 == store.hooks.stats()[0].runs


def test_a_run_that_is_named_as_a_cause_after_it_was_left_out_is_listed_again(store: Any) -> None:
    row, *_ = record(store, Run(), Run(), Run())
    store.hooks.compact(Retention(max_count=0))
    assert [] == places(store.hooks.history())

    store.append("agent:a", backstory.Event("seen"), cause=_id(row))

    assert [1] == places(store.hooks.history())
    assert [1] == places(store.hooks.history(name="check"))
    assert 3 == store.hooks.stats()[0].runs


def test_compactions_at_once_with_runs_at_once_leave_counts_true(store: Any) -> None:
    record(store, *(Run("a") for _ in range(50)))

    def compact(size: int) -> None:
        for _ in range(5):
            store.hooks.compact(Retention(max_count=size))

    def run() -> None:
        for _ in range(20):
            record(store, Run("a"))

    threads = [threading.Thread(target=compact, args=[size]) for size in (10, 20, 30)]
    threads += [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 90 == store.hooks.stats()[0].runs
    store.hooks.compact(Retention(max_count=10))
    assert 10 == len(list(store.hooks.history()))
    assert 90 == len(list(store.hooks.history(compacted=True))) == store.hooks.stats()[0].runs


def test_a_fork_sees_what_was_compacted_before_it_and_nothing_of_what_was_later(store: Any) -> None:
    record(store, *(Run() for _ in range(4)))
    early = store.fork(as_of=2)
    store.hooks.compact(Retention(max_count=2))
    late = store.fork()
    record(late, Run())
    late_head = store.position()
    store.hooks.compact(Retention(max_count=1))

    assert [4] == places(store.hooks.history())
    assert [1, 2] == places(early.hooks.history())
    assert [3, 4, late_head] == places(late.hooks.history())
    assert [4, 2, 5] == [each.hooks.stats()[0].runs for each in (store, early, late)]

    late.hooks.compact(Retention(max_count=0))
    assert ([4], []) == (places(store.hooks.history()), places(late.hooks.history()))
    assert [1, 2, 3, 4, late_head] == places(late.hooks.history(compacted=True))


def test_what_a_changing_hook_did_stays_for_the_write_names_it(store: Any) -> None:
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after + 1), name="adder")
    store.hooks.register("before_state_write", lambda _: None, name="watcher")
    store.set("agent:a", "k", 1)

    report = store.hooks.compact(Retention(max_age=timedelta(), max_count=0))

    assert {"watcher": 1} == report.by_hook
    assert ["adder"] == [execution.hook for execution in store.hooks.history()]


@pytest.mark.parametrize(
    "given",
    [{}, {"max_age": 5}, {"max_age": -DAY}, {"max_count": -1}, {"max_count": True}, {"max_count": 1, "keep_failed": 0}],
)
def test_a_policy_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Retention(**given)
    assert caught.value.path in {"policy", *given}


def test_an_age_beyond_the_beginning_of_time_leaves_nothing_out(store: Any) -> None:
    record(store, Run())
    assert 0 == store.hooks.compact(Retention(max_age=timedelta.max)).left_out


# Registrations


def test_the_log_knows_the_last_registration_of_each_hook_at_each_point(store: Any) -> None:
    before = store.hooks.register("before_state_write", lambda _: None, name="b", priority=1)
    store.hooks.register("after_state_write", lambda _: None, name="b", tags=["x"])
    store.hooks.register("before_state_write", lambda _: None, name="a", scope="agent:*", key="k", timeout_s=2)
    before.unregister()
    store.hooks.register("before_state_write", lambda _: None, name="b", priority=2, required=True)

    found = store.hooks.registrations()

    assert [("a", "before_state_write"), ("b", "after_state_write"), ("b", "before_state_write")] == [
        (each.hook, each.point) for each in found
    ]
    assert ("agent:*", "k", 2, False, 0) == (
        found[0].scope,
        found[0].key,
        found[0].timeout_s,
        found[0].required,
        found[0].priority,
    )
    assert (2, True, ("x",), UTC) == (
        found[2].priority,
        found[2].required,
        found[1].tags,
        found[1].registered_at.tzinfo,
    )
    assert found[1:] == list(store.hooks.registrations(name="b"))
    with pytest.raises(NotFoundError):
        store.hooks.registrations(name="c")


# The asyncio face


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def lasting_url(request: pytest.FixtureRequest) -> str:
    """The URL of a store that can be opened again."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


async def test_the_asyncio_face_lists_counts_and_compacts_as_the_blocking_one(lasting_url: str) -> None:
    with backstory.open(lasting_url) as store:
        record(store, *(Run("a") for _ in range(5)), Run("b"))
        expected = places(store.hooks.history(name="a")), list(store.hooks.stats())
    async with backstory.open_async(lasting_url) as astore:
        found = [execution async for execution in astore.hooks.history(name="a")]
        assert expected == (places(found), await astore.hooks.stats())
        assert {"a": 3} == (await astore.hooks.compact(Retention(max_count=2))).by_hook
        assert [4, 5, 6] == [execution.event.position async for execution in astore.hooks.history()]
        assert expected[1] == await astore.hooks.stats()
        assert [] == list(await astore.hooks.registrations())
