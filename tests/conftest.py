"""What every test may ask for: the URL of an empty store on each engine."""

from __future__ import annotations

import gc
import signal
from typing import TYPE_CHECKING

import pytest

from backstory.testing.postgres import PostgresServer, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENGINES = ("memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the campaigns of minutes as well")
    parser.addoption("--kills", type=int, default=200, help="how many writers a long campaign kills on each engine")


def pytest_configure() -> None:
    # Whoever started the tests may have told them to ignore interrupts, as shells do in the background; so would
    # the programs under test, which inherit it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip_long = pytest.mark.skip(reason="a long campaign: give --long")
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(skip_long)


def pytest_collection_finish() -> None:
    # The collected tests and what they import stay to the end: the collector need not go through them again and again.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL server: ours, or the one that BACKSTORY_TEST_POSTGRES names.

    Nobody cuts its power, so it waits for no disk; commits are as synchronous as the stores under test ask for.
    """
    with postgres(settings={"fsync": "off", "full_page_writes": "off"}) as server:
        yield server


@pytest.fixture
def memory_url() -> str:
    return "memory://"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=ENGINES)
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store: the test runs once on each engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
