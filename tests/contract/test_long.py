"""The same contract for minutes: `--long`."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

import backstory
from backstory.testing.contract import SETTLED, run_histories
from backstory.testing.histories import Histories, HookedHistories
from backstory.testing.pair import Open

pytestmark = [pytest.mark.long, pytest.mark.parametrize("machine", [Histories, HookedHistories])]


def test_long_histories_in_memory(machine: type[Histories]) -> None:
    run_histories(
        lambda: lambda clock: backstory.open("memory://", clock=clock, **SETTLED),
        durable=False,
        examples=2000,
        steps=60,
        machine=machine,
    )


def test_long_histories_in_sqlite(machine: type[Histories], tmp_path: Path) -> None:
    numbers = count()

    def new() -> Open:
        url = f"sqlite:///{tmp_path}/{next(numbers)}.db"
        return lambda clock: backstory.open(url, clock=clock, durability="relaxed", **SETTLED)

    run_histories(new, durable=True, examples=500, steps=60, machine=machine)


def test_long_histories_in_postgresql(machine: type[Histories], postgres_url: str) -> None:
    numbers = count()

    def new() -> Open:
        namespace = f"store_{next(numbers)}"
        return lambda clock: backstory.open(
            postgres_url, clock=clock, namespace=namespace, durability="relaxed", **SETTLED
        )

    run_histories(new, durable=True, examples=150, steps=60, machine=machine)
