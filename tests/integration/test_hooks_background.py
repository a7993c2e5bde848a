"""Background hooks run behind the commit: in batches, in order, bounded, recorded, and never against the writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest

import backstory
from backstory import HookCancelledError, HookError, context
from backstory.domain.hooks import HookResult
from tests.support.background import (
    HOME,
    PATIENCE_S,
    WRITES,
    Gate,
    after_of,
    executions,
    marks_of,
    noting,
    queue_of,
)
from tests.support.on_a_loop import FACES, opened
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER_S: Final = 3600.0
MINE: Final = ContextVar("MINE", default="nobody's")


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def store(face: str, store_url: str) -> Iterator[Any]:
    with opened(face, store_url) as store:
        yield store


# When and how many


def test_a_batch_that_is_full_runs_at_once(face: str, store_url: str) -> None:
    ran: list[str] = []
    third = threading.Event()

    def note(run: Any) -> None:
        ran.append(run.key)
        if len(ran) == 3:
            third.set()

    with opened(face, store_url, hook_batch_size=3, hook_flush_interval_s=NEVER_S) as store:
        store.hooks.register(WRITES, note, name="note")
        for key in "abc":
            store.set(HOME, key, 1)
        assert third.wait(PATIENCE_S)
        assert list("abc") == ran


def test_what_fills_no_batch_runs_when_the_interval_is_over(face: str, store_url: str) -> None:
    done = threading.Semaphore(0)
    with opened(face, store_url, hook_flush_interval_s=0.01) as store:
        store.hooks.register(WRITES, lambda _: done.release(), name="note")
        for number in range(3):
            store.set(HOME, "k", number)
            assert done.acquire(timeout=PATIENCE_S)
            while store.hooks.pending():  # the next write is to find the worker at rest
                pass


def test_nobody_who_flushes_waits_for_a_batch_to_fill(face: str, store_url: str) -> None:
    ran: list[str] = []
    with opened(face, store_url, hook_batch_size=100, hook_flush_interval_s=NEVER_S) as store:
        store.hooks.register(WRITES, noting(ran), name="note")
        store.set(HOME, "k", 1)
        assert store.hooks.pending() == 1
        store.hooks.flush(PATIENCE_S)
        assert store.hooks.pending() == 0
        assert ran == ["k"]


def test_a_batch_is_recorded_in_one_commit_of_no_more_than_its_size(face: str, store_url: str) -> None:
    with opened(face, store_url, hook_batch_size=4, hook_flush_interval_s=NEVER_S) as store:
        store.hooks.register(WRITES, lambda _: None, name="note")
        sizes: list[int] = []
        after = after_of(store)
        record = after.record

        def watched(runs: list[Any]) -> Any:
            sizes.append(len(runs))
            return record(runs)

        after.record = watched
        for number in range(10):
            store.set(HOME, f"k{number}", number)
        store.hooks.flush()
        assert sum(sizes) == 10
        assert max(sizes) == 4


# Back-pressure


def test_a_writer_waits_while_the_queue_is_full_and_goes_on_when_there_is_room(face: str, store_url: str) -> None:
    gate, waits = Gate(), threading.Event()
    with (
        opened(face, store_url, hook_queue_size=2, hook_flush_interval_s=0.001) as store,
        ThreadPoolExecutor(1) as pool,
    ):
        store.hooks.register(WRITES, gate, name="gate")
        queue = queue_of(store)
        full = queue.full

        def watched() -> bool:
            if full():
                waits.set()
            return bool(full())

        queue.full = watched
        writing = pool.submit(lambda: [store.set(HOME, f"k{number}", number) for number in range(6)])
        assert gate.reached.wait(PATIENCE_S)
        assert waits.wait(PATIENCE_S), "the writer never came to wait"
        assert not writing.done()
        assert store.position() < 6, "its writes went on without it"
        gate.open.set()
        assert len(writing.result(PATIENCE_S)) == 6
        store.hooks.flush()
        assert [f"k{number}" for number in range(6)] == gate.keys


def test_a_hook_that_writes_never_waits_for_the_queue_that_it_is_to_empty(face: str, store_url: str) -> None:
    with opened(face, store_url, hook_queue_size=1, hook_batch_size=1) as store:

        def spread(run: Any) -> None:
            for number in range(5):
                store.set("custom:spread", f"{run.key}-{number}", 1)

        store.hooks.register(WRITES, spread, name="spread", scope=HOME)
        store.hooks.register(WRITES, lambda _: None, name="count", scope="custom:spread")
        for number in range(4):
            store.set(HOME, f"k{number}", number)
        store.hooks.flush(PATIENCE_S)
        assert len(executions(store, "count")) == 20


def test_a_foreground_hook_that_writes_never_waits_either(face: str, store_url: str) -> None:
    with opened(face, store_url, hook_queue_size=1, hook_batch_size=1) as store:

        def spread(run: Any) -> None:
            for number in range(5):
                store.set("custom:spread", f"{run.key}-{number}", 1)

        store.hooks.register(WRITES, spread, name="spread", scope=HOME, background=False)
        store.hooks.register(WRITES, lambda _: None, name="count", scope="custom:spread")
        for number in range(4):
            store.set(HOME, f"k{number}", number)
        store.hooks.flush(PATIENCE_S)
        assert len(executions(store, "count")) == 20


# Order


def test_what_belongs_to_one_key_runs_and_is_recorded_in_order(face: str, store_url: str) -> None:
    seen: list[tuple[str, int]] = []
    with opened(face, store_url, hook_workers=3, hook_batch_size=2, hook_flush_interval_s=0.001) as store:
        store.hooks.register(WRITES, lambda run: seen.append((run.key, run.after)), name="note")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda key: [store.set(HOME, key, number) for number in range(15)], "abcd"))
        store.hooks.flush()
        recorded = [
            (each.event.data["input"]["key"], each.event.data["input"]["after"]) for each in executions(store, "note")
        ]
    for order in (seen, recorded):
        assert len(order) == 60
        for key in "abcd":
            assert list(range(15)) == [number for at, number in order if at == key]


# Waiting and closing


def test_flush_says_when_its_time_is_over_and_can_be_asked_again(store: Any) -> None:
    gate = Gate()
    store.hooks.register(WRITES, gate, name="gate")
    store.set(HOME, "k", 1)
    assert gate.reached.wait(PATIENCE_S)
    with pytest.raises(HookError, match="not done after"):
        store.hooks.flush(0)
    gate.open.set()
    store.hooks.flush(PATIENCE_S)
    assert store.hooks.pending() == 0


def test_flush_waits_for_what_background_hooks_bring_forth(store: Any) -> None:
    store.hooks.register(WRITES, lambda run: store.set("custom:next", run.key, 1) and None, name="first", scope=HOME)
    store.hooks.register(WRITES, lambda _: None, name="second", scope="custom:next")
    store.set(HOME, "k", 1)
    store.hooks.flush(PATIENCE_S)
    assert len(executions(store, "second")) == 1


@pytest.mark.parametrize("background", [True, False])
def test_nobody_can_wait_for_hooks_nor_close_the_store_inside_a_hook(store: Any, background: bool) -> None:
    refused: list[str] = []

    def impatient(_: Any) -> None:
        for wait in (store.hooks.flush, store.close):
            with pytest.raises(HookError) as error:
                wait()
            refused.append(str(error.value))

    store.hooks.register(WRITES, impatient, name="impatient", background=background)
    store.set(HOME, "k", 1)
    store.hooks.flush(PATIENCE_S)
    assert len(refused) == 2
    assert [None] == [each.error for each in executions(store)]


def test_closing_ends_what_is_queued_first(face: str, store_url: str) -> None:
    ran: list[str] = []
    with opened(face, store_url, hook_flush_interval_s=NEVER_S, hook_workers=3) as store:
        store.hooks.register(WRITES, noting(ran), name="note")
        for number in range(20):
            store.set(HOME, f"k{number}", number)
    assert len(ran) == 20


def test_closing_ends_what_hooks_bring_forth_too(face: str, store_url: str) -> None:
    ran: list[str] = []
    with opened(face, store_url, hook_workers=4) as store:
        store.hooks.register(
            WRITES,
            lambda run: [store.set("custom:next", f"{run.key}-{n}", 1) for n in range(5)] and None,
            name="first",
            scope=HOME,
        )
        store.hooks.register(WRITES, noting(ran), name="second", scope="custom:next")
        for key in "abcd":
            store.set(HOME, key, 1)
    assert len(ran) == 20


def test_a_hook_that_hangs_holds_a_closing_store_up_no_longer_than_its_time(face: str, store_url: str) -> None:
    never = threading.Event()
    try:
        with opened(face, store_url) as store:
            store.hooks.register(WRITES, lambda _: never.wait(PATIENCE_S) and None, name="hangs", timeout_s=0.05)
            store.set(HOME, "k", 1)
    finally:
        never.set()


def test_a_hook_that_hangs_is_recorded_as_failed_and_the_next_ones_run(store: Any) -> None:
    never = threading.Event()
    ran: list[str] = []
    store.hooks.register(WRITES, lambda _: never.wait(PATIENCE_S) and None, name="hangs", timeout_s=0.05)
    store.hooks.register(WRITES, noting(ran), name="note")
    store.set(HOME, "k", 1)
    store.hooks.flush(PATIENCE_S)
    never.set()
    assert ran == ["k"]
    (hung,) = executions(store, "hangs")
    assert "TimeoutError" in hung.error


def test_closing_a_fork_leaves_the_background_running(store: Any) -> None:
    ran: list[str] = []
    store.hooks.register(WRITES, noting(ran), name="note")
    fork = store.fork("trial")
    fork.set(HOME, "k", 1)
    fork.close()
    store.set(HOME, "after", 1)
    store.hooks.flush(PATIENCE_S)
    assert sorted(ran) == ["after", "k"]


# Branches


def test_hooks_run_for_writes_on_every_branch_and_are_recorded_there(store: Any) -> None:
    store.hooks.register(WRITES, lambda _: None, name="note")
    fork = store.fork("trial")
    ids = {where: each.set(HOME, "k", where).event_id for where, each in (("main", store), ("trial", fork))}
    store.hooks.flush(PATIENCE_S)
    for where, each in (("main", store), ("trial", fork)):
        own = [run for run in executions(each, "note") if run.operation_id == ids[where]]
        assert [ids[where]] == [run.operation_id for run in executions(each, "note")]
        assert [where] == [run.event.data["input"]["after"] for run in own]


def test_a_hook_registered_from_a_fork_is_the_stores(store: Any) -> None:
    ran: list[str] = []
    fork = store.fork("trial")
    fork.hooks.register(WRITES, noting(ran), name="note")
    fork.set(HOME, "there", 1)
    fork.close()
    store.hooks.flush(PATIENCE_S)
    store.drop_branch("trial")
    store.hooks.register(WRITES, lambda _: None, name="other")
    store.set(HOME, "here", 1)
    store.hooks.flush(PATIENCE_S)
    assert sorted(ran) == ["here", "there"]


def test_what_was_to_run_on_a_branch_that_has_ended_holds_nobody_up(store: Any) -> None:
    gate = Gate()
    store.hooks.register(WRITES, gate, name="gate")
    fork = store.fork("trial")
    fork.set(HOME, "k", 1)
    assert gate.reached.wait(PATIENCE_S)
    store.drop_branch("trial")
    store.set(HOME, "main", 1)
    gate.open.set()
    store.hooks.flush(PATIENCE_S)
    assert ["main"] == [run.event.data["input"]["key"] for run in executions(store)]
    assert after_of(store).outstanding.count == 0


# What is told, and what hooks' writes are part of


def test_what_a_background_hook_writes_is_caused_by_the_write_and_sees_nothing_of_the_writers_context(
    store: Any,
) -> None:
    made: list[Any] = []
    store.hooks.register(WRITES, lambda run: made.append(store.set("custom:b", run.key, 1)), name="b", scope=HOME)
    with context(actor="agent:7", correlation_id="the-run", tags=["ambient"], metadata={"secret": 1}):
        first = store.set(HOME, "k", 1)
        store.hooks.flush(PATIENCE_S)
    second = store.set(HOME, "k2", 2, actor="somebody")
    store.hooks.flush(PATIENCE_S)
    assert [(first.event_id,), (second.event_id,)] == [each.causation_ids for each in made]
    assert ["the-run", second.correlation_id] == [each.correlation_id for each in made]
    assert ["agent:7", "somebody"] == [each.actor for each in made]
    assert [(), ()] == [each.tags for each in made]
    assert [{}, {}] == [each.metadata for each in made]
    assert [("b",), ("b",)] == [each.hooks for each in made]


def test_a_background_hook_sees_no_context_variable_of_whoever_wrote_first(store: Any) -> None:
    seen: list[str] = []

    async def later(_: Any) -> None:
        seen.append(MINE.get())

    store.hooks.register(WRITES, lambda _: seen.append(MINE.get()), name="now")
    store.hooks.register(WRITES, later, name="later")
    token = MINE.set("the writer's")
    store.set(HOME, "k", 1)
    MINE.reset(token)
    store.hooks.flush(PATIENCE_S)
    assert ["nobody's"] * 2 == seen


def test_a_run_is_recorded_as_caused_by_its_write(store: Any) -> None:
    store.hooks.register(WRITES, lambda _: None, name="note")
    write = store.set(HOME, "k", 1, correlation_id="the-run", actor="agent:7")
    store.hooks.flush(PATIENCE_S)
    (run,) = executions(store)
    assert write.event_id == run.operation_id
    assert ((write.event_id,), "the-run", "agent:7") == (
        run.event.causation_ids,
        run.event.correlation_id,
        run.event.actor,
    )


def test_deletes_and_clears_have_their_hooks_behind_them(store: Any) -> None:
    seen: list[Any] = []
    for verb in ("write", "delete", "clear"):
        store.hooks.register(
            f"after_state_{verb}",
            lambda run: seen.append((run.point, run.operation, run.key, run.before, run.after)),
            name=f"note-{verb}",
        )
    store.set(HOME, "k", 1)
    store.set(HOME, "k", 2)
    store.delete(HOME, "k")
    store.set(HOME, "m", 3)
    store.clear(HOME)
    store.hooks.flush(PATIENCE_S)
    missing = backstory.MISSING
    assert [
        ("after_state_write", "set", "k", missing, 1),
        ("after_state_write", "set", "k", 1, 2),
        ("after_state_delete", "delete", "k", 2, missing),
        ("after_state_write", "set", "m", missing, 3),
        ("after_state_clear", "clear", None, ["m"], missing),
    ] == seen


def test_a_transaction_has_its_hooks_run_once_it_is_committed_and_not_when_it_is_given_up(store: Any) -> None:
    ran: list[str] = []
    store.hooks.register(WRITES, noting(ran), name="note")
    with store.transaction() as tx:
        tx.set(HOME, "a", 1)
        tx.set(HOME, "b", 1)
    with suppress(ZeroDivisionError), store.transaction() as tx:
        tx.set(HOME, "c", 1)
        raise ZeroDivisionError
    store.hooks.flush(PATIENCE_S)
    assert ran == ["a", "b"]


@pytest.mark.parametrize("count", [2, 3])
def test_hooks_that_write_end_each_runs_once_inside_each_other(store: Any, count: int) -> None:
    """Of n hooks that write once each, a write sets off each with n-1 inside it, and so on: n, n(n-1), ..."""
    names = [f"h{number}" for number in range(count)]
    for name in names:
        store.hooks.register(
            WRITES, lambda run, name=name: store.set("custom:echo", f"{name}-{run.key}", 1) and None, name=name
        )
    store.set(HOME, "k", 1)
    store.hooks.flush(PATIENCE_S)
    expected, width = 0, 1
    for left in range(count, 0, -1):
        width *= left
        expected += width
    runs = executions(store)
    assert expected == len(runs)
    assert all(run.error is None for run in runs)
    for event in store.log(scope="custom:echo"):
        assert len(set(event.hooks)) == len(event.hooks)


# What hooks answer


def test_a_failing_hook_is_recorded_and_the_write_stands(store: Any) -> None:
    store.hooks.register(WRITES, lambda _: 1 / 0, name="fails")
    store.hooks.register(WRITES, lambda _: "nonsense", name="nonsense")
    store.set(HOME, "k", 1)
    store.hooks.flush(PATIENCE_S)
    assert ["hook.failed"] * 2 == [run.event.type for run in executions(store)]
    assert store.get(HOME, "k") == 1


def test_a_hook_is_asked_again_as_often_as_it_wants(store: Any) -> None:
    attempts: list[int] = []

    def stubborn(run: Any) -> HookResult | None:
        attempts.append(len(attempts))
        return HookResult.retry(0.001, 4) if run.key == "always" or len(attempts) < 2 else None

    store.hooks.register(WRITES, stubborn, name="stubborn")
    store.set(HOME, "once", 1)
    store.hooks.flush(PATIENCE_S)
    assert len(attempts) == 2
    store.set(HOME, "always", 1)
    store.hooks.flush(PATIENCE_S)
    assert len(attempts) == 6
    told = [run.event.data.get("attempt", 1) for run in executions(store)]
    assert told == [1, 2, 1, 2, 3, 4]
    assert ["retry", "continue", "retry", "retry", "retry", "retry"] == [run.result.kind for run in executions(store)]


def test_what_a_hook_wants_done_beside_is_one_commit_with_its_run(store: Any) -> None:
    store.set("custom:beside", "gone", 1)
    store.hooks.register(
        WRITES,
        lambda run: HookResult.fork(
            [("set", "custom:beside", run.key, run.after), ("delete", "custom:beside", "gone")]
        ),
        name="forks",
        scope=HOME,
    )
    store.set(HOME, "k", 7)
    store.hooks.flush(PATIENCE_S)
    (run,) = executions(store)
    beside = list(store.log(since=run.event.position))
    assert ["state.set", "state.deleted"] == [event.type for event in beside]
    assert {(run.event.event_id,)} == {event.causation_ids for event in beside}
    assert {run.event.recorded_at} == {event.recorded_at for event in beside}
    assert {"k": 7} == store.items("custom:beside")


def test_records_keep_the_order_of_the_runs_where_some_want_something_done_beside(face: str, store_url: str) -> None:
    with opened(face, store_url, hook_flush_interval_s=NEVER_S) as store:
        store.hooks.register(
            WRITES,
            lambda run: HookResult.fork([("set", "custom:beside", run.key, 1)]) if run.after % 2 else None,
            name="forks",
            scope=HOME,
        )
        for number in range(6):
            store.set(HOME, "k", number)
        store.hooks.flush(PATIENCE_S)
        assert list(range(6)) == [run.event.data["input"]["after"] for run in executions(store)]
        assert 3 == store.get("custom:beside", "k", 0) * 3


def test_a_before_hook_may_refuse_what_a_background_hook_wants_done(store: Any) -> None:
    store.hooks.register(WRITES, lambda _: HookResult.fork([("set", "custom:shut", "k", 1)]), name="forks", scope=HOME)
    store.hooks.register("before_state_write", lambda _: HookResult.cancel("shut"), name="guard", scope="custom:shut")
    store.set(HOME, "k", 1)
    store.hooks.flush(PATIENCE_S)
    assert store.get("custom:shut", "k") is None
    assert ["forks", "guard"] == [run.hook for run in executions(store)]
    with pytest.raises(HookCancelledError):
        store.set("custom:shut", "k", 1)
    assert after_of(store).outstanding.count == 0


def test_a_hook_taken_away_still_runs_for_what_it_was_due_for(store: Any) -> None:
    gate = Gate()
    store.hooks.register(WRITES, gate, name="gate")
    store.set(HOME, "a", 1)
    store.set(HOME, "b", 1)
    assert gate.reached.wait(PATIENCE_S)
    store.hooks.unregister("gate")
    store.set(HOME, "c", 1)
    gate.open.set()
    store.hooks.flush(PATIENCE_S)
    assert gate.keys == ["a", "b"]


def test_points_that_are_fired_and_read_have_a_background_too(store: Any) -> None:
    seen: list[Any] = []
    store.hooks.register("custom:done", lambda run: seen.append(run.after), name="fired", background=True)
    store.hooks.register("after_state_read", lambda run: seen.append(run.after), name="read")
    store.set(HOME, "k", 1)
    assert store.get(HOME, "k") == 1
    assert store.hooks.fire("custom:done", {"n": 2}) == {"n": 2}
    store.hooks.flush(PATIENCE_S)
    assert [1, {"n": 2}] == sorted(seen, key=str)


# Marks


def test_a_store_without_background_hooks_keeps_no_mark(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: None, name="before")
    store.hooks.register(WRITES, lambda _: None, name="after", background=False)
    store.hooks.register("custom:done", lambda _: None, name="fired", background=True)
    store.set(HOME, "k", 1)
    store.hooks.fire("custom:done", 1)
    store.hooks.flush()
    assert {} == marks_of(store)


def test_the_mark_follows_what_is_done(store: Any) -> None:
    store.hooks.register(WRITES, lambda _: None, name="note")
    store.set(HOME, "first", 1)
    before = marks_of(store)
    last = [store.set(HOME, f"k{number}", number) for number in range(5)][-1]
    store.hooks.flush(PATIENCE_S)
    ((place, mark),) = marks_of(store).items()
    assert [place] == list(before)
    assert last.position == mark


def test_the_mark_follows_hooks_that_always_want_something_done_beside(store: Any) -> None:
    store.hooks.register(WRITES, lambda _: HookResult.fork([("set", "custom:b", "k", 1)]), name="forks", scope=HOME)
    last = [store.set(HOME, f"k{number}", number) for number in range(3)][-1]
    store.hooks.flush(PATIENCE_S)
    (mark,) = marks_of(store).values()
    assert last.position <= mark


def test_a_transaction_right_after_registering_is_behind_the_mark(store: Any) -> None:
    gate = Gate()
    store.hooks.register(WRITES, gate, name="gate")
    with store.transaction() as tx:
        tx.set(HOME, "k", 1)
    assert gate.reached.wait(PATIENCE_S)
    (mark,) = marks_of(store).values()
    first = next(iter(store.log(types="hook.registered")))
    (write,) = store.log(scope=HOME)
    assert first.position <= mark < write.position
    gate.open.set()


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_store_that_is_closed_well_forgets_its_mark(face: str, engine: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{engine}_url")
    with opened(face, url) as store:
        store.hooks.register(WRITES, lambda _: None, name="note")
        store.set(HOME, "k", 1)
        assert len(marks_of(store)) == 1
    with opened(face, url) as store:
        assert {} == marks_of(store)
        assert [None] == [run.error for run in executions(store)]
        assert store.hooks.pending() == 0


# Interrupts and ends


def test_an_interrupt_during_flush_leaves_the_background_as_it_is(store_url: str) -> None:
    gate = Gate()
    with opened("blocking", store_url) as store:

        def interrupting(run: Any) -> None:
            gate.keys.append(run.key)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            assert gate.open.wait(PATIENCE_S)

        store.hooks.register(WRITES, interrupting, name="interrupting")
        with pytest.raises(KeyboardInterrupt):
            [store.set(HOME, "k", 1), store.hooks.flush(PATIENCE_S)]
        gate.open.set()
        store.hooks.unregister("interrupting")
        store.hooks.flush(PATIENCE_S)
        assert gate.keys == ["k"]
        assert store.hooks.pending() == 0


def test_an_interrupted_wait_for_room_loses_nothing(store_url: str) -> None:
    gate = Gate()
    with opened("blocking", store_url, hook_queue_size=1, hook_flush_interval_s=0.001) as store:
        store.hooks.register(WRITES, gate, name="gate")
        store.set(HOME, "a", 1)
        assert gate.reached.wait(PATIENCE_S)
        queue = queue_of(store)
        queue.room = _interrupted
        with pytest.raises(KeyboardInterrupt):
            store.set(HOME, "b", 1)
        gate.open.set()
        store.hooks.flush(PATIENCE_S)
        assert gate.keys == ["a", "b"]


def _interrupted(_: object) -> None:
    raise KeyboardInterrupt


FORGETFUL: Final = """
import sys, threading, backstory
store = backstory.open(sys.argv[1], hook_flush_interval_s=3600)
store.hooks.register("after_state_write", lambda run: None, name="note")
for number in range(3):
    store.set("agent:a", f"k{number}", number)
print("written")
"""

FORKING: Final = """
import os, sys, backstory
store = backstory.open(sys.argv[1])
store.hooks.register("after_state_write", lambda run: None, name="note")
store.set("agent:a", "parent", 1)
child = os.fork()
if child == 0:
    with backstory.open(sys.argv[1]) as own:
        own.hooks.register("after_state_write", lambda run: None, name="child")
        own.set("agent:a", "child", 1)
        own.hooks.flush(60)
        assert ["child"] == [run.event.data["input"]["key"] for run in own.hooks.history(name="child")]
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
store.set("agent:a", "again", 1)
store.hooks.flush(60)
assert store.verify().ok
store.close()
print("whole")
"""


def said(script: str, url: str) -> str:
    """Return what a Python program says that ends by itself, and well."""
    done = subprocess.run(
        [sys.executable, "-c", script, url], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


def test_a_program_that_forgets_to_close_ends_and_loses_nothing(face: str, sqlite_url: str) -> None:
    assert said(FORGETFUL, sqlite_url) == "written"
    ran: list[Any] = []
    with opened(face, sqlite_url) as store:
        store.hooks.register(WRITES, lambda run: ran.append((run.key, run.redelivered)), name="note")
        store.hooks.flush(PATIENCE_S)
    assert [("k0", True), ("k1", True), ("k2", True)] == ran


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_with_a_store_of_its_own_runs_its_own_hooks(sqlite_url: str) -> None:
    assert said(FORKING, sqlite_url) == "whole"
    with backstory.open(sqlite_url) as store:
        runs = Counter((run.hook, run.event.data["input"]["key"]) for run in store.hooks.history())
    assert Counter([("note", "parent"), ("child", "child"), ("note", "again")]) == runs


def test_many_writers_at_once_have_each_write_seen_to_once(store: Any) -> None:
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def count(run: Any) -> None:
        with lock:
            seen[run.key] += 1

    store.hooks.register(WRITES, count, name="count")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda key: store.set(HOME, f"k{key}", key), range(120)))
    store.hooks.flush(PATIENCE_S)
    assert {f"k{key}": 1 for key in range(120)} == dict(seen)
    runs = executions(store)
    assert len(runs) == 120
    assert all(early.event.position < late.event.position for early, late in pairwise(runs))
