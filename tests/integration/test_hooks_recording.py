"""Recording: every run of a hook is an event, in its place, with what it took and gave, and without secrets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

import backstory
from backstory import ConflictError, HookCancelledError, HookError, NotFoundError
from backstory.domain.hooks import HookResult
from backstory.testing.clock import ManualClock
from tests.support.hooked import FACES, opened, runs

CARD = "4111 1111 1111 1111"
SECRETS = {"password": "hunter2", "card": CARD}
NOBODY = UUID(int=7)


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as store:
        yield store
        assert store.verify().ok


def fetch(city: str, *, days: int = 1) -> dict[str, Any]:
    """Answer as a service would."""
    return {"city": city, "days": days}


async def fetch_later(city: str) -> str:
    await asyncio.sleep(0)
    return city.upper()


def refuse(city: str) -> str:
    raise LookupError(city)


def of_state(store: Any, since: int = 0) -> list[Any]:
    return list(store.log(since=since, types=["state.*", "scope.cleared"]))


def test_the_runs_before_a_write_lie_in_front_of_it_in_its_commit(store: Any) -> None:
    store.hooks.register("before_state_write", lambda c: HookResult.modified([c.after]), name="wraps", priority=2)
    store.hooks.register("before_state_write", lambda _: None, name="looks", priority=1, tags=["t"])
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after), name="same", priority=3)
    first = store.append("agent:a", backstory.Event("asked.for"))[0]

    event = store.set("agent:a", "k", 1, cause=first, actor="ann", tags=["x"], metadata={"why": "test"}, ttl=60)
    looks, wraps, same, written = store.log(since=first.position)
    assert written == event
    assert ["hook:looks", "hook:wraps", "hook:same"] == [run.stream for run in (looks, wraps, same)]
    assert {event.recorded_at} == {run.recorded_at for run in (looks, wraps, same)}
    assert {event.correlation_id} == {run.correlation_id for run in (looks, wraps, same)} == {first.correlation_id}
    assert {(first.event_id,)} == {run.causation_ids for run in (looks, wraps, same)}
    assert event.causation_ids == (first.event_id, wraps.event_id)
    assert {"ann"} == {run.actor for run in (looks, wraps, same)}
    assert {str(event.event_id)} == {run.data["operation"] for run in (looks, wraps, same)}
    assert event.data["value"] == [1]
    assert looks.data == {
        "hook": "looks",
        "point": "before_state_write",
        "priority": 1,
        "operation": str(event.event_id),
        "input": {
            "operation": "set",
            "scope": "agent:a",
            "key": "k",
            "after": 1,
            "metadata": {"why": "test"},
            "tags": ["x"],
        },
        "result": {"kind": "continue"},
        "duration_us": looks.data["duration_us"],
        "error": None,
        "steps": [],
    }
    assert wraps.data["result"] == {"kind": "modified", "value": [1]}
    assert same.data["input"]["after"] == [1]


def test_a_write_without_a_cause_shares_its_own_correlation_with_its_hooks(store: Any) -> None:
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after), name="same")
    plain = store.set("agent:a", "k", 1)
    store.hooks.register("before_state_write", lambda c: HookResult.modified(-c.after), name="turns")
    turned = store.set("agent:a", "k", 1)
    named = store.set("agent:a", "k", 1, correlation_id="run-7")

    for event in (plain, turned, named):
        found = [run for run in runs(store) if run.data["operation"] == str(event.event_id)]
        assert {event.correlation_id} == {run.correlation_id for run in found}
    assert plain.correlation_id == str(plain.event_id)
    assert turned.correlation_id == str(turned.event_id)
    assert named.correlation_id == "run-7"
    assert plain.causation_ids == ()
    assert [event.event_id for event in runs(store, name="turns")] == [*turned.causation_ids, *named.causation_ids]


def test_after_a_write_the_run_is_caused_by_it(store: Any) -> None:
    for background in (True, False):
        store.hooks.register("after_state_write", lambda _: None, name=f"h{background}", background=background)
    event = store.set("agent:a", "k", 1, correlation_id="c", actor="ann")
    store.hooks.flush()

    found = runs(store)
    assert len(found) == 2
    for run in found:
        assert (run.causation_ids, run.correlation_id, run.actor) == ((event.event_id,), "c", "ann")
        assert run.data["operation"] == str(event.event_id)
        assert run.position > event.position


def test_a_cancelled_operation_leaves_its_runs(store: Any) -> None:
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after + 1), name="adds")
    store.hooks.register("before_state_write", lambda _: HookResult.cancel("no"), name="stops", priority=1)
    since = store.set("agent:b", "cause", 1).position if False else store.position()

    with pytest.raises(HookCancelledError):
        store.set("agent:a", "k", 1)
    adds, stops = runs(store, since=since)
    assert adds.data["operation"] == stops.data["operation"]
    assert adds.correlation_id == stops.correlation_id == adds.data["operation"]
    assert stops.data["input"]["after"] == 2
    assert of_state(store) == []


def test_a_cancelled_operation_leaves_its_runs_also_when_its_transaction_is_given_up(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: HookResult.cancel("no"), name="stops", key="k")
    store.hooks.register("before_state_write", lambda _: None, name="looks", priority=-1)
    asked = store.append("agent:a", backstory.Event("asked.for"))[0]

    def give_up() -> None:
        with store.transaction() as tx:
            inside = tx.set("agent:a", "l", 1, cause=asked)
            tx.set("agent:a", "k", 1, cause=[asked, inside])

    with pytest.raises(HookCancelledError):
        give_up()
    looks, stops = runs(store)
    assert {"k"} == {run.data["input"]["key"] for run in (looks, stops)}
    assert {(asked.event_id,)} == {run.causation_ids for run in (looks, stops)}
    assert {asked.correlation_id} == {run.correlation_id for run in (looks, stops)}
    assert of_state(store) == []


def test_a_cancelled_operation_leaves_a_transaction_that_goes_on(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: HookResult.cancel("no"), name="stops", key="k")
    with store.transaction() as tx:
        inside = tx.set("agent:a", "l", 1)
        with pytest.raises(HookCancelledError):
            tx.set("agent:a", "k", 1, cause=inside)
        tx.set("agent:a", "m", 1, cause=inside)

    (run,) = runs(store)
    assert run.causation_ids == ()
    assert ["l", "m"] == store.keys("agent:a")
    assert run.position < inside.position


def test_what_hooks_did_for_a_write_that_is_refused_after_them_is_recorded(store: Any) -> None:
    answers: list[Any] = []

    def meddle(context: Any) -> HookResult:
        answers.append(context.after)
        return HookResult.retry(0, 9) if len(answers) == 1 else HookResult.fork([("set", "agent:b", "n", "text")])

    store.hooks.register("before_state_write", meddle, name="meddles", scope="agent:a")
    store.hooks.register("before_state_write", lambda _: HookResult.cancel("no"), name="stops", scope="agent:b")
    with pytest.raises(HookCancelledError):
        store.set("agent:a", "k", 1)

    assert ["retry", "fork", "cancel"] == [run.data["result"]["kind"] for run in runs(store)]
    with pytest.raises(ConflictError):
        store.set("agent:a", "k", 1, expected_version=5)
    with pytest.raises(NotFoundError):
        store.set("agent:a", "k", 1, cause=NOBODY)
    with pytest.raises(NotFoundError):
        store.hooks.fire("custom:x", 1, cause=NOBODY)
    assert len(answers) == 2, "what is wrong with an operation is found before its hooks run"


def test_failed_runs_are_recorded_and_do_not_change_the_write(store: Any) -> None:
    def fail(context: Any) -> None:
        context.uuid()
        raise ValueError("out of order")

    store.hooks.register("before_state_write", fail, name="fails")
    event = store.set("agent:a", "k", 1)
    (run,) = runs(store)
    assert (run.type, run.data["result"], run.data["error"]) == ("hook.failed", None, "ValueError: out of order")
    assert ["uuid"] == [step["kind"] for step in run.data["steps"]]
    assert event.causation_ids == ()

    store.hooks.unregister("fails")
    store.hooks.register("before_state_write", fail, name="fails", required=True)
    since = store.position()
    with pytest.raises(HookError, match="out of order") as caught:
        store.set("agent:a", "k", 2)
    assert (caught.value.hook, caught.value.point) == ("fails", "before_state_write")
    assert ["hook.failed"] == [
        each.type for each in store.log(since=since, types=["hook.executed", "hook.failed", "state.*"])
    ]
    assert store.get("agent:a", "k") == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_hook_takes_is_recorded_in_order(store: Any, asynchronous: bool) -> None:
    store.set("user:u", "name", "Ann")
    taken: list[Any] = []

    def take(context: Any) -> None:
        taken.extend([context.now(), context.random(), context.uuid(), context.call(fetch, "Bonn", days=3)])
        taken.extend([context.call(fetch_later, "Bonn"), context.read("user:u", "name")])
        taken.append(context.read("user:u", "absent", "default"))
        with contextlib.suppress(LookupError):
            context.call(refuse, "Bonn")

    async def take_later(context: Any) -> None:
        taken.extend([context.now(), context.random(), context.uuid(), context.call(fetch, "Bonn", days=3)])
        taken.extend([await context.call(fetch_later, "Bonn"), await context.read("user:u", "name")])
        taken.append(await context.read("user:u", "absent", "default"))
        with contextlib.suppress(LookupError):
            context.call(refuse, "Bonn")

    store.hooks.register("before_state_write", take_later if asynchronous else take, name="takes")
    position = store.position()
    store.set("agent:a", "k", 1)
    (run,) = runs(store)
    here = __name__
    awaited = {"awaitable": True} if asynchronous else {}
    now, random, fresh, *_ = taken
    assert taken[3:] == [{"city": "Bonn", "days": 3}, "BONN", "Ann", "default"]
    assert (type(now), type(random), type(fresh)) == (datetime, float, UUID)
    assert run.data["steps"] == [
        {"kind": "now", "value": now},
        {"kind": "random", "value": random},
        {"kind": "uuid", "value": fresh},
        {"kind": "call", "fn": f"{here}.fetch", "args": ["Bonn"], "named": {"days": 3}, "value": taken[3]},
        {"kind": "call", "fn": f"{here}.fetch_later", "args": ["Bonn"], "value": "BONN", **awaited},
        {"kind": "read", "scope": "user:u", "key": "name", "position": position - (position > 1), "value": "Ann"},
        {"kind": "read", "scope": "user:u", "key": "absent"},
        {"kind": "call", "fn": f"{here}.refuse", "args": ["Bonn"], "error": "LookupError: Bonn"},
    ]
    assert run.type == "hook.executed"


def test_a_hook_reads_what_the_operation_sees(store: Any) -> None:
    found: list[Any] = []
    store.set("agent:a", "k", 1)
    store.hooks.register("before_state_write", lambda c: found.append(c.read("agent:a", "k")), name="reads")
    with store.transaction() as tx:
        tx.set("agent:a", "k", 2)
        tx.set("agent:a", "l", 2)

    assert [1, 2] == found


def test_no_secret_enters_the_record(store: Any) -> None:
    def ask(context: Any) -> HookResult | None:
        if context.key == "note":
            context.call(lambda **named: named, **SECRETS)
            context.read("agent:a", "login/password")
            return HookResult.fork([("set", "agent:b", "api_key", "hunter2"), ("set", "agent:b", "n", CARD)])
        if context.key == "text":
            raise ValueError(f"cannot pay with {CARD}")
        if context.key == "pin":
            return HookResult.cancel(f"{CARD} is no pin")
        return HookResult.modified("hunter3") if context.key == "login/password" else None

    store.hooks.register("before_state_write", ask, name="asks")
    store.set("agent:a", "login/password", "hunter2")
    store.set("agent:a", "login/password", "hunter2")
    store.set("agent:a", "settings", {"password": "hunter2", "max_tokens": 5}, metadata={"api_key": "hunter2"})
    store.set("agent:a", "note", CARD, tags=[CARD])
    store.set("agent:a", "text", "plain")
    with pytest.raises(HookCancelledError):
        store.set("agent:a", "pin", 1)

    assert store.get("agent:a", "login/password") == "hunter3"
    assert store.get("agent:b", "api_key") == "hunter2"
    recorded = runs(store)
    assert len(recorded) == 6
    for run in recorded:
        for secret in ("hunter", "4111"):
            assert secret not in repr(run.data), run.data
    assert recorded[2].data["input"]["after"] == {"password": "[redacted:password]", "max_tokens": 5}


def test_a_value_at_the_limits_is_recorded_whole(store: Any) -> None:
    deep: Any = 1
    for _ in range(199):
        deep = [deep]
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after), name="same")
    for value in ("x" * 1_048_000, deep, list(range(50_000)), 10**60, b"\0" * 100):
        store.set("agent:a", "k", value)
        event = store.set("agent:a", "k", value)

        assert event.data["value"] == value
        run = runs(store)[-1]
        assert run.data["input"]["before"] == run.data["input"]["after"] == run.data["result"]["value"] == value
        assert (run.type, run.data["error"]) == ("hook.executed", None)


def test_durations_are_those_of_the_run_in_microseconds(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: None, name="quick")
    for _ in range(3):
        store.set("agent:a", "k", 1)

    assert all(
        0 <= run.data["duration_us"] < 60_000_000 and type(run.data["duration_us"]) is int for run in runs(store)
    )


def test_a_read_is_recorded_with_what_it_found(store: Any) -> None:
    event = store.set("agent:a", "k", 1)
    store.hooks.register("before_state_read", lambda _: None, name="before")
    store.hooks.register("after_state_read", lambda _: None, name="after", background=False)
    with (
        backstory.context(cause=event, actor="ann")
        if type(store).__name__ == "StateStore"
        else contextlib.nullcontext()
    ):
        assert store.get("agent:a", "k", as_of=event.position) == 1

    before, after = runs(store)
    assert before.data["input"] == {"operation": "get", "scope": "agent:a", "key": "k", "as_of": str(event.position)}
    assert after.data["input"] == {**before.data["input"], "after": 1}
    assert before.data["operation"] == after.data["operation"]
    if type(store).__name__ == "StateStore":
        assert (before.causation_ids, before.correlation_id, before.actor) == (
            (event.event_id,),
            event.correlation_id,
            "ann",
        )


def test_the_reads_of_a_transaction_are_recorded_with_it(store: Any) -> None:
    store.set("agent:a", "k", 1)
    store.hooks.register("before_state_read", lambda _: HookResult.fork([("set", "agent:b", "n", 1)]), name="forks")
    with store.transaction() as tx:
        assert tx.get("agent:a", "k") == 1
        assert tx.set("agent:a", "k", 2)
    assert ["hook.executed", "state.set", "state.set"] == [
        event.type for event in store.log(types=["hook.executed", "state.*"])
    ][1:]
    since = store.position()
    with contextlib.suppress(KeyError), store.transaction() as tx:
        tx.get("agent:a", "k")
        raise KeyError
    assert store.position() == since


def test_a_fired_point_is_recorded_in_its_context(store: Any) -> None:
    event = store.set("agent:a", "k", 1, correlation_id="run-7")
    store.hooks.register("custom:done", lambda c: HookResult.modified({**c.after, "seen": True}), name="sees")

    assert store.hooks.fire("custom:done", {"n": 1}, cause=event, actor="ann", metadata={"m": 1}) == {
        "n": 1,
        "seen": True,
    }
    (run,) = runs(store)
    assert (run.causation_ids, run.correlation_id, run.actor) == ((event.event_id,), "run-7", "ann")
    assert run.data["point"] == "custom:done"
    assert run.data["input"] == {"operation": "custom:done", "after": {"n": 1}, "metadata": {"m": 1}}


def test_the_operation_names_how_the_value_came_about(store: Any) -> None:
    seen: list[str] = []
    for verb in ("write", "delete", "clear"):
        store.hooks.register(f"before_state_{verb}", lambda c: seen.append(c.operation), name="names")
    store.set("agent:a", "k", 1)
    store.update("agent:a", "k", lambda value: value + 1)
    store.increment("agent:a", "k")
    store.copy("agent:a", "agent:b")
    store.move("agent:a", "agent:c")
    store.delete("agent:b", "k")
    store.clear("agent:c")

    assert ["set", "update", "increment", "copy", "move", "move", "delete", "clear"] == seen


def test_runs_are_recorded_no_earlier_than_what_came_before(store_url: str) -> None:
    clock = ManualClock()
    with opened("blocking", store_url, clock=clock) as store:
        store.hooks.register("before_state_write", lambda c: c.now(), name="nonsense")
        first = store.set("agent:a", "k", 1)
        clock.set_back(10)
        second = store.set("agent:a", "k", 2)

    assert second.recorded_at >= first.recorded_at
