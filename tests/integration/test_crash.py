"""Writers are killed at random moments: what they acknowledged is there, nothing is torn, and the store says so."""

from __future__ import annotations

import os
import random
import signal
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import pytest

import backstory
from tests.support.crash_campaign import Campaign, campaign
from tests.support.processes import children, heard, told

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from backstory.testing.postgres import PostgresServer
    from tests.support.processes import Child

KILLS = 20


@pytest.fixture
def nursery() -> Iterator[Child]:
    """The process that brings forth writers to be killed."""
    with children() as started:
        yield started.start("tests.support.crash_writer")


def test_a_killed_writer_loses_nothing_that_it_acknowledged(nursery: Child, sqlite_url: str) -> None:
    figures = Campaign(nursery, seed=1).run(sqlite_url, KILLS, recovers=True)
    assert figures.recoveries > 0
    assert figures.acknowledged > 0


@pytest.mark.postgres
def test_a_killed_client_of_postgresql_loses_nothing_that_it_acknowledged(nursery: Child, postgres_url: str) -> None:
    figures = Campaign(nursery, seed=2).run(postgres_url, KILLS, recovers=False)
    assert figures.acknowledged > 0


@pytest.mark.long
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_long_campaign_of_kills_loses_nothing(
    engine: str, request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    def urls() -> Generator[str, None, None]:
        if engine == "postgres":
            server: PostgresServer = request.getfixturevalue("postgres_server")
            while True:
                with server.database() as url:
                    yield url
        for number in count():
            yield f"sqlite:///{tmp_path}/store-{number}.db"

    kills = pytestconfig.getoption("--kills")
    with closing(urls()) as stores:
        figures = campaign(stores, kills, seed=random.SystemRandom().getrandbits(32))
    assert kills == figures.kills


def test_the_campaign_notices_a_writer_that_acknowledges_before_it_commits(nursery: Child, sqlite_url: str) -> None:
    with pytest.raises(AssertionError):
        Campaign(nursery, seed=3, hasty=True).run(sqlite_url, KILLS, recovers=True)


def test_a_writer_that_died_is_told_from_those_that_live(sqlite_url: str) -> None:
    with children() as started:
        lost, left = [started.start("tests.support.answering_writer", sqlite_url) for _ in range(2)]
        for number, writer in enumerate((lost, left), 1):
            assert heard(writer) == "ready"
            told(writer, str(number))
            assert heard(writer) == str(number)
        lost.kill()
        lost.wait()
        with backstory.open(sqlite_url) as store:
            assert store.recovery is not None
            assert (1, 0, 2) == store.recovery[:3]
        told(left, "3")
        assert heard(left) == "3"
        with backstory.open(sqlite_url) as store:
            assert store.recovery is None
        left.kill()
        left.wait()
    with backstory.open(sqlite_url) as store:
        assert store.recovery is not None
        assert (1, 1, 3) == store.recovery[:3]


def test_a_dead_writer_that_nobody_has_waited_for_is_dead(sqlite_url: str) -> None:
    with children() as started:
        writer = started.start("tests.support.answering_writer", sqlite_url)
        assert heard(writer) == "ready"
        told(writer, "1")
        assert heard(writer) == "1"
        writer.kill()
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
        with backstory.open(sqlite_url) as store:
            assert store.recovery is not None
            assert store.recovery.writers == 1


def test_a_reader_learns_of_a_dead_writer_and_leaves_the_store_as_it_is(sqlite_url: str) -> None:
    with children() as started:
        writer = started.start("tests.support.answering_writer", sqlite_url)
        assert heard(writer) == "ready"
        told(writer, "1")
        assert heard(writer) == "1"
        writer.kill()
        writer.wait()
    for _ in range(2):
        with backstory.open(sqlite_url, read_only=True) as store:
            assert store.recovery is not None
            assert store.get("agent:answering", "turn") == 1
    with backstory.open(sqlite_url) as store:
        assert store.recovery is not None


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_writer_ended_by_a_signal_in_its_with_block_loses_nothing(sqlite_url: str, how: signal.Signals) -> None:
    with children() as started:
        writer = started.start("tests.support.answering_writer", sqlite_url)
        assert heard(writer) == "ready"
        told(writer, "1")
        assert heard(writer) == "1"
        writer.send_signal(how)
        writer.wait()
    with backstory.open(sqlite_url) as store:
        assert (store.recovery is None) is (
            how == signal.SIGINT
        )  # Python turns the one into an exception, not the other
        assert store.get("agent:answering", "turn") == 1
