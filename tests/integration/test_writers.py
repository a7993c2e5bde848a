"""Which writers of a store live: other processes, killed ones, and those on other machines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import backstory
from tests.support.processes import children, heard, last_words, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import StateStore
    from tests.support.processes import Child

LOOKS = 10_000
"""How often to look for what another process or the server does in its own time, a fraction of a millisecond each."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shared_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(shared_url: str) -> Iterator[StateStore]:
    """A store that writes nothing, and so is no writer."""
    with backstory.open(shared_url) as store:
        yield store


@pytest.fixture
def writer(shared_url: str, store: StateStore) -> Iterator[Child]:
    """Another process that has written to the store."""
    assert living(store) == set()
    with children() as started:
        writer = started.start("tests.support.answering_writer", shared_url)
        assert heard(writer) == "ready"
        write(writer, 1)
        yield writer


def write(writer: Child, number: int) -> None:
    told(writer, str(number))
    assert str(number) == heard(writer)


def living(store: StateStore) -> set[str]:
    runner = store._runner
    return runner.run(runner.engine.living_writers())


def administer(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, options="-c search_path=backstory") as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def elsewhere(url: str) -> None:
    """Let the writers be processes of another machine."""
    administer(url, "UPDATE writers SET boot = 'another machine'")


def cut_off(url: str) -> None:
    """End everybody else's session."""
    administer(
        url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def test_a_writer_of_another_process_lives_until_it_closes(store: StateStore, writer: Child) -> None:
    (other,) = living(store)
    store.set("global", "k", 1)
    assert {other, store._runner.engine.writer_id} == living(store)

    last_words(writer)

    assert {store._runner.engine.writer_id} == living(store)


def test_a_writer_that_was_killed_does_not_live(store: StateStore, writer: Child) -> None:
    assert len(living(store)) == 1
    writer.kill()
    writer.wait()
    # PostgreSQL learns of it when it next looks at the connection.
    assert any(living(store) == set() for _ in range(LOOKS))


@pytest.mark.postgres
@pytest.mark.parametrize("shared_url", ["postgres"], indirect=True)
def test_a_writer_of_this_machine_lives_on_while_it_is_cut_off(
    store: StateStore, writer: Child, shared_url: str
) -> None:
    before = living(store)
    cut_off(shared_url)
    assert len(before) == 1
    assert before == living(store)
    write(writer, 2)
    assert before == living(store)


@pytest.mark.postgres
@pytest.mark.parametrize("shared_url", ["postgres"], indirect=True)
def test_a_writer_of_another_machine_lives_as_long_as_its_session(
    store: StateStore, writer: Child, shared_url: str
) -> None:
    before = living(store)
    elsewhere(shared_url)
    assert len(before) == 1
    assert before == living(store)

    cut_off(shared_url)
    assert living(store) == set()

    backstory.open(shared_url).close()
    assert [] == administer(shared_url, "SELECT id FROM writers")
    write(writer, 2)
    assert before == living(store)


@pytest.mark.postgres
async def test_an_asynchronous_writer_lives_from_its_first_commit_to_its_close(postgres_url: str) -> None:
    def look() -> set[str]:
        with backstory.open(postgres_url) as other:
            return living(other)

    async with backstory.open_async(postgres_url) as store:
        runner: Any = store._runner
        assert await asyncio.to_thread(look) == set()
        await store.set("global", "k", 1)
        elsewhere(postgres_url)
        assert {runner.engine.writer_id} == await asyncio.to_thread(look)
        assert {runner.engine.writer_id} == await runner.run(runner.engine.living_writers())
        cut_off(postgres_url)
        assert await asyncio.to_thread(look) == set()
        await store.set("global", "k", 2)
        assert {runner.engine.writer_id} == await asyncio.to_thread(look)
    assert await asyncio.to_thread(look) == set()
