"""The ambient context goes with what is carried, wherever it runs, and nowhere else; spans come along."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import backstory
from backstory import HookResult, InvalidValueError, carried, context

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-00000000000000000000000000000001-0000000000000002-00"


def span(trace_id: int = TRACE, span_id: int = SPAN, flags: int = 1) -> Any:
    """Return the block of a span."""
    there = SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(flags))
    return trace.use_span(NonRecordingSpan(there))


def in_thread(fn: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = Thread(target=lambda: found.append(fn()))
    thread.start()
    thread.join()
    return found[0]


def in_pool(fn: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fn).result()


def in_executor(fn: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, fn)

    return asyncio.run(run())


def beside(fn: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return await asyncio.to_thread(fn)

    return asyncio.run(run())


def in_task(fn: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return fn()

    async def main() -> Any:
        return await asyncio.create_task(run())

    return asyncio.run(main())


ELSEWHERE = [in_thread, in_pool, in_executor]
EVERYWHERE = [*ELSEWHERE, beside, in_task]


@pytest.mark.parametrize("run", EVERYWHERE)
def test_what_is_carried_writes_in_the_context_that_it_was_carried_from(run: Callable[..., Any]) -> None:
    with backstory.open("memory://") as store:
        with context(actor="outer", correlation_id="c"):
            with context(actor="inner"), span():
                write = carried(lambda: store.set("global", "k", 1))
            with context(actor="later"):
                event = run(write)
        again = run(write)

    assert [("inner", "c", PARENT)] * 2 == [
        (each.actor, each.correlation_id, each.traceparent) for each in (event, again)
    ]


@pytest.mark.parametrize("run", ELSEWHERE)
def test_threads_and_executors_carry_nothing_by_themselves(run: Callable[..., Any]) -> None:
    with backstory.open("memory://") as store, context(actor="me"):
        assert run(lambda: store.set("global", "k", 1)).actor is None


@pytest.mark.parametrize("run", [beside, in_task])
def test_tasks_and_to_thread_carry_it_by_themselves(run: Callable[..., Any]) -> None:
    with backstory.open("memory://") as store, context(actor="me"):
        assert "me" == run(lambda: store.set("global", "k", 1)).actor


def test_what_is_carried_may_run_many_times_at_once_and_changes_nothing_outside() -> None:
    barrier = Barrier(4, timeout=30)

    def write(number: int) -> Any:
        with context(actor=f"{number}"):
            barrier.wait()
            return store.set("global", f"{number}", number).actor

    with backstory.open("memory://") as store, context(correlation_id="c"), ThreadPoolExecutor(4) as pool:
        assert ["0", "1", "2", "3"] == list(pool.map(carried(write), range(4)))
        assert {"c"} == {event.correlation_id for event in store.log()}
        assert store.set("global", "k", 1).actor is None


def test_a_function_that_is_carried_is_still_that_function() -> None:
    def named(one: int, *, other: int = 2) -> tuple[int, int]:
        """Say what it was given."""
        return one, other

    assert ((1, 3), "named", named.__doc__) == (
        carried(named)(1, other=3),
        carried(named).__name__,
        carried(named).__doc__,
    )
    with pytest.raises(ZeroDivisionError):
        carried(lambda: 1 // 0)()


async def test_a_coroutine_function_is_carried_to_its_end() -> None:
    async def write(key: str) -> Any:
        await asyncio.sleep(0)
        return await store.set("global", key, 1)

    async with backstory.open_async("memory://") as store:
        with context(actor="carrier"):
            bound = carried(write)
        with context(actor="other"):
            events = await asyncio.gather(bound("a"), bound("b"))
            assert ["carrier", "carrier"] == [event.actor for event in events]
            assert "other" == (await store.set("global", "c", 1)).actor


def test_a_coroutine_function_runs_as_carried_on_the_loop_of_another_thread() -> None:
    async def write() -> Any:
        async with backstory.open_async("memory://") as store:
            return await store.set("global", "k", 1)

    with context(actor="me"):
        bound: Any = carried(write)
    assert "me" == in_thread(lambda: asyncio.run(bound())).actor


@pytest.mark.parametrize("run", ELSEWHERE)
def test_a_thread_that_a_hook_starts_writes_inside_the_hook_if_it_is_carried(run: Callable[..., Any]) -> None:
    """And is not its own hook's business, which would have it run without an end."""
    with backstory.open("memory://") as store:

        def hook(about: Any) -> Any:
            write: Callable[[], Any] = lambda: store.set("global", f"{about.key}/copy", 1)  # noqa: E731
            run(carried(write))
            return HookResult.CONTINUE

        store.hooks.register("before_state_write", hook, name="copies", background=False)
        with context(actor="me", correlation_id="c"):
            store.set("global", "k", 1)

        inner = next(event for event in store.log(types=["state.set"]) if event.key == "k/copy")
        assert (("copies",), "c", "me") == (inner.hooks, inner.correlation_id, inner.actor)
        assert {"k", "k/copy"} == set(store.keys("global"))


def test_a_transaction_and_its_reads_stay_with_it_whoever_writes(store_url: str) -> None:
    with backstory.open(store_url) as store:
        store.set("global", "a", 1)
        with context(actor="me"), store.transaction() as tx:
            tx.get("global", "a")
            event = in_thread(carried(lambda: tx.set("global", "b", 1)))

    assert (("me"), (1,)) == (event.actor, event.reads)


# Spans of OpenTelemetry


def test_a_write_says_the_span_that_it_was_made_in(store_url: str) -> None:
    with backstory.open(store_url) as store:
        with span():
            first = store.set("global", "k", 1, tags=["t"])
            with span(1, 2, 0), store.transaction() as tx:
                second = tx.set("global", "k", 1)
        third = store.set("global", "k", 1)

    assert [PARENT, OTHER, None] == [event.traceparent for event in (first, second, third)]


async def test_each_task_writes_its_own_span() -> None:
    async def write(number: int) -> str | None:
        with span(number, number):
            await asyncio.sleep(0)
            return (await store.set("global", f"{number}", 1)).traceparent

    async with backstory.open_async("memory://") as store:
        found = await asyncio.gather(*map(write, range(1, 9)))
    assert [f"00-{number:032x}-{number:016x}-01" for number in range(1, 9)] == found


@pytest.mark.parametrize(("trace_id", "span_id"), [(0, 0), (0, 1), (1, 0)])
def test_a_span_that_is_none_is_not_said(trace_id: int, span_id: int) -> None:
    with backstory.open("memory://") as store, span(trace_id, span_id):
        event = store.set("global", "k", 1)
    assert (None, None) == (event.traceparent, event.stored.extra)


def test_what_is_given_wins_over_the_span_and_none_gives_way_to_it() -> None:
    with backstory.open("memory://") as store, span():
        assert OTHER == store.set("global", "k", 1, traceparent=OTHER).traceparent
        with context(traceparent=OTHER):
            assert OTHER == store.set("global", "k", 1).traceparent
            with context(traceparent=None):
                assert PARENT == store.set("global", "k", 1).traceparent


def test_nobody_imports_it_but_who_traces() -> None:
    program = (
        "import sys, backstory\n"
        "with backstory.open('memory://') as store, backstory.context(actor='a'):\n"
        "    assert store.set('global', 'k', 1).traceparent is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("half", [None, object()])
def test_what_is_only_half_imported_is_not_asked(monkeypatch: pytest.MonkeyPatch, half: object) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", half)
    with backstory.open("memory://") as store:
        assert store.set("global", "k", 1).traceparent is None


@pytest.mark.parametrize("text", [PARENT, OTHER, "fe" + PARENT[2:], "01" + PARENT[2:] + "-and more"])
def test_a_trace_context_comes_back_as_it_was_given(text: str) -> None:
    with backstory.open("memory://") as store:
        assert text == store.set("global", "k", 1, traceparent=text).traceparent


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-00",
        PARENT + "\n",
        " " + PARENT,
        PARENT[:-1],
        "ff" + PARENT[2:],
        "01" + PARENT[2:] + "00",
        PARENT.replace("-", "_"),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        PARENT.replace("4bf9", "४bf9"),
        5,
    ],
)
def test_what_is_no_trace_context_is_refused_and_nothing_is_written(text: Any) -> None:
    with backstory.open("memory://") as store:
        with pytest.raises(InvalidValueError, match="traceparent"):
            store.set("global", "k", 1, traceparent=text)
        with pytest.raises(InvalidValueError), context(traceparent=text):
            pass
        assert 0 == store.position()


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_every_valid_span_gives_what_may_be_given_too(trace_id: int, span_id: int, flags: int) -> None:
    with backstory.open("memory://") as store:
        with span(trace_id, span_id, flags):
            said = store.set("global", "k", 1).traceparent
        assert said == store.set("global", "k", 1, traceparent=said).traceparent
        assert f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}" == said
