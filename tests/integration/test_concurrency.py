"""Many writers at once: threads, tasks and processes write one log, and it is what each of them was told."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

import backstory
from backstory import Event
from tests.support.follower import LAST
from tests.support.mixed_checks import assert_as_told
from tests.support.mixed_work import Ledger, Worker, loaded, work_in_threads
from tests.support.processes import children, heard, last_words, told

if TYPE_CHECKING:
    from pathlib import Path

PROCESSES = 8
THREADS = 4
ROUNDS = 60


def work_in_processes(url: str, output: Path, *, rounds: int) -> Ledger:
    """Let processes work on one store at once, while another follows the log; return what they were told."""
    ledger = Ledger()
    with children() as started:
        follower = started.start("tests.support.follower", url)
        assert heard(follower) == "following"
        workers = [
            started.start("tests.support.mixed_work", url, f"p{number}", THREADS, rounds) for number in range(PROCESSES)
        ]
        for worker in workers:
            assert heard(worker) == "ready"
        for worker in workers:
            told(worker, "go")
        for worker in workers:
            ledger.add(loaded(last_words(worker)))
        with backstory.open(url) as store:
            store.append("custom:end", Event(LAST))
        output.write_text(last_words(follower))
    return ledger


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shared_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store that several processes can open."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def test_processes_write_one_log_as_each_was_told_and_a_follower_sees_it_once_in_order(
    shared_url: str, tmp_path: Path
) -> None:
    followed = tmp_path / "followed"
    ledger = work_in_processes(shared_url, followed, rounds=ROUNDS)
    assert ledger.refused, "no write met another: the work is too tame"
    with backstory.open(shared_url) as store:
        assert store.recovery is None
        log = assert_as_told(store, ledger)
    assert [f"{event.position} {event.event_id.hex}" for event in log] == followed.read_text().splitlines()


def test_threads_write_one_log_as_each_was_told(store_url: str) -> None:
    with backstory.open(store_url) as store:
        ledger = work_in_threads(store, "alone", threads=PROCESSES * THREADS, rounds=ROUNDS)
        assert_as_told(store, ledger)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_database_with_another_default_isolation_changes_nothing(postgres_url: str, isolation: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = {}").format(name, sql.Literal(isolation))
        )
    with backstory.open(postgres_url) as one, backstory.open(postgres_url) as other, ThreadPoolExecutor(2) as pool:
        work = [
            pool.submit(work_in_threads, store, name, threads=THREADS, rounds=ROUNDS)
            for name, store in (("one", one), ("other", other))
        ]
        ledger = work[0].result()
        ledger.add(work[1].result())
        assert_as_told(one, ledger)


async def test_tasks_write_one_log_as_each_was_told(store_url: str) -> None:
    ledger = Ledger()
    async with backstory.open_async(store_url) as store:
        workers = [Worker(store, f"task.{number}") for number in range(PROCESSES * THREADS)]
        for done in await asyncio.gather(*(worker.work(ROUNDS) for worker in workers)):
            ledger.add(done)
        if store_url == "memory://":
            return  # what the blocking face would see ends with this store
    with backstory.open(store_url) as again:
        assert_as_told(again, ledger)
