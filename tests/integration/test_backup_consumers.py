"""Consumers of the log, and hooks behind writes: a new store has them where they were at the position backed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

import backstory
from backstory.committing import append
from backstory.domain.commits import Commit, Tracking
from tests.support.background import Gate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

S: Final = "agent:a"
CONSUMER: Final = "consumer"


def come_to(store: Any, position: int) -> None:
    """Have the consumer say how far it has come."""
    store._runner.run(append(Commit(tracking=Tracking(CONSUMER, position))))


def come_in(url: str) -> dict[str, int]:
    """Return how far consumers have come in a store."""
    with backstory.open(url) as store:
        found: dict[str, int] = store._runner.run(store._core.engine.trackings(""))
        return found


def once(work: Callable[[], object]) -> Callable[..., Any]:
    """Return a function that does something the first time it is called."""
    left = [work]

    def do(*_: Any) -> None:
        if left:
            left.pop()()

    return do


def test_what_a_consumer_does_while_a_backup_is_made_is_not_said_to_be_done(store_url: str, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    with backstory.open(store_url, backups=tmp_path / "backups") as store:
        for value in range(10):
            store.set(S, "k", value)
        come_to(store, 2)
        made = store.backups.create(progress=once(lambda: come_to(store, 10)))
        backstory.restore(made.path, new)
    assert come_in(new) == {CONSUMER: 2}


@pytest.mark.parametrize("times", [1, 100], ids=["once", "on and on"])
def test_a_consumer_that_goes_on_while_the_position_is_found_leaves_nothing_out(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    with backstory.open("memory://", backups=tmp_path / "backups") as store:
        store.set(S, "k", 0)
        engine = store._core.engine
        trackings, reached = engine.trackings, [1]

        def going_on(prefix: str) -> Any:
            """Return what is told; before that the log grows, and the consumer comes to what was its end."""
            if len(reached) <= times:
                come_to(store, reached[-1])
                reached.append(store.set(S, "k", 0).position)
            return (yield from trackings(prefix))

        monkeypatch.setattr(engine, "trackings", going_on)
        made = store.backups.create()
        monkeypatch.undo()
        backstory.restore(made.path, new)
    # At each position it had come to the one before, however far it has come since.
    assert come_in(new) == {CONSUMER: made.position - 1}


def test_what_hooks_were_due_for_is_done_in_a_new_store(store_url: str, tmp_path: Path) -> None:
    new, gate = f"sqlite:///{tmp_path / 'new.db'}", Gate()
    with backstory.open(store_url, backups=tmp_path / "backups") as store:
        store.hooks.register("after_state_write", gate, name="mail")
        store.set(S, "one", 1)
        store.set(S, "two", 2)

        def done() -> None:
            gate.open.set()
            store.hooks.flush()

        made = store.backups.create(progress=once(done))
        backstory.restore(made.path, new)
    seen: list[tuple[str | None, bool]] = []
    with backstory.open(new) as found:
        found.hooks.register("after_state_write", lambda run: seen.append((run.key, run.redelivered)), name="mail")
        found.set("session:s", "three", 3)
        found.hooks.flush()
    assert seen == [("one", True), ("two", True), ("three", False)]
