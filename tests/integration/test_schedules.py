"""Schedules: replays that run when they come due, once, in whichever process is there, and after a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import backstory
from backstory import InvalidValueError
from backstory.domain.hooks import HookResult
from backstory.schedules import At, Cron, Every, Once

if TYPE_CHECKING:
    from backstory import AsyncStateStore, StateStore

_WAIT_S = 30.0
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def double(context: Any) -> HookResult:
    return HookResult.modified(context.after * 2)


def prepared(store: StateStore) -> None:
    store.hooks.register("before_state_write", double, name="double", scope="custom:a")
    store.set("custom:a", "x", 1)


def awaited(store: StateStore, count: int) -> list[Any]:
    """Return the data of so many completed replays, however long they take."""
    with store.subscribe(since=0, types="replay.completed") as subscription:
        found = [subscription.poll(_WAIT_S) for _ in range(count)]
    return [None if event is None else event.data for event in found]


def started(store: StateStore) -> list[str]:
    return [event.data["schedule"] for event in store.log(types="replay.started")]


@pytest.mark.parametrize("when", [Once(0.0), At(LONG_AGO), Every(0.01, max_runs=1)])
def test_what_is_scheduled_once_runs_once_and_is_done(store_url: str, when: Any) -> None:
    with backstory.open(store_url) as store:
        prepared(store)
        store.replay.schedule("nightly", when, name="double")
        (completed,) = awaited(store, 1)
        assert (1, 0, 1) == (completed["succeeded"], completed["failed"], completed["identical"])
        (schedule,) = store.replay.schedules()
        assert (1, None) == (schedule.runs, schedule.next_due)
    if store_url == "memory://":
        return
    with backstory.open(store_url) as store:
        prepared(store)
        assert ["nightly"] == started(store)


def test_an_interval_runs_again_and_again_until_it_is_unscheduled(store_url: str) -> None:
    with backstory.open(store_url) as store:
        prepared(store)
        store.replay.schedule("often", Every(0.01), name="double", mode="simulate")
        assert 3 == len(awaited(store, 3))
        assert store.replay.unschedule("often")
        assert [] == store.replay.schedules()
        assert not store.replay.unschedule("often")


def test_a_run_that_came_due_while_nobody_was_there_is_made_up_for_by_one(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with backstory.open(url) as store:
        store.set("custom:a", "x", 1)
        store.replay.schedule("missed", Every(0.001, max_runs=1), mode="simulate")
    with backstory.open(url) as store:
        runs = len(started(store))
        assert runs <= 1
        prepared(store)
        assert 1 == len(awaited(store, 1))
        assert 1 == store.replay.schedules()[0].runs


def test_what_is_due_waits_until_all_hooks_are_registered(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with backstory.open(url, run_schedules=False) as store:
        prepared(store)
        store.replay.schedule("nightly", Once(0.0), name="double")
    with backstory.open(url) as store:
        for number in range(3):
            store.hooks.register("before_state_write", double, name=f"other-{number}", scope="custom:b")
        store.hooks.register("before_state_write", double, name="double", scope="custom:a")
        (completed,) = awaited(store, 1)
        assert (1, 0) == (completed["succeeded"], completed["failed"])


def test_a_process_that_runs_no_schedules_does_so_only_when_asked(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with backstory.open(url, run_schedules=False) as store:
        prepared(store)
        store.replay.schedule("nightly", Once(0.0), name="double")
        store.replay.schedule("later", Once(3600.0), name="double")
        store.replay.schedule("nonsense", At(LONG_AGO), until=999)
        assert store._core.gate.scheduler is None
        good, bad = store.replay.run_due()
        assert ("nightly", 1, None) == (good.schedule.name, good.report and good.report.succeeded, good.error)
        assert ("nonsense", None) == (bad.schedule.name, bad.report)
        assert "999" in (bad.error or "")
        assert [] == store.replay.run_due()
        assert ["nightly", "nonsense"] == started(store)


async def test_the_asyncio_face_runs_what_is_due_when_asked() -> None:
    async with backstory.open_async("memory://", run_schedules=False) as store:
        await _prepared(store)
        await store.replay.schedule("nightly", Once(0.0), name="double")
        (run,) = await store.replay.run_due()
        assert run.report is not None
        assert 1 == run.report.succeeded
        assert [] == await store.replay.run_due()


def test_of_two_that_have_the_store_open_one_runs_what_is_due(sqlite_pair: tuple[StateStore, StateStore]) -> None:
    one, other = sqlite_pair
    prepared(one)
    one.replay.schedule("shared", Every(0.02, max_runs=5), name="double", mode="simulate")
    other.replay.resume()
    awaited(one, 5)
    assert ["shared"] * 5 == started(one)
    assert 5 == other.replay.schedules()[0].runs


@pytest.fixture
def sqlite_pair(tmp_path: Any) -> Any:
    url = f"sqlite:///{tmp_path}/store.db"
    with backstory.open(url) as one, backstory.open(url) as other:
        yield one, other


async def test_the_asyncio_face_runs_what_is_due(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        await _prepared(store)
        await store.replay.schedule("nightly", Once(0.0), name="double")
        async with store.subscribe(since=0, types="replay.completed") as subscription:
            event = await subscription.poll(_WAIT_S)
        assert event is not None
        assert 1 == event.data["succeeded"]
        assert [1] == [each.runs for each in await store.replay.schedules()]
        assert await store.replay.unschedule("nightly")


async def _prepared(store: AsyncStateStore) -> None:
    store.hooks.register("before_state_write", double, name="double", scope="custom:a")
    await store.set("custom:a", "x", 1)


def test_a_schedule_of_the_same_name_takes_the_place_of_the_other(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.replay.schedule("one", Once(3600.0))
        store.replay.schedule("one", Cron("0 3 * * *"), mode="simulate")
        (schedule,) = store.replay.schedules()
        assert Cron("0 3 * * *") == schedule.when
        assert schedule.next_due is not None
        assert (3, 0) == (schedule.next_due.hour, schedule.next_due.minute)
        assert schedule.made_at < schedule.next_due <= schedule.made_at + timedelta(days=1)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: Once(-1), "delay_s"),
        (lambda: Once(True), "delay_s"),
        (lambda: At(datetime(2026, 1, 1)), "instant"),  # noqa: DTZ001 - what is refused
        (lambda: Every(0), "interval_s"),
        (lambda: Every(1, max_runs=0), "max_runs"),
        (lambda: Cron("* * * *"), "cron"),
        (lambda: Cron("* * * * * *"), "cron"),
        (lambda: Cron("61 * * * *"), "cron"),
        (lambda: Cron("0 0 31 2 *"), "cron"),
        (lambda: Cron(5), "cron"),  # type: ignore[arg-type]
    ],
)
def test_a_time_that_is_none_is_refused(make: Any, path: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make()
    assert path == caught.value.path


@pytest.mark.parametrize(
    ("name", "when", "arguments"),
    [
        ("", Once(1), {}),
        ("n", "tomorrow", {}),
        ("n", Once(1), {"progress": print}),
        ("n", Once(1), {"mode": "maybe"}),
        ("n", Once(1), {"mode": "exact", "changes": {"after": 1}}),
        ("n", Once(1), {"point": "nowhere"}),
        ("n", Once(1), {"concurrency": 0}),
    ],
)
def test_a_schedule_that_means_nothing_is_refused_before_anything_is_written(
    name: str, when: Any, arguments: dict[str, Any]
) -> None:
    with backstory.open("memory://") as store:
        with pytest.raises(InvalidValueError):
            store.replay.schedule(name, when, **arguments)
        assert 0 == store.position()
