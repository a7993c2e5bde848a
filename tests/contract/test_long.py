"""The same contract for minutes: `--long`."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

import backstory
from backstory.testing.contract import run_histories
from backstory.testing.pair import Open

pytestmark = pytest.mark.long


def test_long_histories_in_memory() -> None:
    run_histories(
        lambda: lambda clock: backstory.open("memory://", clock=clock), durable=False, examples=2000, steps=60
    )


def test_long_histories_in_sqlite(tmp_path: Path) -> None:
    numbers = count()

    def new() -> Open:
        url = f"sqlite:///{tmp_path}/{next(numbers)}.db"
        return lambda clock: backstory.open(url, clock=clock, durability="relaxed")

    run_histories(new, durable=True, examples=500, steps=60)


def test_long_histories_in_postgresql(postgres_url: str) -> None:
    numbers = count()

    def new() -> Open:
        namespace = f"store_{next(numbers)}"
        return lambda clock: backstory.open(postgres_url, clock=clock, namespace=namespace, durability="relaxed")

    run_histories(new, durable=True, examples=150, steps=60)
