"""The asyncio face: tasks share commits, cancelling harms nobody, the context follows the task."""

from __future__ import annotations

import asyncio
import threading
from uuid import uuid4

import pytest

import backstory
from backstory import ConflictError, Event
from backstory.domain.ports import Program


async def test_many_tasks_write_at_once_and_each_write_is_there_once(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        events = await asyncio.gather(
            *(store.set(f"agent:{number % 8}", f"k{number}", number) for number in range(200))
        )

        assert sorted(event.position for event in events) == list(range(1, 201))
        assert [event.data["value"] for event in events] == list(range(200))
        assert (await store.verify()).ok


async def test_increments_of_one_key_by_many_tasks_add_up(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        totals = await asyncio.gather(*(store.increment("global", "n") for _ in range(100)))

        assert sorted(totals) == list(range(1, 101))


async def test_one_of_many_tasks_that_expect_the_same_version_wins(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        answers = await asyncio.gather(
            *(store.set("agent:a", "k", number, expected_version=0) for number in range(20)), return_exceptions=True
        )

        assert [type(answer) for answer in answers].count(ConflictError) == 19
        assert await store.position() == 1


async def test_a_cancelled_writer_leaves_the_others_and_the_store_alone(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        tasks = [asyncio.create_task(store.set("agent:a", f"k{number}", number)) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)

        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
        kept = await store.items("agent:a")
        assert {f"k{number}": number for number in range(1, 20, 2)}.items() <= kept.items()
        assert (await store.verify()).ok


async def test_closing_waits_for_commits_that_were_submitted(sqlite_url: str, postgres_url: str) -> None:
    for url in (sqlite_url, postgres_url):
        store = await backstory.open_async(url)
        tasks = [asyncio.create_task(store.set("agent:a", f"k{number}", number)) for number in range(20)]
        await asyncio.sleep(0)
        await store.aclose()
        await asyncio.gather(*tasks)

        async with backstory.open_async(url) as again:
            assert len(await again.keys("agent:a")) == 20


async def test_a_transaction_reads_its_own_writes_and_is_all_or_nothing(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        async with store.transaction(correlation_id="both") as tx:
            await tx.set("agent:a", "k", 1)
            assert await tx.increment("agent:a", "k") == 2
            recorded = await tx.append("agent:b", Event("thing.done"))
        assert [event.correlation_id for event in recorded] == ["both"]
        assert await store.get("agent:a", "k") == 2

        async def change_the_mind() -> None:
            async with store.transaction() as tx:
                await tx.set("agent:a", "k", 3)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await change_the_mind()
        assert await store.get("agent:a", "k") == 2


async def test_the_context_follows_its_task_and_no_other(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:

        async def write(name: str) -> backstory.RecordedEvent:
            with backstory.context(actor=name, correlation_id=name):
                await asyncio.sleep(0)
                return await store.set("agent:a", name, 1)

        events = await asyncio.gather(*(write(name) for name in ("x", "y", "z")))

        assert [("x", "x"), ("y", "y"), ("z", "z")] == [(event.actor, event.correlation_id) for event in events]
        assert (await store.set("agent:a", "plain", 1)).actor is None


def test_the_context_of_one_thread_is_not_anothers(store_url: str) -> None:
    with backstory.open(store_url) as store:
        found: list[str | None] = []
        with backstory.context(actor="outer"):
            thread = threading.Thread(target=lambda: found.append(store.set("agent:a", "k", 1).actor))
            thread.start()
            thread.join()
            with backstory.context(correlation_id="inner"):
                event = store.set("agent:a", "k", 2)

        assert [None] == found
        assert ("outer", "inner") == (event.actor, event.correlation_id)


def test_without_a_correlation_an_event_takes_its_first_causes_else_starts_one(store_url: str) -> None:
    with backstory.open(store_url) as store:
        first = store.append("agent:a", Event("a.b"), correlation_id="chosen")[0]
        second = store.set("agent:a", "k", 1)
        third = store.set("agent:a", "k", 2, cause=[first, second.event_id])
        fourth = store.set("agent:a", "k", 3, cause=second)

        assert str(second.event_id) == second.correlation_id == fourth.correlation_id
        assert third.correlation_id == "chosen"
        assert (first.event_id, second.event_id) == third.causation_ids
        assert [2, 4] == [event.position for event in store.log(correlation_id=second.correlation_id)]


def test_an_event_id_that_is_known_is_answered_with_its_first_recording(store_url: str) -> None:
    with backstory.open(store_url) as store:
        event = Event("thing.done", {"n": 1}, event_id=uuid4())
        first = store.append("agent:a", event, expected_version=0)
        again = store.append("agent:a", event, expected_version=0)
        both = store.append("agent:a", [event, Event("more.done"), event])

        assert first == again
        assert [1, 2, 1] == [one.position for one in both]
        assert store.position() == 2


async def test_a_task_that_is_cancelled_while_a_thread_reads_for_it_is_told_so_when_its_program_has_ended(
    sqlite_url: str,
) -> None:
    at_work, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def program(store: backstory.AsyncStateStore) -> Program[None]:
        try:
            yield from store._core.engine.head()
            at_work.set()
            assert go_on.wait(60)
            yield from store._core.engine.head()
        finally:
            ended.set()

    async with backstory.open_async(sqlite_url) as store:
        await store.set("agent:a", "k", 1)
        task = asyncio.create_task(store._runner.run(program(store)))
        assert await asyncio.to_thread(at_work.wait, 60)
        for _ in range(2):  # whoever is impatient
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()
