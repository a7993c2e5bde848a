"""Circuits: a hook that keeps failing is left alone for a while, and that is told in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backstory import Breaker, HookError
from backstory.testing.clock import ManualClock
from tests.support.hooked import FACES, opened, runs


class Flaky:
    """A hook that fails while it is told to."""

    name = "flaky"

    def __init__(self) -> None:
        self.broken = True
        self.calls = 0

    def __call__(self, _: Any) -> None:
        self.calls += 1
        if self.broken:
            raise ValueError("out of order")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str, clock: ManualClock) -> Iterator[Any]:
    with opened(request.param, store_url, clock=clock) as store:
        yield store
        assert store.verify().ok


def circuits(store: Any) -> list[str]:
    return [event.type for event in store.log(types="circuit.*")]


def writing(store: Any, count: int) -> None:
    for _ in range(count):
        store.increment("agent:a", "n")


def test_failures_within_the_window_open_the_circuit_and_a_trial_closes_it(store: Any, clock: ManualClock) -> None:
    hook = Flaky()
    store.hooks.register("before_state_write", hook, breaker=Breaker(failures=3, window_s=60, open_s=30))
    writing(store, 5)
    assert hook.calls == 3
    (opened_,) = store.log(types="circuit.opened")
    failed = runs(store)[2]
    assert (opened_.stream, opened_.causation_ids) == ("hook:flaky", (failed.event_id,))
    assert opened_.correlation_id == failed.correlation_id
    assert {"hook", "point"} <= opened_.data.keys()
    assert ["skipped", "skipped"] == [run.data["result"]["kind"] for run in runs(store)[3:]]
    assert "its circuit is open" in runs(store)[3].data["result"]["reason"]
    assert ["open"] == [info.circuit for info in store.hooks.list()]

    clock.advance(30)
    writing(store, 1)
    assert ["circuit.opened", "circuit.half_opened", "circuit.opened"] == circuits(store)
    clock.advance(30)
    hook.broken = False
    writing(store, 2)
    assert ["circuit.half_opened", "circuit.closed"] == circuits(store)[3:]
    assert hook.calls == 6
    assert store.get("agent:a", "n") == 8


def test_failures_that_lie_far_apart_open_nothing(store: Any, clock: ManualClock) -> None:
    hook = Flaky()
    store.hooks.register("before_state_write", hook, breaker=Breaker(failures=2, window_s=10))
    for _ in range(4):
        writing(store, 1)
        clock.advance(11)

    assert (4, []) == (hook.calls, circuits(store))


def test_slow_calls_open_nothing_unless_that_is_asked_for(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: None, name="slow")
    store.hooks.register(
        "before_state_write", lambda _: None, name="judged", breaker=Breaker(slow_s=0.000_001, slow_calls=2)
    )
    writing(store, 3)

    assert [("circuit.opened", "judged")] == [
        (event.type, event.data["hook"]) for event in store.log(types="circuit.*")
    ]


def test_without_a_breaker_a_hook_is_never_left_alone(store: Any) -> None:
    hook = Flaky()
    store.hooks.register("before_state_write", hook, breaker=False)
    writing(store, 20)

    assert (20, []) == (hook.calls, circuits(store))
    assert [None] == [info.circuit for info in store.hooks.list()]


def test_while_the_circuit_of_a_required_hook_is_open_its_operations_are_refused(store: Any) -> None:
    hook = Flaky()
    store.hooks.register("before_state_write", hook, required=True, breaker=Breaker(failures=2))
    for reason in ("out of order", "out of order", "its circuit is open", "its circuit is open"):
        with pytest.raises(HookError, match=reason):
            writing(store, 1)

    assert hook.calls == 2
    assert ["hook.failed"] * 4 == [run.type for run in runs(store)]
    assert store.keys("agent:a") == []


def test_a_circuit_is_its_hooks_at_its_point_alone(store: Any) -> None:
    hook = Flaky()
    for point in ("before_state_write", "before_state_delete"):
        store.hooks.register(point, hook, breaker=Breaker(failures=1))
    writing(store, 2)
    assert hook.calls == 1
    store.delete("agent:a", "n")
    assert hook.calls == 2


@pytest.mark.parametrize("background", [False, True])
def test_whatever_hooks_behind_it_do_a_committed_write_is_no_failure(store: Any, background: bool) -> None:
    def fail(_: Any) -> None:
        raise SystemExit(1)

    hooks: list[Callable[[Any], Any]] = [fail, lambda _: "nonsense", Flaky()]
    for number, hook in enumerate(hooks):
        store.hooks.register("after_state_write", hook, name=f"h{number}", background=background, breaker=False)
    for number in range(50):
        assert store.set("agent:a", f"k{number}", number).data["value"] == number
    store.hooks.flush()

    assert len(store.keys("agent:a")) == 50
    assert ["hook.failed"] * 150 == [run.type for run in runs(store)]
