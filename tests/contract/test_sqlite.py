"""The SQLite engine keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

import backstory
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.sqlite.engine import SqliteEngine
from backstory.testing.blocking import open_blocking
from backstory.testing.clock import ManualClock
from backstory.testing.contract import SETTLED, EngineContract, NewStore, StoreContract
from backstory.testing.engine_contract import NewEngine
from backstory.testing.pair import Open

# What is on disk after a power cut is not the question here.
RELAXED = Settings(durability="relaxed")


class TestSqliteEngine(EngineContract):
    @pytest.fixture
    def new_engine(self, tmp_path: Path) -> NewEngine:
        numbers = count()
        return lambda clock: SqliteEngine(
            str(tmp_path / f"{next(numbers)}.db"), clock, RELAXED, create=True, read_only=False
        )


@pytest.fixture
def new_url(tmp_path: Path) -> Callable[[], str]:
    numbers = count()
    return lambda: f"sqlite:///{tmp_path}/{next(numbers)}.db"


class TestSqliteStores(StoreContract):
    examples = 50
    hooked_examples = 8

    @pytest.fixture
    def new_store(self, new_url: Callable[[], str]) -> NewStore:
        def new() -> Open:
            url = new_url()
            return lambda clock: backstory.open(url, clock=clock, durability="relaxed", **SETTLED)

        return new


class TestSqliteStoresUnderAsyncio(StoreContract):
    examples = 8
    hooked_examples = 2

    @pytest.fixture
    def new_store(self, new_url: Callable[[], str]) -> NewStore:
        def new() -> Open:
            url = new_url()
            return lambda clock: open_blocking(url, clock=clock, durability="relaxed", **SETTLED)

        return new


def test_the_clock_moves_by_hand_and_a_log_does_not_go_back_with_it(sqlite_url: str) -> None:
    clock = ManualClock()
    with backstory.open(sqlite_url, clock=clock) as store:
        first = store.set("global", "k", 1)
        assert clock.now() == first.recorded_at
        clock.set_back(60)
        assert store.set("global", "k", 2).recorded_at == first.recorded_at
        clock.advance(61)
        assert store.set("global", "k", 3).recorded_at == clock.now() > first.recorded_at
