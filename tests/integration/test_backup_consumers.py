"""Consumers of the log, and hooks behind writes: a new store has them where they were at the position backed up."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
from eventsourcing.projection import ProjectionRunner

import backstory
from backstory.committing import append
from backstory.domain.commits import Commit, Tracking
from tests.support.background import PATIENCE_S, Gate
from tests.support.dogs import DogSchool, TrickCounting, TrickCounts

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


def counted_in(url: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return how often each trick was learnt in a store: as a view has it that catches up there, and as events do."""
    learnt: Counter[str] = Counter()
    env = {"PERSISTENCE_MODULE": "backstory.infrastructure.sqlite", "SQLITE_DBNAME": url.removeprefix("sqlite:///")}
    with ProjectionRunner(
        application_class=DogSchool, projection_class=TrickCounting, view_class=TrickCounts, env=env
    ) as runner:
        runner.wait(runner.app.recorder.max_notification_id(), timeout=PATIENCE_S)
    with backstory.open(url) as store, DogSchool(env) as school:
        for stream in {event.stream for event in store.log() if event.stream.startswith("dog-")}:
            learnt.update(school.get_tricks(stream.removeprefix("dog-")))
        return store.items(TrickCounts.SCOPE), dict(learnt)


def test_at_any_point_a_view_has_come_as_far_as_what_it_holds(tmp_path: Path) -> None:
    env = {"PERSISTENCE_MODULE": "backstory.infrastructure.sqlite", "SQLITE_DBNAME": str(tmp_path / "store.db")}
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with DogSchool(env) as school:
        school.register_dog("fido")
        school.add_trick("fido", "roll over")
        last = school.add_trick("fido", "sit")
    with ProjectionRunner(
        application_class=DogSchool, projection_class=TrickCounting, view_class=TrickCounts, env=env
    ) as runner:
        runner.wait(last, timeout=PATIENCE_S)
        with backstory.open(url) as store:
            early = store.backups.create()
        runner.wait(runner.app.add_trick("fido", "sit"), timeout=PATIENCE_S)
    with DogSchool(env) as school:
        school.register_dog("rex")
    with backstory.open(url) as store:
        assert "state.set" in {event.type for event in store.log(since=early.position)}
        late, head = store.backups.create(), store.position()
        for position in range(1, head + 1):
            # Later than the early backup the live log carries on from it.
            for made, place in ((early, "live"), (late, "archived")):
                if position <= made.position or made is early:
                    new = f"sqlite:///{tmp_path / f'{place}-{position}.db'}"
                    store.backups.restore(made.id, as_of=position, into=new)
                    viewed, learnt = counted_in(new)
                    assert viewed == learnt, (place, position)


def test_a_consumer_that_keeps_nothing_in_the_log_is_no_farther_than_the_point(store_url: str, tmp_path: Path) -> None:
    with backstory.open(store_url, backups=tmp_path / "backups") as store:
        for value in range(4):
            store.set(S, "k", value)
        come_to(store, 4)
        made = store.backups.create()
    for position, come in ((2, 2), (4, 4)):
        new = f"sqlite:///{tmp_path / f'{position}.db'}"
        backstory.restore(made.path, new, as_of=position)
        assert come_in(new) == {CONSUMER: come}


def test_at_any_point_what_hooks_had_not_done_by_then_is_done_in_a_new_store(store_url: str, tmp_path: Path) -> None:
    gate = Gate()
    with backstory.open(store_url, backups=tmp_path / "backups") as store:
        store.hooks.register("after_state_write", gate, name="mail")
        early = store.backups.create()
        for key in ("one", "two", "three"):
            store.set(S, key, 0)
        gate.open.set()
        store.hooks.flush()
        # What is written now is done in good time: an earlier mark is of the past.
        store.set(S, "four", 0)
        store.hooks.flush()
        late = store.backups.create()
        log = [event for event in store.log() if event.position <= late.position]
        for position in range(early.position, late.position + 1):
            past = [event for event in log if event.position <= position]
            done = {event.data["operation"] for event in past if event.type == "hook.executed"}
            due = [event.key for event in past if event.type == "state.set" and str(event.event_id) not in done]
            for made in (early, late):
                new = f"sqlite:///{tmp_path / f'{made.kind}-{made.position}-{position}.db'}"
                store.backups.restore(made.id, as_of=position, into=new)
                again: list[str] = []
                with backstory.open(new) as found:
                    found.hooks.register("after_state_write", lambda run, to=again: to.append(run.key), name="mail")
                    found.hooks.fire("custom:any", None)
                    found.hooks.flush()
                assert due == again, (made.position, position)
