"""Writers are killed between a commit and its hooks: who opens the store next runs what is due, and nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

import backstory
from backstory import Event, StoreUnavailableError
from backstory.domain.hooks import HookResult
from backstory.infrastructure.sql.statements import Ask
from tests.support.background import HOME, PATIENCE_S, WRITES, Gate, after_of, marks_of
from tests.support.hooked_writer import HOOKS, Order
from tests.support.hooked_writer import TRIAL as TRIAL_BRANCH
from tests.support.on_a_loop import FACES, opened
from tests.support.processes import Lines, children, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.processes import Child

KILLS: Final = 30
DISK: Final = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))
VERBS: Final = {"state.set": "write", "state.deleted": "delete", "scope.cleared": "clear"}
Debt = tuple[bytes, str, str]


@pytest.fixture(params=DISK)
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store that outlives its process."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@dataclass
class Nursery:
    """Forks writers, and kills them."""

    child: Child
    lines: Lines
    url: str = ""

    def start(self, order: Order) -> int:
        """Start a writer and return its process."""
        self.url = order.url
        told(self.child, json.dumps(asdict(order)))
        line = self.lines.next()
        assert line is not None
        return int(line.removeprefix("started "))

    def await_lines(self, wanted: set[str]) -> None:
        """Wait until the writer has said all of these."""
        while wanted:
            wanted -= {self.lines.next()}

    def kill(self, pid: int) -> None:
        """Kill a writer and wait for its end; where a server keeps its session, until that has noticed."""
        os.kill(pid, signal.SIGKILL)
        self.reap()
        deadline = time.monotonic() + PATIENCE_S
        while self.url.startswith("postgresql:") and held_by(self.url, pid):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def reap(self) -> None:
        """Wait for the writer's end."""
        told(self.child, "reap")
        while not (self.lines.next() or "").startswith("ended "):
            pass

    def let_work(self, lots: random.Random) -> None:
        """Hear a random number of acknowledgements, then what comes within a random moment."""
        acks = lots.choice((0, 1, 3, lots.randrange(40)))
        while acks:
            line = self.lines.next()
            if line == "closed":
                return
            acks -= (line or "").startswith("ack ")
        until = time.monotonic() + lots.uniform(0, 0.02)
        while (left := until - time.monotonic()) > 0 and self.lines.next(left) is not None:
            pass


def held_by(url: str, pid: int) -> bool:
    """Return whether the server still takes a process for a living writer."""
    try:
        with backstory.open(url, create=False, read_only=True) as store:
            engine: Any = store._core.engine

            def living() -> Any:
                rows = yield Ask(engine._q["writers"], {})
                return {row[0] for row in rows if row[1] == pid} & (yield from engine.living_writers())

            return bool(store._runner.run(living()))
    except StoreUnavailableError:
        return False  # it was killed before there was a store


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    with children() as started:
        child = started.start("tests.support.hooked_writer")
        yield Nursery(child, Lines(child))


def events_of(store: Any) -> list[Any]:
    """Return the events of all branches, in the order of the log."""
    found = list(store.log())
    for branch in store.branches():
        if branch.parent is not None:
            other = store.branch(branch.name)
            found += [event for event in other.log(since=branch.position) if event.branch_id != 0]
    return sorted(found, key=lambda event: event.position)


def owed_in(events: list[Any]) -> dict[Debt, int]:
    """Return what writes say that they are due for, with their positions; each by its own words."""
    return {
        (event.event_id.bytes, name, f"after_state_{VERBS[event.type]}"): event.position
        for event in events
        if event.type in VERBS
        for name in (event._extra("due") or [None])[1:]
    }


def done_in(events: list[Any]) -> list[tuple[Debt, Any]]:
    """Return the recorded runs behind writes, by what they were due for."""
    return [
        ((bytes.fromhex(event.data["operation"].replace("-", "")), event.data["hook"], event.data["point"]), event)
        for event in events
        if event.type in {"hook.executed", "hook.failed"} and event.data["point"].startswith("after")
    ]


def recover(face: str, url: str) -> int:
    """Open a store after a kill, hold what runs again to the log, and return how much did."""
    with backstory.open(url) as store:
        # The server may still be at the last commit: who writes next has waited for it.
        store.append("custom:afterwards", Event("writer.killed"))
        events = events_of(store)
        owed, done = owed_in(events), [debt for debt, _ in done_in(events)]
        assert len(set(done)) == len(done), "something was recorded twice"
        assert all(each.type not in VERBS or each._extra("due") for each in events if each.stream == "agent:hooked")
        left = {debt: position for debt, position in owed.items() if debt not in set(done)}
        assert len(left) == store.hooks.pending()
    seen: dict[tuple[str, str], list[tuple[bytes, bool]]] = {}

    def noting(name: str) -> Any:
        return lambda run: seen.setdefault((name, run.point), []).append((run.operation_id.bytes, run.redelivered))

    with opened(face, url) as store:
        for point, name in HOOKS:
            store.hooks.register(point, noting(name), name=name)
        store.hooks.flush(PATIENCE_S)
        assert store.hooks.pending() == 0
        after = done_in(events_of(store))
    for point, name in HOOKS:
        wanted = [debt[0] for debt in left if debt[1:] == (name, point)]
        assert [(event_id, True) for event_id in wanted] == seen.get((name, point), [])
    assert sorted(owed) == sorted(debt for debt, _ in after)
    assert {debt for debt, event in after[len(done) :] if event.data.get("redelivered")} == set(left)
    return len(left)


def campaign(nursery: Nursery, url: str, kills: int, *, seed: int) -> int:
    """Kill writers at random moments, recovering after each; return how many runs were made up for."""
    lots = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
    made_up = 0
    for number in range(kills):
        order = Order(
            url,
            lots.getrandbits(32),
            lots.choice((5, 10**9, 10**9)),
            batch=lots.choice((1, 5, 50)),
            interval_s=lots.choice((0.0001, 0.003, 0.05)),
            workers=lots.choice((1, 3)),
        )
        pid = nursery.start(order)
        nursery.let_work(lots)
        nursery.kill(pid)
        made_up += recover(FACES[number % 2], url)
    return made_up


def test_what_a_killed_writer_left_due_runs_again_once_and_in_order(nursery: Nursery, url: str) -> None:
    assert campaign(nursery, url, KILLS, seed=5) > KILLS
    with backstory.open(url) as store:
        store.hooks.register(WRITES, lambda _: None, name="first")
        assert len(marks_of(store)) == 1, "a dead writer that left nothing is not forgotten"


@pytest.mark.long
def test_a_long_campaign_of_kills_loses_no_run(nursery: Nursery, url: str, pytestconfig: pytest.Config) -> None:
    assert campaign(nursery, url, pytestconfig.getoption("--kills"), seed=random.SystemRandom().getrandbits(32)) > 0


# One at a time


def stuck(nursery: Nursery, url: str, writes: int = 1) -> int:
    """Return a writer whose hooks do not come to an end."""
    pid = nursery.start(Order(url, 1, writes, sticks=True))
    nursery.await_lines({"stuck", "written"})
    return pid


def test_what_a_living_writer_is_at_is_left_to_it(nursery: Nursery, url: str) -> None:
    pid = stuck(nursery, url)
    ran: list[Any] = []
    with backstory.open(url) as store:
        for point, name in HOOKS[:4]:
            store.hooks.register(point, lambda run: ran.append(run.key), name=name)
        store.hooks.flush(PATIENCE_S)
        assert store.hooks.pending() == 0
        assert ran == []
        # Nor is its mark forgotten, nor that of this one.
        assert len(marks_of(store)) == 2
    nursery.kill(pid)
    assert recover("blocking", url) > 0


def test_what_a_process_left_is_taken_up_by_one_that_was_open_all_the_while(nursery: Nursery, url: str) -> None:
    ran: list[Any] = []
    with backstory.open(url) as store:
        store.hooks.register(WRITES, lambda _: None, name="own")
        pid = stuck(nursery, url)
        assert store.hooks.pending() == 0
        nursery.kill(pid)
        left = store.hooks.pending()
        assert left > 0
        for point, name in HOOKS[:4]:
            store.hooks.register(point, lambda run: ran.append(run.redelivered), name=name)
        store.hooks.flush(PATIENCE_S)
        assert [True] * left == ran


def test_each_process_that_dies_is_looked_behind(nursery: Nursery, url: str) -> None:
    with backstory.open(url) as store:
        left = []
        for _ in range(2):
            nursery.kill(stuck(nursery, url))
            left.append(store.hooks.pending())
        owed = owed_in(events_of(store))
    assert 0 < left[0] < left[1]
    assert left[1] == len(owed)


def test_what_is_made_up_for_is_counted_and_handed_over_once(nursery: Nursery, url: str) -> None:
    nursery.kill(stuck(nursery, url))
    gate = Gate()
    ran: list[Any] = []
    with backstory.open(url) as store:
        left = store.hooks.pending()
        store.hooks.register(WRITES, gate, name="first")
        assert gate.reached.wait(PATIENCE_S)
        assert left == store.hooks.pending()
        store.hooks.unregister("first")
        store.hooks.register(WRITES, lambda run: ran.append(run.key), name="first")
        gate.open.set()
        store.hooks.flush(PATIENCE_S)
        assert ran == []


@pytest.mark.parametrize("face", FACES)
def test_a_name_that_nobody_registers_stays_due(nursery: Nursery, face: str, url: str) -> None:
    nursery.kill(stuck(nursery, url))
    with backstory.open(url) as store:
        events = events_of(store)
        owed = owed_in(events)
    second = [debt for debt in owed if debt[1] == "second"]
    assert second
    for _ in range(2):
        with opened(face, url) as store:
            for point, name in HOOKS[:4]:
                if name == "first":
                    store.hooks.register(point, lambda _: None, name=name)
            store.hooks.flush(PATIENCE_S)
            assert len(second) == store.hooks.pending()
    with backstory.open(url, read_only=True) as store:
        assert len(second) == store.hooks.pending()
    assert len(second) == recover(face, url)


def test_what_another_process_has_made_up_for_meanwhile_is_not_run_again(nursery: Nursery, url: str) -> None:
    nursery.kill(stuck(nursery, url))
    ran: list[Any] = []
    with backstory.open(url) as early:
        early.hooks.register(WRITES, lambda _: None, name="other")
        assert early.hooks.pending() > 0
        assert recover("blocking", url) > 0
        for point, name in HOOKS[:4]:
            early.hooks.register(point, lambda run: ran.append(run.key), name=name)
        early.hooks.flush(PATIENCE_S)
        assert ran == []
        assert early.hooks.pending() == 0


def test_nothing_is_due_any_more_on_a_branch_that_has_ended(nursery: Nursery, url: str) -> None:
    nursery.kill(stuck(nursery, url, writes=20))
    with backstory.open(url) as store:
        on_main = sum(1 for debt in owed_in([event for event in events_of(store) if event.branch_id == 0]))
        assert 0 < on_main < store.hooks.pending()
        store.drop_branch(TRIAL_BRANCH)
        assert on_main == store.hooks.pending()
    with backstory.open(url) as store:
        assert on_main == store.hooks.pending()
        for point, name in HOOKS[:4]:
            store.hooks.register(point, lambda _: None, name=name)
        store.hooks.flush(PATIENCE_S)
        assert store.hooks.pending() == 0


@pytest.mark.parametrize("face", FACES)
def test_a_hook_that_waits_to_be_asked_again_does_not_hold_up_a_closing_store_and_is_asked_at_the_next_opening(
    face: str, url: str
) -> None:
    asked = Gate()
    asked.open.set()

    def later(run: Any) -> HookResult:
        asked(run)
        return HookResult.retry(3600, 2)

    with opened(face, url) as store:
        store.hooks.register(WRITES, later, name="later")
        store.set(HOME, "k", 1)
        assert asked.reached.wait(PATIENCE_S)
    again: list[Any] = []
    with opened(face, url) as store:
        assert ["retry"] == [run.result.kind for run in store.hooks.history(name="later")]
        assert store.hooks.pending() == 1
        store.hooks.register(WRITES, lambda run: again.append((run.key, run.redelivered)), name="later")
        store.hooks.flush(PATIENCE_S)
        assert again == [("k", True)]
    with opened(face, url) as store:
        assert store.hooks.pending() == 0


@pytest.mark.parametrize("face", FACES)
def test_a_commit_that_nobody_could_ask_about_is_looked_for_at_the_next_opening(face: str, url: str) -> None:
    with opened(face, url) as store:
        store.hooks.register(WRITES, lambda _: None, name="note")
        store.set(HOME, "k", 1)
        store.hooks.flush(PATIENCE_S)
        after_of(store).clear_up = _nothing
        with pytest.raises(KeyboardInterrupt), after_of(store).outstanding.underway():
            raise KeyboardInterrupt
        store.set(HOME, "m", 1)
        store.hooks.flush(PATIENCE_S)
    with opened(face, url) as store:
        assert len(marks_of(store)) == 1
        store.hooks.register(WRITES, lambda _: None, name="note")
        store.set(HOME, "n", 1)
        store.hooks.flush(PATIENCE_S)
        assert [False] * 3 == [run.event.data.get("redelivered", False) for run in store.hooks.history()]
    with opened(face, url) as store:
        assert {} == marks_of(store)


def _nothing() -> Iterator[None]:
    yield from ()
