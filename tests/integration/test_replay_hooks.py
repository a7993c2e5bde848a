"""Replays of hooks: the same results from the records alone, on every engine and face, and nothing is touched."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import backstory
from backstory import HookCancelledError, HookError, InvalidValueError, ReadOnlyError, StoreUnavailableError
from backstory.domain.errors import InvalidPointError, InvalidScopeError
from backstory.domain.hooks import HookResult
from backstory.infrastructure import codec
from backstory.testing.blocking import _Blocking
from tests.support.hook_runs import OutsideError
from tests.support.hooked import FACES, opened, runs
from tests.support.recorded_runs import Run, record
from tests.support.replays import cut
from tests.unit.test_builtin_hooks_replay import CASES, USAGE

CARD = "4111 1111 1111 1111"


@pytest.fixture(params=FACES)
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    with opened(request.param, store_url) as store:
        yield store


@pytest.fixture(params=FACES)
def memory(request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(request.param, "memory://") as store:
        yield store


def replays(store: Any) -> Any:
    """Return a store's replays, of either face, as blocking ones."""
    made = store.replay
    return made if type(made).__name__ == "Replay" else _Blocking(made, store._loop)


def replayed(store: Any, **question: Any) -> list[Any]:
    results: list[Any] = replays(store).hooks(**question).results
    return results


def only(store: Any, **question: Any) -> Any:
    (result,) = replayed(store, **question)
    return result


def outcome(result: HookResult | None) -> bytes:
    return codec.canonical(None if result is None else result.as_data())


def of_record(event: Any) -> bytes:
    told = event.data["result"]
    return codec.canonical(told if told is None else {name: part for name, part in told.items() if name != "hit"})


def fetch(city: str, *, days: int = 1) -> dict[str, Any]:
    return {"city": city, "days": days, "at": time.time()}


async def fetch_later(city: str) -> str:
    await asyncio.sleep(0)
    return f"{city} {time.time()}"


class FarError(Exception):
    """An error of a type that only its module knows."""


def refuse(kind: str) -> str:
    if kind == "key":
        raise KeyError("no such key")
    if kind == "unicode":
        b"\xff".decode()
    if kind == "exit":
        raise SystemExit(3)
    if kind == "far":
        raise FarError("far: away")
    raise OSError(2, "not there")


def tells_all(context: Any) -> HookResult:
    """Answer everything that a context tells and takes."""
    return HookResult.fork([("set", "custom:told", f"{context.hook}-{context.operation_id}", told_by(context))])


def told_by(context: Any) -> dict[str, Any]:
    names = ("point", "operation", "operation_id", "key", "actor", "correlation_id", "metadata", "tags", "as_of")
    told = {name: getattr(context, name) for name in (*names, "attempt", "redelivered")}
    told |= {name: str(getattr(context, name)) for name in ("before", "after", "scope")}
    return told | {"now": context.now(), "random": context.random(), "uuid": context.uuid()}


def takes(context: Any) -> HookResult:
    told: list[Any] = [context.call(fetch, "Rome"), context.call(fetch, "Oslo", days=3), context.call(fetch_later, "b")]
    told += [context.read("custom:other", "k", "none"), context.read("agent:a", "old", 7)]
    told += [context.now(), context.uuid(), context.random()]
    for kind in ("key", "unicode", "exit", "far", "os"):
        try:
            context.call(refuse, kind)
        except KeyError as error:
            told.append(f"caught {error}")
        except (UnicodeDecodeError, SystemExit, FarError, OSError) as error:
            told.append(f"{type(error).__name__}: {error}")
    return HookResult.modified({"value": context.after, "told": told})


async def takes_later(context: Any) -> HookResult:
    several = await asyncio.gather(context.call(fetch_later, "b"), context.call(fetch_later, "c"))
    told = [*several, context.call(fetch, "Rome"), await context.read("agent:a", "old", 7), context.now()]
    told.append(await context.call(functools.partial(fetch_later, "d")))
    await asyncio.sleep(0)
    return HookResult.modified([context.after, told])


def fails(context: Any) -> HookResult:
    context.call(refuse, "key" if context.now() else "os")
    raise AssertionError


async def fails_later(context: Any) -> HookResult:
    raise FarError(str(context.uuid()))


async def cancels_itself(_: Any) -> HookResult:
    raise asyncio.CancelledError


async def _as_later(context: Any, number: int) -> HookResult:
    return HookResult.modified([context.after, number, str(context.now())])


WRITES: dict[str, Any] = {
    "continues": lambda _: None,
    "modifies": lambda c: HookResult.modified([c.after, c.random()]),
    "takes": takes,
    "takes later": takes_later,
    "is async without saying": lambda c: _as_later(c, 1),
    "skips": lambda c: HookResult.skipped(f"not at {c.now()}"),
    "redirects": lambda c: HookResult.redirect("agent:b", str(c.uuid())) if c.key == "moved" else None,
    "tells all": tells_all,
    "forks": lambda c: HookResult.fork([("set", "agent:c", "k", c.random()), ("delete", "agent:c", "none")]),
    "replaces": lambda c: HookResult.replace({"at": c.now()}) if c.key == "replaced" else None,
    "retries": lambda c: HookResult.retry(0, 3) if c.attempt == 1 else None,
    "fails": fails,
    "fails later": fails_later,
    "exits": lambda _: sys.exit(4),
    "cancels itself": cancels_itself,
    "answers nonsense": lambda _: {"no": "result"},
    "answers what does nothing here": lambda _: HookResult.cache("k", 3),
    "answers what cannot be stored": lambda _: HookResult.modified(object),
    "cancels": lambda c: HookResult.cancel(f"no: {c.random()}") if c.key == "cancelled" else None,
}
READS: dict[str, Any] = {
    "keeps": lambda c: HookResult.cache(f"kept {c.key}", 60),
    "reads elsewhere": lambda c: HookResult.redirect("agent:elsewhere") if c.key == "far" else None,
}


def prepared(store: Any) -> dict[str, Any]:
    """Register hooks of every kind at all sorts of points, and have each of them run."""
    made: dict[str, Any] = {}

    def register(point: str, name: str, hook: Any, **said: Any) -> None:
        made[name] = cut(hook)
        store.hooks.register(point, made[name], name=name, **said)

    store.set("custom:other", "k", {"deep": [1, 2.5]})
    store.set("agent:elsewhere", "far", 5)
    for at, (name, hook) in enumerate(WRITES.items()):
        register("before_state_write", name, hook, priority=at, scope="agent:a")
    for name, hook in READS.items():
        register("before_state_read", name, hook, scope="agent:a")
    register("after_state_read", "answers", lambda c: HookResult.modified([c.after, c.random()]), scope="agent:a")
    for background in (True, False):
        for point in ("after_state_write", "after_state_delete", "after_state_clear"):
            register(point, f"{point} {background}", tells_all, background=background, scope="agent:a")
    register("before_state_delete", "deletes", tells_all, scope="agent:a")
    register("before_state_clear", "clears elsewhere", lambda c: HookResult.skipped(str(c.before)), scope="agent:a")
    register("custom:mine", "fired", lambda c: HookResult.modified({**c.after, "at": c.now()}))
    register("before_agent_save", "saved", takes_later)
    worked(store)
    return made


def worked(store: Any) -> None:
    for key in ("plan", "replaced", "cancelled", "moved"):
        with contextlib.suppress(HookCancelledError):
            store.set("agent:a", key, [key], actor="ann", correlation_id="c7", tags=["t"], metadata={"why": 3}, ttl=60)
    store.set("agent:a", "plan", 2)
    with store.transaction() as tx:
        tx.set("agent:a", "old", 2)
    for key in ("plan", "plan", "far", "none"):
        store.get("agent:a", key, None)
    store.delete("agent:a", "old")
    store.set("agent:a", "x", 1)
    store.clear("agent:a")
    store.hooks.fire("custom:mine", {"a": 1}, actor="bob")
    store.hooks.fire("before_agent_save", {"a": 2})
    store.hooks.flush()


def test_an_exact_replay_gives_what_is_recorded_and_takes_nothing_from_outside(store: Any) -> None:
    hooks = prepared(store)
    recorded = runs(store)
    assert {event.data["hook"] for event in recorded} == set(hooks)
    assert {"hook.executed", "hook.failed"} == {event.type for event in recorded}
    before = list(store.log())[-1].position
    for hook in hooks.values():
        hook.armed, hook.runs = True, 0

    report = replays(store).hooks(stop_on_error=False)
    assert [event.event_id for event in recorded] == [result.execution.event_id for result in report.results]
    for event, result in zip(recorded, report.results, strict=True):
        assert (None, None) == (result.error, result.divergence), event.data
        assert result.comparison.identical, (event.data, result.comparison.summary)
        assert of_record(event) == outcome(result.result) == outcome(result.recorded)
        assert codec.canonical(event.data["steps"]) == codec.canonical(list(result.steps))
        assert not result.redacted
    assert (len(recorded), 0) == (report.succeeded, report.failed)
    assert len(recorded) == sum(hook.runs for hook in hooks.values())
    assert {"replay.started", "replay.completed"} == {event.type for event in store.log(since=before)}
    assert store.verify().ok


def test_whoever_takes_from_outside_in_a_replay_is_caught(memory: Any) -> None:
    async def later(_: Any) -> None:
        time.time()

    hooks = {"sync": cut(lambda _: time.time() and None), "async": cut(later)}
    for name, hook in hooks.items():
        memory.hooks.register("before_state_write", hook, name=name)
    memory.set("agent:a", "k", 1)
    for hook in hooks.values():
        hook.armed = True
    for result in replayed(memory, stop_on_error=False):
        assert result.error.startswith(OutsideError.__name__)


def test_whatever_the_concurrency_the_results_are_in_log_order(store: Any) -> None:
    prepared(store)
    alone = replayed(store)
    assert len(alone) > 100
    for concurrency in (2, 7, 400):
        at_once = replayed(store, concurrency=concurrency)
        assert [(each.execution.event_id, outcome(each.result)) for each in alone] == [
            (each.execution.event_id, outcome(each.result)) for each in at_once
        ]


def test_no_more_run_at_once_than_asked_for(memory: Any) -> None:
    going, most = [0], [0]

    async def hook(_: Any) -> None:
        going[0] += 1
        most[0] = max(most[0], going[0])
        for _ in range(20):
            await asyncio.sleep(0)
        going[0] -= 1

    memory.hooks.register("before_state_write", hook, name="counts")
    for number in range(20):
        memory.set("agent:a", "k", number)
    most[0] = 0
    assert 20 == len(replayed(memory, concurrency=3))
    assert most[0] <= 3


# Hooks whose code has changed

BEFORE = {"now": lambda c: c.now(), "call": lambda c: c.call(fetch, "Rome", days=2), "random": lambda c: c.random()}
OTHERS = {
    "asked otherwise": (lambda c: c.random(), "call", "random"),
    "other arguments": (lambda c: c.call(fetch, "Oslo", days=2), "call", "call"),
    "other named arguments": (lambda c: c.call(fetch, "Rome", days=3), "call", "call"),
    "no named arguments": (lambda c: c.call(fetch, "Rome"), "call", "call"),
    "other function": (lambda c: c.call(refuse, "Rome", days=2), "call", "call"),
    "a read": (lambda c: c.read("agent:z", "k"), "call", "read"),
}


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("change", OTHERS)
def test_a_changed_hook_diverges_at_the_first_step_that_differs(memory: Any, change: str, *, swallows: bool) -> None:
    other, was, is_ = OTHERS[change]
    code = {"middle": BEFORE["call"]}

    def hook(context: Any) -> HookResult:
        context.now()
        try:
            code["middle"](context)
        except HookError:
            if not swallows:
                raise
        with contextlib.suppress(HookError):
            context.random()
        return HookResult.modified("done")

    memory.hooks.register("before_state_write", hook, name="changes")
    memory.set("agent:a", "k", 1)
    code["middle"] = other
    result = only(memory)
    assert result.divergence is not None
    assert (1, was, is_) == (
        result.divergence.index,
        result.divergence.recorded["kind"],
        result.divergence.asked["kind"],
    )
    assert ("done" if swallows else None) == (result.result.value if result.result else None)
    assert not result.ok
    assert swallows == result.comparison.identical


def test_asking_for_more_or_for_less_diverges_where_the_record_ends(memory: Any) -> None:
    count = [2]

    def hook(context: Any) -> None:
        for _ in range(count[0]):
            with contextlib.suppress(HookError):
                context.now()

    memory.hooks.register("before_state_write", hook, name="counts")
    memory.set("agent:a", "k", 1)
    count[0] = 3
    more = only(memory).divergence
    assert (2, None, {"kind": "now"}) == (more.index, more.recorded, more.asked)
    count[0] = 1
    less = only(memory).divergence
    assert (1, "now", None) == (less.index, less.recorded["kind"], less.asked)
    count[0] = 2
    assert only(memory).ok


def test_a_hook_that_fails_anew_or_no_more_says_so(memory: Any) -> None:
    broken = [False]

    def hook(_: Any) -> HookResult:
        if broken[0]:
            raise LookupError("anew")
        return HookResult.modified(1)

    memory.hooks.register("before_state_write", hook, name="breaks")
    memory.set("agent:a", "k", 1)
    broken[0] = True
    anew = only(memory)
    assert ("LookupError: anew", None, False) == (anew.error, anew.result, anew.ok)
    memory.set("agent:a", "k", 1)
    assert only(memory, since=anew.execution.position).ok
    broken[0] = False
    mended = only(memory, since=anew.execution.position)
    assert mended.ok
    assert mended.recorded is None
    assert not mended.comparison.identical


# Modes


def test_a_modified_replay_shows_what_would_have_come_of_other_input(store: Any) -> None:
    def hook(context: Any) -> HookResult:
        told = [str(context.scope), context.key, context.actor, context.correlation_id, context.metadata, context.tags]
        return HookResult.modified([context.before, context.after, *told, context.operation, context.random()])

    store.set("agent:a", "k", {"x": {"y": 1}, "l": [1, {"n": 2}]})
    store.hooks.register("before_state_write", hook, name="tells")
    store.set("agent:a", "k", {"x": {"y": 1}, "l": [1, {"n": 2}]}, actor="ann", metadata={"user": "u"})
    changes = {
        "before.x": 7,
        "after.x.y": 5,
        "after.l[1].n": 3,
        "after.new.deep": [True],
        "metadata.user": "v",
        "scope": "agent:z",
        "key": "other",
        "actor": "bob",
        "correlation_id": "c9",
        "tags": ["a"],
        "operation": "increment",
    }
    result = only(store, mode="modified", changes=changes)
    assert result.ok
    before, after, *told, _ = result.result.value
    assert {"x": 7, "l": [1, {"n": 2}]} == before
    assert {"x": {"y": 5}, "l": [1, {"n": 3}], "new": {"deep": [True]}} == after
    assert ["agent:z", "other", "bob", "c9", {"user": "v"}, ["a"], "increment"] == told
    assert result.result.value[-1] == result.recorded.value[-1]
    assert "[1].x.y" in [each.path.removeprefix("value") for each in result.comparison.differences]
    whole = only(store, mode="modified", changes={"after": 3, "actor": None})
    assert (3, None) == (whole.result.value[1], whole.result.value[4])


BAD_CHANGES: list[Any] = [
    {"nothing": 1},
    {"": 1},
    {"after.": 1},
    {3: 1},
    {"actor.x": "a"},
    {"key[0]": "a"},
    {"key": 5},
    {"key": ""},
    {"scope": 5},
    {"actor": 5},
    {"correlation_id": ""},
    {"tags": "t"},
    {"tags": [1]},
    {"operation": 1},
    {"metadata": 1},
    {"metadata[0]": 1},
    {"after": object},
    ["after"],
    5,
]


@pytest.mark.parametrize("changes", BAD_CHANGES)
def test_changes_that_lead_nowhere_are_refused_before_anything_runs(memory: Any, changes: Any) -> None:
    ran: list[Any] = []
    memory.hooks.register("before_state_write", lambda c: ran.append(c.key), name="looks")
    memory.set("agent:a", "k", 1)
    position = runs(memory)[-1].position
    with pytest.raises((InvalidValueError, InvalidScopeError, backstory.InvalidKeyError)):
        replays(memory).hooks(mode="modified", changes=changes)
    assert ["k"] == ran
    assert [] == list(memory.log(since=position, types="replay.*"))


def test_a_path_that_does_not_lead_into_one_run_is_its_error(memory: Any) -> None:
    memory.hooks.register("before_state_write", lambda c: HookResult.modified(c.after), name="same")
    memory.set("agent:a", "k", [1, 2])
    memory.set("agent:a", "k", {"a": 1})
    memory.set("agent:a", "k", 3)
    changes = {"after[1]": 9}
    good, odd, bad = replayed(memory, mode="modified", changes=changes, stop_on_error=False)
    assert [1, 9] == good.result.value
    assert {"a": 1, "1": 9} == odd.result.value
    assert "after[1]" in bad.error
    assert 3 == len(replayed(memory, mode="modified", changes=changes))


BAD_QUESTIONS: list[dict[str, Any]] = [
    {"mode": "wild"},
    {"mode": None},
    {"changes": {"after": 1}},
    {"mode": "debug", "changes": {"after": 1}},
    {"timeout_s": 0},
    {"timeout_s": -1},
    {"timeout_s": True},
    {"timeout_s": "3"},
    {"timeout_s": float("nan")},
    {"timeout_s": float("inf")},
    {"concurrency": 0},
    {"concurrency": -1},
    {"concurrency": True},
    {"concurrency": None},
    {"concurrency": "2"},
    {"point": "nowhere"},
    {"correlation_id": ""},
    {"session": 5},
    {"session": "session:"},
    {"since": 10_000},
    {"until": "nonsense"},
]


@pytest.mark.parametrize("question", BAD_QUESTIONS)
def test_a_question_that_means_nothing_is_refused_before_anything_is_written(
    memory: Any, question: dict[str, Any]
) -> None:
    memory.set("agent:a", "k", 1)
    with pytest.raises((InvalidValueError, InvalidPointError, InvalidScopeError)):
        replays(memory).hooks(**question)
    assert [] == list(memory.log(types="replay.*"))


def test_a_simulation_answers_what_is_recorded_and_runs_no_hook(store_url: str) -> None:
    with opened("blocking", store_url) as store:
        hooks = prepared(store)
        recorded = runs(store)
        for hook in hooks.values():
            hook.runs = 0
        simulated = replayed(store, mode="simulate")
        assert 0 == sum(hook.runs for hook in hooks.values())
        assert [of_record(event) for event in recorded] == [outcome(each.result) for each in simulated]
        if store_url == "memory://":
            return
    with opened("asyncio", store_url) as store:  # nothing is registered
        report = replays(store).hooks(mode="simulate")
        assert (len(recorded), 0) == (report.succeeded, report.failed)
        first = replays(store).hooks().results
        assert 1 == len(first)
        assert "is registered" in first[0].error


def test_debugging_goes_on_after_failures_and_shows_the_steps(memory: Any) -> None:
    def hook(context: Any) -> None:
        context.now()
        if armed[0]:
            context.random()

    armed = [False]
    memory.hooks.register("before_state_write", hook, name="changes")
    for number in range(3):
        memory.set("agent:a", "k", number)
    armed[0] = True
    assert 1 == len(replayed(memory))
    report = replays(memory).hooks(mode="debug")
    assert (3, 0) == (report.failed, report.succeeded)
    assert [["now"]] * 3 == [[step["kind"] for step in each.steps] for each in report.results]
    assert 3 == len(replayed(memory, stop_on_error=False))


# Which runs


def test_runs_are_found_by_name_point_correlation_session_and_span(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: None, name="one")
    store.hooks.register("before_state_delete", lambda _: None, name="one")
    store.hooks.register("before_state_write", lambda _: None, name="two")
    store.set("session:s1", "k", 1, correlation_id="c1")
    middle = runs(store)[-1].position
    store.set("session:s2", "k", 1, correlation_id="c2")
    store.delete("session:s1", "k", correlation_id="c2")

    def found(**question: Any) -> list[tuple[str, str]]:
        return [(each.hook, each.execution.data["input"]["scope"]) for each in replayed(store, **question)]

    s1, s2 = "session:s1", "session:s2"
    assert [("one", s1), ("two", s1), ("one", s2), ("two", s2), ("one", s1)] == found()
    assert [("one", s1), ("one", s2), ("one", s1)] == found(name="one")
    assert [("one", s1)] == found(point="before_state_delete")
    assert [("one", s2), ("two", s2), ("one", s1)] == found(correlation_id="c2") == found(since=middle)
    assert [("one", s1), ("two", s1)] == found(until=middle)
    assert [("one", s1), ("two", s1), ("one", s1)] == found(session="s1") == found(session=s1)
    assert [("two", s2)] == found(session=backstory.Scope.session("s2"), name="two", since=middle)
    assert [] == found(name="three") == found(correlation_id="c3")


def test_many_runs_are_found_page_by_page(memory: Any) -> None:
    inner = getattr(memory, "_store", memory)
    if inner is not memory:
        pytest.skip("recorded through the blocking face")
    record(memory, *(Run(hook=f"h{number % 2}", correlation_id=f"c{number % 5}") for number in range(10_000)))
    told: list[tuple[int, int | None]] = []
    report = replays(memory).hooks(mode="simulate", concurrency=64, progress=lambda done, of: told.append((done, of)))
    assert 10_000 == report.succeeded
    positions = [each.execution.position for each in report.results]
    assert sorted(set(positions)) == positions
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert 10_000 == told[-1][0]
    assert 1000 == len(replayed(memory, mode="simulate", name="h1", correlation_id="c3"))


def test_progress_tells_how_many_are_done_of_how_many(memory: Any) -> None:
    memory.hooks.register("before_state_write", lambda _: None, name="looks")
    for number in range(5):
        memory.set("agent:a", "k", number)
    told: list[tuple[int, int | None]] = []
    replays(memory).hooks(concurrency=2, progress=lambda done, of: told.append((done, of)))
    assert [(2, 5), (4, 5), (5, 5)] == told


# What a record cannot hold


def test_redacted_records_are_replayed_as_redacted_and_say_so(store: Any) -> None:
    def hook(context: Any) -> HookResult:
        context.call(fetch, f"password=hunter2 {CARD}")
        told = context.call(lambda: {"password": "hunter3"})
        return HookResult.modified({"password": "hunter4", "of": context.after, "told": told})

    def measures(context: Any) -> HookResult:
        return HookResult.skipped(f"{len(str(context.after))} long")

    def fails(_: Any) -> None:
        raise LookupError(CARD)

    for at, each in enumerate((measures, fails, hook)):
        store.hooks.register("before_state_write", each, name=each.__name__, priority=at)
    store.set("agent:a", "password", "hunter2")
    store.set("agent:a", "plain", "text")
    secret = {each.hook: each for each in replayed(store, correlation_id=runs(store)[0].correlation_id)}
    plain = {each.hook: each for each in replayed(store, since=runs(store)[2].position)}

    assert secret["hook"].ok
    assert secret["hook"].comparison.identical
    assert secret["fails"].ok
    assert "hunter" not in str([each.result for each in secret.values()] + [each.steps for each in secret.values()])
    assert (True, True) == (secret["measures"].redacted, secret["measures"].ok)
    assert not secret["measures"].comparison.identical  # another length, for that alone
    assert (False, True) == (plain["measures"].redacted, plain["measures"].comparison.identical)
    assert plain["hook"].comparison.identical
    assert CARD not in str([event.data for event in store.log()])


def test_a_run_that_was_left_out_for_its_open_circuit_is_left_out_again(memory: Any) -> None:
    def hook(_: Any) -> None:
        raise OSError("down")

    breaker = backstory.Breaker(failures=1, open_s=1000)
    made = {name: cut(hook) for name in ("optional", "required")}
    memory.hooks.register("before_state_write", made["optional"], name="optional", breaker=breaker)
    required = {"required": True, "breaker": breaker, "scope": "agent:b"}
    memory.hooks.register("before_state_write", made["required"], name="required", **required)
    for scope in ("agent:a", "agent:b", "agent:b", "agent:a"):
        with contextlib.suppress(HookError):
            memory.set(scope, "k", 1)
    before = {name: hook.runs for name, hook in made.items()}
    report = replays(memory).hooks()
    assert 0 == report.failed
    assert {1} == set(before.values())
    assert {2} == {hook.runs for hook in made.values()}


def test_a_run_whose_time_was_up_is_replayed_to_where_it_stood(memory: Any) -> None:
    gone: list[Any] = []

    def slow() -> None:
        time.sleep(0.2)

    async def slow_later() -> None:
        await asyncio.sleep(5)

    def hook(context: Any) -> None:
        context.now()
        context.call(slow)
        gone.append(context.now())

    async def later(context: Any) -> None:
        context.now()
        await context.call(slow_later)
        gone.append(context.now())

    def sleeps(context: Any) -> None:
        context.now()
        if not armed:
            time.sleep(0.2)
        gone.append(context.now())

    armed: list[bool] = []
    for each in (hook, later, sleeps):
        memory.hooks.register("before_state_write", each, name=each.__name__, timeout_s=0.05)
    memory.set("agent:a", "k", 1)
    armed.append(True)
    results = replayed(memory, stop_on_error=False)
    assert [None] * 3 == [each.divergence for each in results]
    assert [None] * 3 == [each.error for each in results]
    assert [True] * 3 == [each.comparison.identical for each in results]
    assert ["hook.failed"] * 3 == [each.execution.type for each in results]
    assert [] == gone


def test_a_call_that_a_hook_gave_up_waiting_for_does_not_answer_in_a_replay_either(memory: Any) -> None:
    async def slow() -> str:
        await asyncio.sleep(60)
        return "late"

    async def hook(context: Any) -> HookResult:
        try:
            found = await asyncio.wait_for(context.call(slow), 0.01)
        except TimeoutError:
            found = "given up"
        return HookResult.modified([found, context.random()])

    memory.hooks.register("before_state_write", hook, name="impatient")
    memory.set("agent:a", "k", 1)
    result = only(memory)
    assert "given up" == result.result.value[0]
    assert (True, True) == (result.ok, result.comparison.identical)


def fetch_soon(city: str) -> Any:
    """Answer with an awaitable, though nothing about it says so."""
    return fetch_later(city)


async def wants_two(one: int, two: int) -> int:
    return one + two


def test_a_replay_hands_back_an_awaitable_exactly_where_the_run_did(store: Any) -> None:
    async def hook(context: Any) -> HookResult:
        told = [await context.call(fetch_soon, "a"), await context.call(lambda: fetch_later("b"))]
        try:
            context.call(wants_two, 1)  # it is refused at once: there is nothing to await
        except TypeError as error:
            told.append(str(error))
        told.append(context.call(str, 3))
        return HookResult.modified(told)

    store.hooks.register("before_state_write", hook, name="awaits")
    store.set("agent:a", "k", 1)
    result = only(store)
    assert (True, True) == (result.ok, result.comparison.identical), result.error
    assert [True, True, None, None] == [step.get("awaitable") for step in result.execution.data["steps"]]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_gets_from_a_call_what_its_replay_gets(memory: Any, *, asynchronous: bool) -> None:
    def pair() -> Any:
        return (1, [2.5], {"deep": ()})

    def told(found: Any) -> HookResult:
        said = repr(found)
        found[1].append("the hook's own")
        return HookResult.modified(said)

    async def pair_later() -> Any:
        return pair()

    async def later(context: Any) -> HookResult:
        return told(await context.call(pair_later))

    def at_once(context: Any) -> HookResult:
        return told(context.call(pair))

    memory.hooks.register("before_state_write", later if asynchronous else at_once, name="hook")
    memory.set("agent:a", "k", 1)
    assert "[1, [2.5], {'deep': []}]" == memory.get("agent:a", "k")
    results = [only(memory) for _ in range(2)]
    assert [(True, True)] * 2 == [(result.ok, result.comparison.identical) for result in results]
    assert [1, [2.5], {"deep": []}] == results[0].execution.data["steps"][0]["value"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_read_that_failed_fails_in_the_replay_as_well(
    memory: Any, monkeypatch: pytest.MonkeyPatch, *, asynchronous: bool
) -> None:
    def away(*_: Any) -> Any:
        raise StoreUnavailableError("the store is away")

    async def away_later(*_: Any) -> Any:
        away()

    async def later(context: Any) -> HookResult:
        try:
            return HookResult.modified(await context.read("agent:b", "k"))
        except StoreUnavailableError as error:
            return HookResult.modified(str(error))

    def at_once(context: Any) -> HookResult:
        try:
            return HookResult.modified(context.read("agent:b", "k"))
        except StoreUnavailableError as error:
            return HookResult.modified(str(error))

    memory.hooks.register("before_state_write", later if asynchronous else at_once, name="reads")
    with monkeypatch.context() as patch:
        patch.setattr("backstory.hooks.run_context.World.read", away_later if asynchronous else away)
        memory.set("agent:a", "k", 1)
    result = only(memory)
    (step,) = result.execution.data["steps"]
    assert step["error"].startswith("StoreUnavailableError: the store is away")
    assert (True, True) == (result.ok, result.comparison.identical), result.comparison.summary


def test_a_hook_that_hangs_in_its_replay_is_left_behind(memory: Any) -> None:
    hangs = [False]

    async def later(context: Any) -> None:
        context.now()
        await asyncio.sleep(60 if hangs[0] else 0)

    def hook(_: Any) -> None:
        if hangs[0]:
            time.sleep(0.3)

    memory.hooks.register("before_state_write", later, name="later")
    memory.hooks.register("before_state_write", hook, name="hook")
    memory.set("agent:a", "k", 1)
    hangs[0] = True
    stopped = replayed(memory, timeout_s=0.05)
    assert ["TimeoutError: did not end within 0.05 s"] == [each.error for each in stopped]
    on = replayed(memory, timeout_s=0.05, stop_on_error=False)
    assert ["TimeoutError: did not end within 0.05 s"] * 2 == [each.error for each in on]
    hangs[0] = False
    assert 2 == len(replayed(memory, timeout_s=None))


def test_an_increment_that_could_not_follow_its_redirect_fails_as_it_did(store: Any) -> None:
    store.set("agent:b", "n", "text")
    store.hooks.register("before_state_write", lambda _: HookResult.redirect("agent:b", "n"), name="r", scope="agent:a")
    with contextlib.suppress(backstory.BackstoryError):
        store.increment("agent:a", "n", 1)
    (recorded,) = runs(store)
    result = only(store)
    assert "hook.failed" == recorded.type
    assert (True, True) == (result.ok, result.comparison.identical)


def test_what_only_looks_like_a_run_is_no_run(memory: Any) -> None:
    try:
        memory.append("hook:odd", backstory.Event("hook.executed", {"hook": "odd"}))
    except backstory.BackstoryError:
        return  # nobody can
    (result,) = replayed(memory)
    assert "no record of a run" in result.error
    assert [] == replayed(memory, point="before_state_write")


# Isolation


@pytest.mark.parametrize("timeout_s", [None, 30])
def test_what_a_hook_writes_in_a_replay_is_refused(store_url: str, timeout_s: float | None) -> None:
    stores: list[Any] = []
    refused: list[str] = []
    armed = [False]

    def write() -> None:
        try:
            stores[0].set("agent:b", "k", 1)
        except ReadOnlyError as error:
            refused.append(str(error))

    def hook(_: Any) -> None:
        if armed[0]:
            write()

    def returns_later(_: Any) -> Any:
        return later(None)

    async def later(_: Any) -> None:
        if armed[0]:
            await asyncio.to_thread(write)

    with opened("blocking", store_url) as store:
        stores.append(store)
        for each in (hook, later, returns_later):
            store.hooks.register("before_state_write", each, name=each.__name__, scope="agent:a")
        store.set("agent:a", "k", 1)
        armed[0] = True
        position = runs(store)[-1].position
        assert 0 == store.replay.hooks(timeout_s=timeout_s).failed
        assert ["write inside a replay refused: a replay changes nothing"] * 3 == [
            each.partition(";")[0].partition(".")[0] for each in refused
        ]
        written = [event.type for event in store.log(since=position)]
        assert ["state.set", "replay.started", "replay.completed"] == written
        store.set("agent:c", "k", 1)


async def test_what_a_hook_writes_in_a_replay_is_refused_on_the_asyncio_face(store_url: str) -> None:
    armed = [False]
    refused: list[str] = []
    async with backstory.open_async(store_url) as store:

        async def hook(_: Any) -> None:
            if armed[0]:
                for write in (store.set("agent:b", "k", 1), asyncio.create_task(store.set("agent:b", "k", 1))):
                    try:
                        await write
                    except ReadOnlyError as error:
                        refused.append(error.operation)

        store.hooks.register("before_state_write", hook, name="writes", scope="agent:a")
        await store.set("agent:a", "k", 1)
        armed[0] = True
        for timeout_s in (None, 5):
            assert 1 == (await store.replay.hooks(timeout_s=timeout_s, concurrency=2)).succeeded
        assert ["write inside a replay"] * 4 == refused
        assert await store.get("agent:b", "k", None) is None
        await store.set("agent:b", "k", 2)


# Replays are events


def test_a_replay_is_in_the_log_with_its_question_and_what_it_came_to(store: Any) -> None:
    right = [True]

    def hook(context: Any) -> None:
        if right[0]:
            context.now()

    store.hooks.register("before_state_write", hook, name="changes")
    for number in range(3):
        store.set("agent:a", "k", number)
    since = list(store.log())[-1].position
    replays(store).hooks(name="changes", until=since)
    begun, done = store.log(since=since)
    assert ("replay.started", "replay.completed") == (begun.type, done.type)
    assert {"mode": "exact", "name": "changes", "point": None, "session": None, "changes": []} == begun.data
    assert (begun.event_id,) == done.causation_ids
    assert (3, 0, 3, 0, None, []) == tuple(
        done.data[part] for part in ("succeeded", "failed", "identical", "redacted", "error", "failures")
    )
    right[0] = False
    report = replays(store).hooks(stop_on_error=False)
    failed = list(store.log(types="replay.failed"))[-1]
    assert (0, 3) == (failed.data["succeeded"], failed.data["failed"])
    assert [str(each.execution.event_id) for each in report.results] == [
        each["run"] for each in failed.data["failures"]
    ]
    assert {True} == {each["diverged"] for each in failed.data["failures"]}


def test_a_replay_that_ends_early_says_what_it_did_and_why(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: None, name="looks")
    for number in range(3):
        store.set("agent:a", "k", number)

    def progress(done: int, _: int | None) -> None:
        if done == 2:
            raise LookupError("enough")

    with pytest.raises(LookupError):
        replays(store).hooks(progress=progress)
    (failed,) = store.log(types="replay.failed")
    assert (2, 0, "LookupError: enough") == tuple(failed.data[part] for part in ("succeeded", "failed", "error"))


async def test_a_cancelled_replay_says_so_in_the_log(store_url: str) -> None:
    async with backstory.open_async(store_url) as store:
        reached = asyncio.Event()
        hangs = [False]

        async def hook(context: Any) -> None:
            if hangs[0] and context.key == "k1":
                reached.set()
                await asyncio.sleep(60)

        store.hooks.register("before_state_write", hook, name="hangs")
        for number in range(3):
            await store.set("agent:a", f"k{number}", number)
        hangs[0] = True
        for concurrency in (1, 2):
            reached.clear()
            task = asyncio.create_task(store.replay.hooks(concurrency=concurrency))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        done = [event async for event in store.log(types="replay.failed")]
        assert [(1, "CancelledError: "), (0, "CancelledError: ")] == [
            (each.data["succeeded"], each.data["error"]) for each in done
        ]


def test_a_store_that_is_only_read_can_be_replayed_and_is_not_written_to(sqlite_url: str) -> None:
    with opened("blocking", sqlite_url) as store:
        store.hooks.register("before_state_write", lambda _: None, name="looks")
        store.set("agent:a", "k", 1)
        position = list(store.log())[-1].position
    for face in FACES:
        with opened(face, sqlite_url, read_only=True) as store:
            assert 1 == replays(store).hooks(mode="simulate").succeeded
            with contextlib.suppress(ReadOnlyError):
                store.hooks.register("before_state_write", lambda _: None, name="looks")
                assert 1 == replays(store).hooks().succeeded
            assert position == list(store.log())[-1].position


def test_what_is_written_meanwhile_is_no_part_of_a_replay(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: None, name="looks")
    for number in range(4):
        store.set("agent:a", "k", number)
    if type(store).__name__ == "_Clothed":
        pytest.skip("its loop is busy with the replay")

    def progress(done: int, _: int | None) -> None:
        store.set("agent:a", "k", done)

    assert 4 == store.replay.hooks(progress=progress).succeeded
    assert 8 == store.replay.hooks().succeeded
    assert store.verify().ok


# The built-in hooks


@pytest.fixture
def quiet() -> Iterator[None]:
    """Lines of structlog go nowhere."""
    structlog.configure(processors=[structlog.testing.LogCapture()])
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("label", sorted(CASES.keys() - {"RateLimit that waits"}))  # a minute, when it is recorded
def test_runs_of_built_in_hooks_are_replayed_from_their_records(memory: Any, label: str, tmp_path: Path) -> None:
    hook = CASES[label].make(tmp_path)
    watched = cut(hook)
    for point in hook.points:
        memory.hooks.register(point, watched, name=hook.name)
    for key, value in (("k1", 1), ("k1", 2), ("plan", USAGE), ("password", "hunter2"), ("k1", "text" * 9)):
        with contextlib.suppress(HookError, HookCancelledError):
            memory.set("agent:a", key, value)
        with contextlib.suppress(HookError, HookCancelledError):
            memory.get("agent:a", key, None)
    with contextlib.suppress(HookError, HookCancelledError):
        memory.delete("agent:a", "k1")
        memory.clear("agent:a")
    for state in ({"a": 1}, {"a": 2}, {}):
        memory.hooks.fire("before_agent_save", {"agent_id": "a1", "state": state})
    memory.hooks.flush()
    recorded = runs(memory)
    assert recorded
    watched.armed = True
    for event, result in zip(recorded, replayed(memory, stop_on_error=False), strict=True):
        if result.redacted and not result.comparison.identical:
            continue  # it looked at what its record must not hold, and says so
        assert (None, None) == (result.error, result.divergence), event.data
        assert of_record(event) == outcome(result.result)
        assert result.comparison.identical
