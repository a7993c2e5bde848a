"""The contract: what every engine must do, as pytest classes to inherit from.

Whoever writes an engine shows that it keeps the contract by two classes in a test module of theirs:

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def new_engine(self, tmp_path):
            numbers = itertools.count()
            return lambda clock: MyEngine(tmp_path / str(next(numbers)), clock)

    class TestMyStores(StoreContract):
        durable = True  # what was written is there when the store is opened again

        @pytest.fixture
        def new_store(self, tmp_path):
            numbers = itertools.count()

            def new():
                path = tmp_path / str(next(numbers))
                return lambda clock: store_on(MyEngine(path, clock), clock)  # or open(..., **SETTLED)

            return new

They need pytest and hypothesis. `examples` and `steps` say how long the random histories are; with hypothesis's
own settings (`HYPOTHESIS_...`, profiles) failures are kept and shrunk as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from backstory.core import Core
from backstory.domain.branches import MAIN_NAME, get_branch, lineage_of
from backstory.domain.ports import Clock, Engine, Program
from backstory.infrastructure.configuration import Settings
from backstory.runners import Runner
from backstory.store import StateStore
from backstory.testing.engine_contract import EngineContract
from backstory.testing.histories import Histories, HookedHistories
from backstory.testing.pair import Open

__all__ = ["SETTLED", "EngineContract", "NewStore", "StoreContract", "run_histories", "store_on"]

NewStore = Callable[[], Open]
"""Gives, at each call, a function that opens one and the same new, empty store with a clock."""

SETTLED: Mapping[str, Any] = {"hook_flush_interval_s": 3600.0, "hook_batch_size": 1_000_000}
"""Settings by which background hooks run when they are waited for, and not before."""

_MAX_BYTES = 1024 * 1024


class StoreContract:
    """What a store must do on every engine. Inherit, and give the fixture `new_store`."""

    durable: ClassVar[bool] = True
    """Whether what was written is there when the store is opened again."""
    examples: ClassVar[int] = 50
    """How many random histories are tried."""
    hooked_examples: ClassVar[int] = 30
    """How many of them are tried with hooks."""
    steps: ClassVar[int] = 30
    """How many steps a random history has at most."""
    hooked_steps: ClassVar[int] = 12
    """The same with hooks: each step makes more events."""

    @pytest.fixture
    def new_store(self) -> NewStore:
        """Return what gives new stores."""
        raise NotImplementedError

    def test_random_histories_agree_with_the_model_at_every_position(self, new_store: NewStore) -> None:
        """Whatever is done, on any branch, in any order, the store answers as plain folds over a list do."""
        run_histories(new_store, durable=self.durable, examples=self.examples, steps=self.steps)

    def test_random_histories_with_hooks_agree_with_the_model_event_by_event(self, new_store: NewStore) -> None:
        """Whatever hooks answer, wherever they hang, state, answers and the record of their runs are as promised."""
        run_histories(
            new_store,
            durable=self.durable,
            examples=self.hooked_examples,
            steps=self.hooked_steps,
            machine=HookedHistories,
        )


def run_histories(
    new_store: NewStore, *, durable: bool, examples: int, steps: int, machine: type[Histories] = Histories
) -> None:
    """Try random histories; raise what the first one that fails, made small, fails with."""
    made: Any = lambda: machine(new_store(), durable=durable)  # noqa: E731 - any callable will do, says hypothesis
    run_state_machine_as_test(
        made,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def store_on(engine: Engine, clock: Clock) -> StateStore:
    """Return a store on an engine, without a URL."""

    def core() -> Program[Core]:
        rows = yield from engine.branches()
        row = get_branch(rows, MAIN_NAME)
        return Core(
            engine,
            row,
            lineage_of(rows, row.id),
            clock=clock,
            actor=None,
            settings=Settings(max_value_bytes=_MAX_BYTES, **SETTLED),
        )

    runner = Runner(engine)
    return StateStore(runner.run(core()), runner)
