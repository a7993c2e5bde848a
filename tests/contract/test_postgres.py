"""The PostgreSQL engine keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

import backstory
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.postgres.engine import PostgresEngine
from backstory.testing.blocking import open_blocking
from backstory.testing.contract import SETTLED, EngineContract, NewStore, StoreContract
from backstory.testing.engine_contract import NewEngine
from backstory.testing.pair import Open


@pytest.fixture
def new_namespace() -> Callable[[], str]:
    numbers = count()
    return lambda: f"store_{next(numbers)}"


class TestPostgresEngine(EngineContract):
    examples = 15

    @pytest.fixture
    def new_engine(self, postgres_url: str, new_namespace: Callable[[], str]) -> NewEngine:
        return lambda clock: PostgresEngine.open(
            postgres_url, clock, Settings(namespace=new_namespace()), create=True, read_only=False
        )


class TestPostgresStores(StoreContract):
    examples = 25
    hooked_examples = 2

    @pytest.fixture
    def new_store(self, postgres_url: str, new_namespace: Callable[[], str]) -> NewStore:
        def new() -> Open:
            namespace = new_namespace()
            return lambda clock: backstory.open(
                postgres_url, clock=clock, namespace=namespace, durability="relaxed", **SETTLED
            )

        return new


class TestPostgresStoresUnderAsyncio(StoreContract):
    examples = 5
    hooked_examples = 1

    @pytest.fixture
    def new_store(self, postgres_url: str, new_namespace: Callable[[], str]) -> NewStore:
        def new() -> Open:
            namespace = new_namespace()
            return lambda clock: open_blocking(
                postgres_url, clock=clock, namespace=namespace, durability="relaxed", **SETTLED
            )

        return new
