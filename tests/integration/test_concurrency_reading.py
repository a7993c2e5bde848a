"""Readers beside writers: nobody sees half a commit, and everybody sees what was acknowledged."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import backstory
from backstory import Event, Scope, StoreClosedError
from tests.support.folding import assert_whole
from tests.support.follower import LAST
from tests.support.processes import children, heard, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from backstory import StateStore

HERE = Scope.agent("here")
THERE = Scope.agent("there")
TURNS = 60
READERS = 6

Look = tuple[str, "Callable[[StateStore], list[Any]]"]


def write_together(store: StateStore, turns: int) -> None:
    """Write numbers that must agree wherever they stand; the extra key is gone in every other transaction."""
    for turn in range(1, turns + 1):
        with store.transaction() as tx:
            tx.clear(HERE)
            for scope, key in ((HERE, "left"), (HERE, "right"), (THERE, "left")):
                tx.set(scope, key, turn)
            if turn % 2:
                tx.set(HERE, "extra", turn)


def numbers(values: dict[str, int]) -> list[int]:
    return [values[key] for key in ("left", "right", "extra") if key in values]


def whole_store(store: StateStore) -> list[int]:
    snapshot = store.snapshot()
    return [*numbers(snapshot[HERE]), *numbers(snapshot[THERE])]


def of_the_past(store: StateStore) -> list[int]:
    view = store.at(store.position())
    return numbers(view.items(HERE))


LOOKS: list[Look] = [
    ("items", lambda store: numbers(store.items(HERE))),
    ("get_many", lambda store: numbers(store.get_many(HERE, ["left", "right", "extra"]))),
    ("snapshot", whole_store),
    ("at", of_the_past),
]


@pytest.mark.parametrize("branch", ["main", "fork"])
@pytest.mark.parametrize("look", [pytest.param(look, id=name) for name, look in LOOKS])
def test_a_reader_never_sees_half_a_transaction(
    store_url: str, branch: str, look: Callable[[StateStore], list[int]]
) -> None:
    done = threading.Event()
    with backstory.open(store_url) as root:
        root.set(HERE, "left", 0)
        root.set(HERE, "right", 0)
        root.set(THERE, "left", 0)
        store = root if branch == "main" else root.fork("fork")

        def read() -> list[list[int]]:
            torn = []
            while not done.is_set():
                seen = look(store)
                if len(set(seen)) != 1 or len(seen) == 1:
                    torn.append(seen)
            return torn

        with ThreadPoolExecutor(READERS) as pool:
            reading = [pool.submit(read) for _ in range(READERS)]
            try:
                write_together(store, TURNS)
            finally:
                done.set()
            assert [[]] * READERS == [one.result() for one in reading]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shared_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store that several processes can open."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def test_what_one_process_commits_another_sees_at_its_next_read(shared_url: str) -> None:
    with children() as started, backstory.open(shared_url) as store:
        writer = started.start("tests.support.answering_writer", shared_url)
        assert heard(writer) == "ready"
        for turn in range(1, 101):
            told(writer, str(turn))
            assert heard(writer) == str(turn)
            assert turn == store.get("agent:answering", "turn")
            assert {"turn": turn} == store.items("agent:answering")
            assert turn == store.position()


def test_processes_that_open_a_missing_store_at_once_make_one(shared_url: str) -> None:
    with children() as started:
        writers = [started.start("tests.support.answering_writer", shared_url) for _ in range(6)]
        for writer in writers:
            assert heard(writer) == "ready"
        for writer in writers:
            told(writer, "1")
        for writer in writers:
            assert heard(writer) == "1"
        with backstory.open(shared_url) as store:
            assert len(writers) == len(assert_whole(store))


def test_subscribers_beside_writers_see_every_event_once_in_order(store_url: str) -> None:
    writers, each = 4, 60
    with backstory.open(store_url) as store, ThreadPoolExecutor(READERS + writers) as pool:

        def follow(since: int | None) -> list[int]:
            with store.subscribe(since=since) as subscription:
                started.release()
                seen = []
                for event in subscription:
                    seen.append(event.position)
                    if event.type == LAST:
                        break
                return seen

        started = threading.Semaphore(0)
        following = [pool.submit(follow, 0) for _ in range(READERS)]
        for _ in following:
            started.acquire()
        list(pool.map(lambda name: [store.set(f"agent:{name}", "k", turn) for turn in range(each)], range(writers)))
        store.append("custom:end", Event(LAST))
        everything = list(range(1, writers * each + 2))
        assert [everything] * READERS == [one.result() for one in following]


async def test_asynchronous_subscribers_beside_tasks_see_every_event_once_in_order(store_url: str) -> None:
    writers, each = 16, 15
    async with backstory.open_async(store_url) as store:

        async def follow() -> list[int]:
            seen = []
            async with store.subscribe(since=0) as subscription:
                async for event in subscription:
                    seen.append(event.position)
                    if event.type == LAST:
                        break
            return seen

        async def write(name: int) -> None:
            for turn in range(each):
                await store.set(f"agent:{name}", "k", turn)

        following = [asyncio.create_task(follow()) for _ in range(READERS)]
        await asyncio.gather(*map(write, range(writers)))
        await store.append("custom:end", Event(LAST))
        everything = list(range(1, writers * each + 2))
        assert [everything] * READERS == await asyncio.gather(*following)


def test_a_subscriber_that_reads_nothing_holds_up_no_writer(store_url: str) -> None:
    with backstory.open(store_url) as store, store.subscribe(since=0) as idle:
        for turn in range(1, 51):
            assert turn == store.set("agent:a", "k", turn).position
        assert [1, 2, 3] == [next(idle).position for _ in range(3)]


def test_a_store_closed_amid_work_keeps_what_it_acknowledged(sqlite_url: str) -> None:
    acknowledged: list[int] = []
    enough = threading.Semaphore(0)
    store = backstory.open(sqlite_url)

    def write(name: int) -> None:
        try:
            for turn in range(10_000):
                acknowledged.append(store.set(f"agent:{name}", "k", turn).position)
                store.get(f"agent:{name}", "k")
                enough.release()
        except StoreClosedError:
            return
        pytest.fail("the store was never closed")

    with ThreadPoolExecutor(8) as pool:
        working = [pool.submit(write, name) for name in range(8)]
        for _ in range(200):
            enough.acquire()
        store.close()
        for one in working:
            one.result()
    with backstory.open(sqlite_url) as again:
        assert again.recovery is None
        assert set(acknowledged) <= {event.position for event in assert_whole(again)}
