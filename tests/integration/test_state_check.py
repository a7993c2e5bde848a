"""The current-state projection is held against the events, however many keys there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import backstory
from backstory import StoreUnavailableError
from backstory.infrastructure.memory.engine import MemoryEngine
from backstory.infrastructure.sql import reader
from backstory.infrastructure.sqlite import folded_state
from backstory.infrastructure.sqlite.folded_state import FoldedState
from backstory.infrastructure.sqlite.overflow import made
from backstory.state_check import state_rows
from backstory.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

    from backstory import StateStore
    from backstory.domain.ports import Program, StateRow


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no more than three keys be in memory, and rows come by threes."""
    monkeypatch.setattr(FoldedState.__init__, "__kwdefaults__", {"most": 3})
    monkeypatch.setattr(reader, "_ROWS", 3)


@pytest.fixture
def store(store_url: str) -> Iterator[StateStore]:
    """A store of some branches, where keys were deleted, cleared, and swept."""
    clock = ManualClock()
    with backstory.open(store_url, clock=clock) as found:
        for number in range(30):
            found.set(f"agent:{number % 4}", f"k{number % 11}", number, ttl=5 if number % 5 == 0 else None)
        side = found.fork("side")
        side.delete("agent:1", "k1")
        side.clear("agent:2")
        side.set("agent:2", "k9", "again")
        found.delete("agent:0", "k4")
        clock.advance(60)
        assert found.sweep()
        found.append("agent:3", [backstory.Event("thing.happened", key="k0")])
        yield found


def test_what_the_events_say_is_what_the_projection_says(store: StateStore) -> None:
    assert [] == store.verify().problems
    assert [] == store.verify(since=7).problems


def test_a_projection_that_says_something_else_is_told_key_by_key(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, run = store._core.engine, store._runner.run
    real = type(engine).state_rows
    wrong = run(state_rows(engine))[4]

    def forged(self: MemoryEngine, after: tuple[int, int]) -> Program[list[StateRow]]:
        rows = yield from real(self, after)
        return [
            row._replace(position=row.position + 1) if (row.branch, row.stream, row.key) == wrong[:3] else row
            for row in rows
        ]

    monkeypatch.setattr(type(engine), "state_rows", forged)
    problems = store.verify().problems
    assert [(wrong[3], "projection"), (wrong[3] + 1, "projection")] == [problem[:2] for problem in problems]
    assert all(f"{wrong[2]} of {wrong[1]}" in problem.message for problem in problems)


def test_keys_that_have_room_nowhere_are_no_damage(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(schema: str) -> apsw.Connection:
        connection = made(schema)
        connection.execute("PRAGMA max_page_count = 2")
        return connection

    store.set_many("agent:many", {f"{number:0250}": number for number in range(60)})
    monkeypatch.setattr(folded_state, "made", tiny)
    with pytest.raises(StoreUnavailableError, match="temporary file"):
        store.verify()
