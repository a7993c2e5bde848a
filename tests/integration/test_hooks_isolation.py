"""Isolation: whatever a hook does, its operation has a defined outcome, and the store can be used afterwards."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import backstory
from backstory import (
    MISSING,
    ConflictError,
    HookCancelledError,
    HookError,
    InvalidKeyError,
    InvalidScopeError,
    InvalidValueError,
    ReadOnlyError,
    StoreClosedError,
)
from backstory.domain.hooks import HookResult
from tests.support.hooked import FACES, opened, runs

SOON_S = 0.05


@pytest.fixture(params=FACES)
def either(request: pytest.FixtureRequest, store_url: str) -> Iterator[Any]:
    """A store of either face."""
    with opened(request.param, store_url) as store:
        yield store
        assert store.verify().ok


@pytest.fixture
def store(store_url: str) -> Iterator[Any]:
    """A blocking store."""
    with backstory.open(store_url) as store:
        yield store
        _still_good(store)


@pytest.fixture
async def tasks(store_url: str) -> AsyncIterator[Any]:
    """An asyncio store."""
    async with backstory.open_async(store_url) as store:
        yield store
        for info in store.hooks.list():
            store.hooks.unregister(info.name)
        assert (await store.set("agent:z", "usable", 1)).data["value"] == 1
        assert (await store.verify()).ok


def _still_good(store: Any) -> None:
    for info in store.hooks.list():
        store.hooks.unregister(info.name)
    assert store.set("agent:z", "usable", 1).data["value"] == 1
    assert store.verify().ok


def of_state(store: Any) -> list[Any]:
    return [(event.key, event.data["value"]) for event in store.log(types="state.set")]


async def recorded(store: Any) -> list[Any]:
    return [event async for event in store.log(types=["hook.executed", "hook.failed"])]


class Odd(Exception):  # noqa: N818 - odd, whatever its name
    """An error that cannot say what it is about."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Untold(Exception):  # noqa: N818 - as above
    """An error that would end the program when it is asked what it is about."""

    def __str__(self) -> str:
        raise SystemExit(3)


RAISED = [
    ValueError("out of order"),
    SystemExit(3),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopIteration(7),
    StopAsyncIteration(),
    RecursionError(),
    Odd(),
    Untold(),
    ValueError("\ud800" * 5000),
    InvalidValueError("k", rule="is odd", hint="Even it."),
    HookCancelledError("mine", hook="me"),
    ExceptionGroup("many", [ValueError("one")]),
    TimeoutError(),
]


@pytest.mark.parametrize("style", ["sync", "async", "awaitable", "bounded"])
def test_whatever_a_hook_raises_is_a_failure_and_the_operation_goes_on(either: Any, style: str) -> None:
    errors: list[BaseException] = []

    def fail(context: Any) -> None:
        context.uuid()
        raise errors[-1]

    async def fail_later(context: Any) -> None:
        await asyncio.sleep(0)
        fail(context)

    hook: Any = {"async": fail_later, "awaitable": lambda context: fail_later(context)}.get(style, fail)  # noqa: PLW0108
    bound = 600.0 if style == "bounded" else None
    either.hooks.register("before_state_write", hook, name="fails", breaker=False, timeout_s=bound)
    for error in RAISED:
        errors.append(error)
        assert either.set("agent:a", "k", len(errors)).data["value"] == len(errors)

        run = runs(either)[-1]
        assert (run.type, run.data["result"]) == ("hook.failed", None)
        if not isinstance(error, (asyncio.CancelledError, StopIteration, StopAsyncIteration, GeneratorExit)):
            assert run.data["error"].startswith(type(error).__name__)
        assert ["uuid"] == [step["kind"] for step in run.data["steps"]]


def test_of_a_required_hook_it_is_an_error_with_the_hooks_name(either: Any) -> None:
    errors: list[BaseException] = []

    def fail(_: Any) -> None:
        raise errors[-1]

    either.hooks.register("before_state_write", fail, name="fails", breaker=False, required=True)
    for error in RAISED:
        errors.append(error)
        with pytest.raises(HookError, match="the required hook 'fails' failed") as caught:
            either.set("agent:a", "k", 1)
        assert (caught.value.hook, caught.value.point) == ("fails", "before_state_write")

    assert len(RAISED) == len(runs(either))
    assert of_state(either) == []


def test_a_function_that_a_hook_calls_may_raise_anything_too(either: Any) -> None:
    def fail(number: int) -> None:
        raise RAISED[number]

    def call(context: Any) -> None:
        for number in range(len(RAISED)):
            with suppress(BaseException):
                context.call(fail, number)
        for answer in (object(), float("nan"), "\ud800"):
            with suppress(InvalidValueError):
                context.call(lambda answer=answer: answer)

    either.hooks.register("before_state_write", call, name="calls")
    either.set("agent:a", "k", 1)
    (run,) = runs(either)
    assert run.type == "hook.executed"
    assert len(run.data["steps"]) == len(RAISED) + 3
    assert all("value" not in step for step in run.data["steps"])


# Shapes of hooks


class Named:
    name = "named"

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, context: Any) -> HookResult:
        self.seen.append(context.key)
        return HookResult.modified("called")

    def method(self, context: Any) -> HookResult:
        return self(context)

    async def later(self, context: Any) -> HookResult:
        await context.read("agent:a", "k")
        return self(context)


class Later(Named):
    name = "later"

    async def __call__(self, context: Any) -> HookResult:  # type: ignore[override]
        return HookResult.modified(await context.read("agent:b", "k"))


def _function(context: Any, more: Any = None) -> HookResult:  # noqa: ARG001
    return HookResult.modified("called")


async def _coroutine(context: Any, *, more: Any = None) -> HookResult:  # noqa: ARG001
    await asyncio.sleep(0)
    return HookResult.modified(await context.read("agent:b", "k"))


SHAPES: list[tuple[Any, str]] = [
    (_function, "_function"),
    (lambda _: HookResult.modified("called"), "lambda"),
    (functools.partial(_function, more=1), "_function"),
    (_coroutine, "_coroutine"),
    (functools.partial(functools.partial(_coroutine), more=1), "_coroutine"),
    (functools.partial(Later()), "Later"),
    (Named(), "named"),
    (Named().method, "method"),
    (Named().later, "later"),
    (Later(), "later"),
    (functools.lru_cache(_function), "_function"),
]


@pytest.mark.parametrize("bound", [None, 600.0])
def test_a_hook_may_be_anything_that_can_be_called_sync_or_async(either: Any, bound: float | None) -> None:
    either.set("agent:b", "k", "called")
    for number, (hook, name) in enumerate(SHAPES):
        handle = either.hooks.register("before_state_write", hook, timeout_s=bound)

        assert name == handle.name
        assert either.set("agent:a", f"k{number}", 1).data["value"] == "called", name
        handle.unregister()


def test_a_hook_of_a_name_that_is_taken_gets_a_number(either: Any) -> None:
    names = [either.hooks.register("before_state_write", lambda _: None).name for _ in range(3)]
    assert ["lambda", "lambda-2", "lambda-3"] == names
    assert either.hooks.register("before_state_delete", lambda _: None).name == "lambda"
    assert either.hooks.unregister("lambda") is True
    assert ["lambda-2", "lambda-3"] == [info.name for info in either.hooks.list()]


def test_what_a_hook_changes_in_its_hands_changes_nothing(either: Any) -> None:
    def meddle(context: Any) -> None:
        context.before["n"] = context.after["n"] = 0
        context.after["list"].append(7)
        context.metadata["why"] = "not so"
        with suppress(AttributeError):
            context.after = 5

    seen: list[Any] = []
    value = {"n": 2, "list": [1]}
    either.set("agent:a", "k", {"n": 1})
    either.hooks.register("before_state_write", meddle, name="meddles")
    note = lambda c: seen.append((c.before, c.after, c.metadata))  # noqa: E731
    either.hooks.register("before_state_write", note, name="sees", priority=1)

    event = either.set("agent:a", "k", value, metadata={"why": "test"})
    assert event.data["value"] == value == {"n": 2, "list": [1]}
    assert [({"n": 1}, value, {"why": "test"})] == seen
    assert runs(either, name="meddles")[0].type == "hook.executed"
    assert runs(either, name="meddles")[0].data["input"]["after"] == value


# Writing from inside


def test_what_a_hook_writes_is_an_operation_of_its_own(store: Any) -> None:
    def write(context: Any) -> HookResult:
        store.set("agent:b", "copy", context.after)
        with store.transaction() as tx:
            tx.increment("agent:b", "count")
        return HookResult.cancel("no") if context.after == 2 else HookResult.CONTINUE

    store.hooks.register("before_state_write", write, name="writes", scope="agent:*")
    event = store.set("agent:a", "k", 1, correlation_id="run-7", actor="ann")
    assert {"copy": 1, "count": 1} == store.items("agent:b")
    inner = list(store.log(scope="agent:b"))
    assert [("run-7", "ann")] * 2 == [(each.correlation_id, each.actor) for each in inner]
    assert inner[-1].position < event.position
    assert len(runs(store)) == 1, "it is not run for what it writes itself"
    with pytest.raises(HookCancelledError):
        store.set("agent:a", "k", 2)
    assert {"copy": 2, "count": 2} == store.items("agent:b"), "that stays, whatever becomes of the operation"


def test_hooks_that_write_what_the_others_hang_on_come_to_an_end(store: Any) -> None:
    for mine, other in (("a", "b"), ("b", "a")):
        write = lambda context, other=other: store.set("agent:w", other, context.after) and None  # noqa: E731
        store.hooks.register("before_state_write", write, name=f"at-{mine}", key=mine)

    store.set("agent:w", "a", 1)
    assert [("a", 1), ("b", 1), ("a", 1)] == of_state(store)
    assert ["at-b", "at-a"] == [run.data["hook"] for run in runs(store)]


def test_a_hook_that_recurses_fails_by_itself(store: Any) -> None:
    def recurse(context: Any) -> None:
        recurse(context)

    store.hooks.register("before_state_write", recurse)
    assert store.set("agent:a", "k", 1).data["value"] == 1
    assert runs(store)[0].data["error"].startswith("RecursionError")


def test_a_write_goes_over_what_its_hook_wrote_there(store: Any) -> None:
    ran: list[int] = []

    def write(context: Any) -> None:
        ran.append(context.after)
        store.set("agent:a", "k", "the hook's")
        store.increment("agent:b", "n", context.read("agent:b", "n", 0) + 1)

    store.hooks.register("before_state_write", write, name="writes", scope="agent:a")
    assert store.set("agent:a", "k", 1).data["value"] == 1
    store.set("agent:a", "k", 2, ttl=60)
    with store.transaction() as tx:
        tx.set("agent:a", "k", 3)
    assert [1, 2, 3] == ran, "no hook runs twice for what it did itself"
    assert ["the hook's", 1, "the hook's", 2, "the hook's", 3] == [
        event.data["value"] for event in store.log(scope="agent:a", types="state.set")
    ]


def test_what_was_decided_on_what_its_hook_wrote_is_refused(store: Any) -> None:
    ran: list[Any] = []

    def write(context: Any) -> None:
        ran.append(context.operation)
        store.set("agent:a", "n", 40)

    for verb in ("write", "delete", "clear"):
        store.hooks.register(f"before_state_{verb}", write, name="writes")
    store.set("agent:a", "n", 1)
    ran.clear()
    acts: list[Callable[[Any], Any]] = [
        lambda s: s.increment("agent:a", "n"),
        lambda s: s.delete("agent:a", "n"),
        lambda s: s.compare_and_swap("agent:a", "n", 40, 2),
        lambda s: s.clear("agent:a"),
        lambda s: s.copy("agent:a", "agent:b"),
    ]
    for act in acts:
        with pytest.raises(HookError, match="wrote to agent:a what the operation was decided on"):
            act(store)
    assert len(ran) == 5
    assert len(runs(store)) == 6, "what ran is recorded all the same"
    assert {"n": 40} == store.items("agent:a")
    assert [] == store.keys("agent:b")


def test_a_transaction_that_has_read_what_its_hook_writes_is_refused(store: Any) -> None:
    store.hooks.register("before_state_write", lambda _: store.set("agent:b", "n", 5) and None, scope="agent:a")

    def work() -> None:
        with store.transaction() as tx:
            tx.get("agent:b", "n")
            tx.set("agent:a", "k", 1)

    with pytest.raises(ConflictError):
        work()
    assert {"n": 5} == store.items("agent:b")
    assert [] == store.keys("agent:a")


async def test_hooks_of_tasks_write_too(tasks: Any) -> None:
    async def write(context: Any) -> None:
        await tasks.set("agent:b", "copy", context.after)
        async with tasks.transaction() as tx:
            await tx.increment("agent:b", "count")

    loop = asyncio.get_running_loop()

    def write_from_a_thread(context: Any) -> None:
        asyncio.run_coroutine_threadsafe(tasks.set("agent:b", "thread", context.after), loop).result()

    def returned(context: Any) -> Any:
        return tasks.set("agent:b", "returned", context.after)

    for hook in (write, write_from_a_thread, returned):
        tasks.hooks.register("before_state_write", hook, scope="agent:a")
    await tasks.set("agent:a", "k", 1)
    found = await tasks.items("agent:b")
    assert found == {"copy": 1, "count": 1, "thread": 1, "returned": 1}


async def test_an_async_function_that_a_sync_hook_calls_runs_on_the_callers_loop(tasks: Any) -> None:
    home = asyncio.get_running_loop()

    async def where() -> bool:
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is home

    for bound in (None, 600.0):
        hook = lambda context: HookResult.modified(context.call(where))  # noqa: E731
        handle = tasks.hooks.register("before_state_write", hook, timeout_s=bound)
        assert (await tasks.set("agent:a", "k", 1)).data["value"] is True
        handle.unregister()


async def test_a_blocking_store_with_async_hooks_works_inside_a_running_loop(store: Any) -> None:
    async def later(context: Any) -> HookResult:
        store.set("agent:b", "copy", context.after)
        return HookResult.modified(await context.read("agent:b", "copy") + 1)

    async def answer() -> int:
        await asyncio.sleep(0)
        return 40

    store.hooks.register("before_state_write", later, name="later")
    store.hooks.register("before_state_write", lambda c: HookResult.modified(c.after + c.call(answer)), name="calls")
    store.hooks.register("before_state_write", lambda c: later(c), name="returns")  # noqa: PLW0108
    assert store.set("agent:a", "k", 1).data["value"] == 82
    assert [] == [
        run.data["error"] for run in runs(store) if run.data["hook"] in {"later", "calls"} and run.data["error"]
    ]


def test_an_async_hook_of_a_blocking_store_may_write_what_has_async_hooks(store: Any) -> None:
    async def outer(context: Any) -> None:
        store.set("agent:b", "k", context.after)

    async def inner(context: Any) -> HookResult:
        await asyncio.sleep(0)
        return HookResult.modified(context.after + 1)

    store.hooks.register("before_state_write", outer, scope="agent:a")
    store.hooks.register("before_state_write", inner, scope="agent:b")
    store.set("agent:a", "k", 1)
    assert store.get("agent:b", "k") == 2


# Hanging


def test_a_hook_that_hangs_is_left_behind_when_its_time_is_up(either: Any) -> None:
    released, ended = threading.Event(), threading.Event()
    refused: list[BaseException] = []
    contexts: list[Any] = []

    def hang(context: Any) -> HookResult:
        contexts.append(context)
        context.uuid()
        released.wait()
        try:
            context.uuid()
        except HookError as error:
            refused.append(error)
        ended.set()
        return HookResult.modified("too late")

    either.hooks.register("before_state_write", hang, name="hangs", timeout_s=SOON_S)
    assert either.set("agent:a", "k", 1).data["value"] == 1
    (run,) = runs(either)
    assert (run.type, run.data["error"]) == ("hook.failed", "TimeoutError: did not end within 0.05 s")
    assert ["uuid"] == [step["kind"] for step in run.data["steps"]]
    released.set()
    assert ended.wait(30)
    assert len(refused) == 1
    assert "the hook's run is over" in str(refused[0])
    for take in (
        contexts[0].now,
        contexts[0].random,
        contexts[0].uuid,
        lambda: contexts[0].call(int),
        lambda: contexts[0].read("agent:a", "k"),
    ):
        with pytest.raises(HookError):
            take()
    assert either.get("agent:a", "k") == 1


def test_a_required_hook_that_hangs_refuses_the_write(either: Any) -> None:
    released = threading.Event()

    async def hang(_: Any) -> None:
        await asyncio.sleep(3600)

    either.hooks.register("before_state_write", hang, name="later", timeout_s=SOON_S, required=True, key="a")
    either.hooks.register("before_state_write", lambda _: released.wait(), name="now", timeout_s=SOON_S, required=True)
    for key in ("a", "b"):
        with pytest.raises(HookError, match=r"did not end within 0\.05 s"):
            either.set("agent:a", key, 1)
    released.set()
    assert of_state(either) == []


def test_an_async_hook_that_does_not_heed_being_cancelled_is_left_behind_too(either: Any) -> None:
    released = threading.Event()

    async def hang(_: Any) -> None:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    either.hooks.register("before_state_write", hang, name="deaf", timeout_s=SOON_S)
    assert either.set("agent:a", "k", 1).data["value"] == 1
    released.set()
    assert "did not end" in runs(either)[0].data["error"]


def test_an_async_hook_that_blocks_the_stores_loop_does_not_block_the_others(store: Any) -> None:
    released = threading.Event()

    async def block(_: Any) -> None:
        released.wait()

    async def fine(context: Any) -> HookResult:
        return HookResult.modified(context.after + 1)

    store.hooks.register("before_state_write", block, name="blocks", timeout_s=SOON_S)
    store.hooks.register("before_state_write", fine, name="fine", priority=1)
    assert store.set("agent:a", "k", 1).data["value"] == 2
    released.set()


async def test_tasks_that_wait_for_a_key_go_on_when_one_of_them_is_cancelled(tasks: Any) -> None:
    released = asyncio.Event()
    begun = asyncio.Event()

    async def wait(_: Any) -> None:
        begun.set()
        await released.wait()

    tasks.hooks.register("before_state_write", wait, name="waits")
    first = asyncio.create_task(tasks.increment("agent:a", "n"))
    await begun.wait()
    others = [asyncio.create_task(tasks.increment("agent:a", "n")) for _ in range(5)]
    await asyncio.sleep(0)
    others[0].cancel()
    others[3].cancel()
    first.cancel()
    released.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert [1, 2, 3] == sorted(answer for answer in answers if isinstance(answer, int))
    assert len(await recorded(tasks)) == 3, "what a cancelled writer's hooks did is in no record"


async def test_a_cancelled_writer_ends_the_run_of_its_hook(tasks: Any) -> None:
    begun, released = threading.Event(), threading.Event()
    ended: list[str] = []
    contexts: list[Any] = []
    finished = threading.Event()

    async def wait(context: Any) -> None:
        contexts.append(context)
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("async")
            raise

    def wait_in_a_thread(context: Any) -> None:
        contexts.append(context)
        begun.set()
        released.wait()
        with suppress(HookError):
            context.uuid()
            ended.append("not refused")
        finished.set()

    for hook in (wait, wait_in_a_thread):
        handle = tasks.hooks.register("before_state_write", hook)
        begun.clear()
        writer = asyncio.create_task(tasks.set("agent:a", "k", 1))
        await asyncio.to_thread(begun.wait)
        writer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writer
        handle.unregister()
    released.set()
    await asyncio.to_thread(finished.wait)
    await asyncio.sleep(0)
    assert ended == ["async"]
    for context in contexts:
        with pytest.raises(HookError):
            context.uuid()
    assert await tasks.keys("agent:a") == []
    assert await recorded(tasks) == []


async def test_many_tasks_that_increment_a_hooked_key_lose_nothing(tasks: Any) -> None:
    async def look(context: Any) -> None:
        await context.read("agent:a", "n")

    tasks.hooks.register("before_state_write", look)
    totals = await asyncio.gather(*(tasks.increment("agent:a", "n") for _ in range(64)))
    assert sorted(totals) == list(range(1, 65))
    assert len(await recorded(tasks)) == 64


# Interrupts


@pytest.mark.parametrize("style", ["sync", "async", "bounded", "bounded async"])
def test_an_interrupt_goes_through_a_hook_to_the_writer_and_nothing_is_written(store: Any, style: str) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    async def interrupt_later(_: Any) -> None:
        raise KeyboardInterrupt

    hook = interrupt_later if "async" in style else interrupt
    store.hooks.register("before_state_write", hook, timeout_s=600.0 if "bounded" in style else None)
    with pytest.raises(KeyboardInterrupt):
        store.set("agent:a", "k", 1)
    with pytest.raises(KeyboardInterrupt), store.transaction() as tx:
        tx.set("agent:a", "k", 1)
    assert of_state(store) == []
    assert runs(store) == []


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_interrupt_goes_through_a_hook_to_the_task_that_writes(store_url: str, asynchronous: bool) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    async def interrupt_later(_: Any) -> None:
        raise KeyboardInterrupt

    async def work() -> str:
        async with backstory.open_async(store_url) as store:
            store.hooks.register("before_state_write", interrupt_later if asynchronous else interrupt)
            try:
                await store.set("agent:a", "k", 1)
            except KeyboardInterrupt:
                assert await store.keys("agent:a") == []
                return "interrupted"
        return "not interrupted"

    assert asyncio.run(work()) == "interrupted"


# The registry, changed from inside


def test_a_hook_may_unregister_itself_and_register_others(either: Any) -> None:
    handles: list[Any] = []
    registry = either.hooks._inner if hasattr(either.hooks, "_inner") else either.hooks

    def once(context: Any) -> HookResult:
        handles[0].unregister()
        return HookResult.modified(context.after + 1)

    handles.append(either.hooks.register("before_state_write", once, name="once"))
    assert [2, 1] == [either.set("agent:a", "k", 1).data["value"] for _ in range(2)]

    def grow(context: Any) -> None:
        registry.register("before_state_write", lambda c: HookResult.modified(c.after + 10), name="grown")
        registry.unregister("grow")
        assert context.key == "k"

    either.hooks.register("before_state_write", grow, name="grow")
    assert [1, 11] == [either.set("agent:a", "k", 1).data["value"] for _ in range(2)]
    assert [None] == [run.data["error"] for run in runs(either, name="grow")]


def test_a_hook_cannot_close_the_store(store: Any) -> None:
    for bound in (None, 600.0):
        store.hooks.register("before_state_write", lambda _: store.close(), name=f"closes-{bound}", timeout_s=bound)
    assert store.set("agent:a", "k", 1).data["value"] == 1
    assert ["HookError: a hook cannot close the store. Close it where it was opened."] * 2 == [
        run.data["error"] for run in runs(store)
    ]


async def test_an_async_hook_cannot_close_the_store(tasks: Any) -> None:
    tasks.hooks.register("before_state_write", lambda _: tasks.aclose(), name="closes")
    assert (await tasks.set("agent:a", "k", 1)).data["value"] == 1
    assert ["hook.failed"] == [run.type for run in await recorded(tasks)]


def test_a_writer_whose_store_is_closed_during_a_hook_is_told_so(store_url: str) -> None:
    store = backstory.open(store_url)

    def close_elsewhere(_: Any) -> None:
        closing = threading.Thread(target=store.close)
        closing.start()
        closing.join()

    store.hooks.register("before_state_write", close_elsewhere)
    with pytest.raises(StoreClosedError):
        store.set("agent:a", "k", 1)
    store.close()


def test_a_hook_cannot_wait_for_hooks(either: Any) -> None:
    raised: list[BaseException] = []
    registry = either.hooks._inner if hasattr(either.hooks, "_inner") else either.hooks

    async def flush(_: Any) -> None:
        try:
            waiting = registry.flush()
            if waiting is not None:
                await waiting
        except HookError as error:
            raised.append(error)

    either.hooks.register("after_state_write", flush, background=False)
    either.set("agent:a", "k", 1)
    assert len(raised) == 1


# Bad input

POINTS = ["", "before_state_think", "custom:", "custom:a\nb", 5, None, "after_agent_", "before_agent_Save"]
POINTS += ["custom:" + "x" * 200, "before_agents_save", "state_write"]
REGISTER: list[tuple[dict[str, Any], type[Exception]]] = [
    *[({"point": point}, InvalidValueError) for point in POINTS],
    *[({"hook": hook}, InvalidValueError) for hook in (None, 5, "hook", Named, Odd())],
    *[({"name": name}, InvalidValueError) for name in ("", 5, "a\nb", "n" * 201, "\ud800", b"x")],
    *[({"priority": priority}, InvalidValueError) for priority in (1.5, "1", True, None)],
    *[({"timeout_s": span}, InvalidValueError) for span in (0, -1, "1", True, float("nan"), float("inf"), 10**400)],
    *[({"background": given}, InvalidValueError) for given in (True, 1, "yes")],
    *[({"required": given}, InvalidValueError) for given in (1, None, "yes")],
    *[({"scope": scope}, InvalidScopeError) for scope in ("", 5, "bogus:a", "agent:", "a b")],
    ({"scope": "agent:*\ud800"}, InvalidValueError),
    *[({"key": key}, InvalidKeyError) for key in ("", 5, "a..b", "__a", "a\nb*")],
    *[({"tags": tags}, InvalidValueError) for tags in (5, None, [5], [""], ["\ud800"], ["a\nb"])],
    *[({"breaker": breaker}, InvalidValueError) for breaker in (None, 5, "yes", 1)],
    ({"point": "after_state_write", "required": True}, InvalidValueError),
    ({"point": "custom:x", "scope": "agent:a"}, InvalidValueError),
    ({"point": "before_agent_save", "key": "k"}, InvalidValueError),
    ({"name": "taken"}, InvalidValueError),
]  # fmt: skip
CALLS: list[tuple[Callable[[Any], Any], type[Exception]]] = [
    (lambda hooks: hooks.fire("before_state_write", 1), InvalidValueError),
    (lambda hooks: hooks.fire("nonsense", 1), InvalidValueError),
    (lambda hooks: hooks.fire(None, 1), InvalidValueError),
    (lambda hooks: hooks.fire("custom:x", object()), InvalidValueError),
    (lambda hooks: hooks.fire("custom:x", MISSING), InvalidValueError),
    (lambda hooks: hooks.fire("custom:x", "x" * 2_000_000), backstory.ValueTooLargeError),
    (lambda hooks: hooks.fire("custom:x", 1, actor=5), InvalidValueError),
    (lambda hooks: hooks.fire("custom:x", 1, cause="none"), InvalidValueError),
    (lambda hooks: hooks.fire("custom:x", 1, correlation_id=""), InvalidValueError),
    (lambda hooks: hooks.flush(-1), InvalidValueError),
    (lambda hooks: hooks.flush("1"), InvalidValueError),
    (lambda hooks: hooks.flush(True), InvalidValueError),
    (lambda hooks: hooks.flush(float("nan")), InvalidValueError),
    (lambda hooks: hooks.unregister(5), InvalidValueError),
    (lambda hooks: hooks.unregister(None), InvalidValueError),
    (lambda hooks: hooks.list("nonsense"), InvalidValueError),
]


def test_bad_input_is_refused_before_anything_is_written(either: Any) -> None:
    either.hooks.register("before_state_write", lambda _: None, name="taken")
    either.hooks.register("custom:x", lambda _: None, name="taken")
    either.get("agent:a", "k")
    either.hooks.flush()
    since = either.position()
    for given, error in REGISTER:
        arguments = {"point": "before_state_write", "hook": lambda _: None, **given}
        with pytest.raises(error) as caught:
            either.hooks.register(arguments.pop("point"), arguments.pop("hook"), **arguments)
        assert isinstance(caught.value, backstory.BackstoryError), given
    for number, (call, error) in enumerate(CALLS):
        with pytest.raises(error) as caught:
            call(either.hooks)
        assert isinstance(caught.value, backstory.BackstoryError), number

    assert len(either.hooks.list()) == 2
    assert either.position() == since
    assert either.set("agent:a", "k", 1).position == since + 2


@pytest.mark.parametrize("face", FACES)
def test_a_store_that_only_reads_takes_no_hooks_and_fires_for_nobody(
    face: str, sqlite_url: str, postgres_url: str
) -> None:
    for url in (sqlite_url, postgres_url):
        with backstory.open(url) as store:
            store.hooks.register("before_state_read", lambda _: HookResult.replace(2), name="reads")
            store.set("agent:a", "k", 1)
        with opened(face, url, read_only=True) as store:
            with pytest.raises(ReadOnlyError):
                store.hooks.register("before_state_read", lambda _: None)
            assert store.hooks.list() == []
            assert store.hooks.unregister("reads") is False
            assert store.hooks.fire("custom:x", [1]) == [1]
            store.hooks.flush()
            assert store.get("agent:a", "k") == 1
