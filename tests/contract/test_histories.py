"""Every engine does what the model does: random histories, compared after each step and at every position."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

import backstory
from backstory.testing.clock import ManualClock
from backstory.testing.histories import Histories
from backstory.testing.postgres import PostgresServer


def _run(machine: Any, examples: int) -> None:
    limits = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        print_blob=True,
    )
    run_state_machine_as_test(machine, settings=limits)


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    """How many histories: few by default, many with --long."""
    return 3000 if request.config.getoption("--long") else 60


def test_the_memory_engine_equals_the_model_at_every_position(examples: int) -> None:
    def histories() -> Histories:
        return Histories(lambda clock: backstory.open("memory://", clock=clock), durable=False)

    _run(histories, 2 * examples)


def test_the_sqlite_engine_equals_the_model_at_every_position(examples: int, tmp_path: Path) -> None:
    numbers = count()

    def histories() -> Histories:
        url = f"sqlite:///{tmp_path}/{next(numbers)}.db"
        return Histories(lambda clock: backstory.open(url, clock=clock, durability="relaxed"), durable=True)

    _run(histories, examples)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


def test_the_postgresql_engine_equals_the_model_at_every_position(examples: int, database: str) -> None:
    numbers = count()

    def histories() -> Histories:
        namespace = f"history_{next(numbers)}"

        def open_store(clock: ManualClock) -> backstory.StateStore:
            return backstory.open(database, clock=clock, namespace=namespace, durability="relaxed")

        return Histories(open_store, durable=True)

    _run(histories, examples // 2)
