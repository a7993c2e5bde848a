"""The memory engine keeps the contract."""

from __future__ import annotations

import pytest

import backstory
from backstory.infrastructure.memory.engine import MemoryEngine
from backstory.testing.blocking import open_blocking
from backstory.testing.contract import SETTLED, EngineContract, NewStore, StoreContract
from backstory.testing.engine_contract import NewEngine


class TestMemoryEngine(EngineContract):
    @pytest.fixture
    def new_engine(self) -> NewEngine:
        return MemoryEngine


class TestMemoryStores(StoreContract):
    durable = False
    examples = 150
    hooked_examples = 60

    @pytest.fixture
    def new_store(self) -> NewStore:
        return lambda: lambda clock: backstory.open("memory://", clock=clock, **SETTLED)


class TestMemoryStoresUnderAsyncio(StoreContract):
    durable = False
    examples = 10
    hooked_examples = 4

    @pytest.fixture
    def new_store(self) -> NewStore:
        return lambda: lambda clock: open_blocking("memory://", clock=clock, **SETTLED)
