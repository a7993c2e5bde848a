"""Subscriptions: what is there, then what follows, each once, however slow the one who listens."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import backstory
from backstory import Event, StateStore

MANY = 1200


def _write(store: StateStore, writer: int, count: int) -> None:
    for number in range(count):
        store.append(f"agent:{writer}", [Event("thing.done", number)])


def test_a_subscription_catches_up_and_then_follows_while_threads_write(store_url: str) -> None:
    with backstory.open(store_url) as store:
        _write(store, 0, 40)
        writers = [threading.Thread(target=_write, args=(store, writer, 40)) for writer in range(1, 4)]
        with store.subscribe(since=0) as subscription:
            for writer in writers:
                writer.start()
            seen = [next(subscription).position for _ in range(160)]
            for writer in writers:
                writer.join()

        assert list(range(1, 161)) == seen


def test_a_subscription_sees_what_another_connection_writes(sqlite_url: str, postgres_url: str) -> None:
    for url in (sqlite_url, postgres_url):
        with backstory.open(url) as store, backstory.open(url) as other, store.subscribe() as subscription:
            writer = threading.Thread(target=_write, args=(other, 1, 5))
            writer.start()
            seen = [next(subscription).position for _ in range(5)]
            writer.join()

            assert [1, 2, 3, 4, 5] == seen


def test_without_a_point_a_subscription_begins_now(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.set("agent:a", "old", 1)
        with store.subscribe() as subscription:
            store.set("agent:a", "new", 2)

            assert next(subscription).key == "new"


def test_filters_leave_out_what_was_not_asked_for_and_nothing_else(store_url: str) -> None:
    with (
        backstory.open(store_url) as store,
        store.subscribe(since=0, scope="agent:a") as by_scope,
        store.subscribe(since=0, types="tool.*") as by_type,
        store.subscribe(since=0, correlation_id="c") as by_correlation,
    ):
        for number in range(700):
            store.append("agent:b", [Event("noise.made", number)])
        store.set("agent:a", "k", 1)
        store.append("agent:b", [Event("tool.called")])
        store.append("agent:b", [Event("x.y")], correlation_id="c")

        assert next(by_scope).position == 701
        assert next(by_type).position == 702
        assert next(by_correlation).position == 703
        assert by_scope.poll() is None
        assert by_scope.position == 703


def test_a_branch_shows_its_parents_events_up_to_the_fork_and_then_its_own(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.set("agent:a", "k", 1)
        fork = store.fork("side", as_of=1)
        with fork.subscribe(since=0) as subscription:
            store.set("agent:a", "main", 2)
            own = fork.set("agent:a", "side", 3)

            assert [1, own.position] == [next(subscription).position, next(subscription).position]


def test_a_slow_subscriber_holds_up_no_writer(store_url: str) -> None:
    with backstory.open(store_url) as store, store.subscribe(since=0) as slow:
        store.set("agent:a", "k", 0)
        next(slow)
        store.set_many("agent:a", {f"k{number}": number for number in range(MANY)})

        assert store.position() == MANY + 1
        assert [next(slow).position for _ in range(MANY)] == list(range(2, MANY + 2))


def test_closing_a_subscription_from_elsewhere_lets_the_waiting_go(store_url: str) -> None:
    with backstory.open(store_url) as store:
        subscription = store.subscribe()
        found: list[object] = []
        waiting = threading.Thread(target=lambda: found.extend(subscription))
        waiting.start()
        store.set("agent:a", "k", 1)
        subscription.close()
        waiting.join(30)

        assert not waiting.is_alive()
        assert len(found) <= 1
        with pytest.raises(StopIteration):
            next(subscription)


def test_closing_the_store_ends_its_subscriptions(store_url: str) -> None:
    store = backstory.open(store_url)
    subscription = store.subscribe()
    waiting = threading.Thread(target=lambda: list(subscription))
    waiting.start()
    store.close()
    waiting.join(30)

    assert not waiting.is_alive()


async def test_an_asyncio_subscription_catches_up_and_then_follows_while_tasks_write(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:

        async def write(writer: int) -> None:
            for number in range(40):
                await store.append(f"agent:{writer}", [Event("thing.done", number)])

        await write(0)
        async with store.subscribe(since=0) as subscription:
            tasks = [asyncio.create_task(write(writer)) for writer in range(1, 4)]
            seen = [(await anext(subscription)).position for _ in range(160)]
            await asyncio.gather(*tasks)

        assert list(range(1, 161)) == seen


async def test_closing_an_asyncio_subscription_lets_the_waiting_task_go(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        subscription = store.subscribe()

        async def follow() -> list[int]:
            return [event.position async for event in subscription]

        task = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await subscription.close()

        assert await asyncio.wait_for(task, 30) == []


async def test_an_asyncio_subscription_sees_what_another_connection_writes(sqlite_url: str, postgres_url: str) -> None:
    for url in (sqlite_url, postgres_url):
        async with (
            backstory.open_async(url) as store,
            backstory.open_async(url) as other,
            store.subscribe(since=0) as subscription,
        ):
            following = asyncio.create_task(anext(subscription))
            await other.set("agent:a", "k", 1)

            assert (await following).key == "k"


@pytest.mark.parametrize("closed", ["subscription", "store"])
def test_closing_just_before_a_subscription_waits_is_not_lost(
    store_url: str, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backstory.open(store_url) as store:
        subscription = store.subscribe()
        wait = store._core.engine.wait

        def wait_too_late(*args: Any) -> bool:
            (subscription if closed == "subscription" else store).close()
            return wait(*args)

        monkeypatch.setattr(store._core.engine, "wait", wait_too_late)
        found: list[object] = []
        waiting = threading.Thread(target=lambda: found.extend(subscription), daemon=True)
        waiting.start()
        waiting.join(30)

        assert not waiting.is_alive()
        assert found == []


async def test_closing_an_asyncio_subscription_while_it_looks_is_not_lost(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with backstory.open_async(store_url) as store:
        subscription = store.subscribe()
        engine = store._core.engine
        wait = engine.wait_async

        async def wait_too_late(*args: Any) -> bool:
            await subscription.close()
            return await wait(*args)

        monkeypatch.setattr(engine, "wait_async", wait_too_late)

        assert await asyncio.wait_for(subscription.poll(3600), 30) is None
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)


def test_events_that_are_not_asked_for_do_not_prolong_a_wait(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with backstory.open(store_url) as store:
        subscription = store.subscribe(scope="agent:a")
        asked: list[float] = []

        def wait_while_others_write(position: int, timeout_s: float, stop: object) -> bool:
            del position, stop
            asked.append(timeout_s)
            store.set("agent:b", "k", 1)
            return True

        monkeypatch.setattr(store._core.engine, "wait", wait_while_others_write)

        assert subscription.poll(0.01) is None
        assert asked == sorted(asked, reverse=True)
        assert len(set(asked)) == len(asked) > 0
